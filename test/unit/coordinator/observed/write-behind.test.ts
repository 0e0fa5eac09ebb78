import { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ObservedState } from '../../../../coordinator/observed/observed-state.ts';
import { WriteBehind } from '../../../../coordinator/observed/write-behind.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import { createLogger } from '../../../../shared/logger.ts';
import { aReport, containerId } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

/** A store whose disk can be full. */
class FillableStore extends Store {
  full = false;

  override saveObserved(...args: Parameters<Store['saveObserved']>): void {
    if (this.full) throw new Error('the disk is full');
    super.saveObserved(...args);
  }
}

const web1 = containerId('web-1-id');
let clock: FakeClock;
let store: FillableStore;
let observed: ObservedState;
let stop: AbortController;
let running: Promise<void>;
let logged: string[];

beforeEach(() => {
  clock = new FakeClock();
  store = new FillableStore(':memory:', { clock });
  observed = new ObservedState(new Map(), { clock });
  logged = [];
  const destination = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      logged.push((JSON.parse(chunk.toString()) as { msg: string }).msg);
      done();
    },
  });
  const log = createLogger({ level: 'info', process: 'test' }, destination);
  stop = new AbortController();
  running = new WriteBehind({ observed, store, clock, log }).run(stop.signal);
});

afterEach(async () => {
  stop.abort();
  await running;
  store[Symbol.dispose]();
});

const saved = () => [...store.loadObserved()].map(([id, { phase }]) => [id, phase]);

test('saves what agents report within a quarter of a second', async () => {
  observed.report(web1, aReport());
  await clock.advance(249);
  expect(saved()).toEqual([]);
  await clock.advance(1);
  expect(saved()).toEqual([[web1, 'running']]);
  observed.forget(web1);
  await clock.advance(250);
  expect(saved()).toEqual([]);
});

test('does not look again and again while nothing changes', async () => {
  observed.report(web1, aReport());
  await clock.advance(1_000);
  const sleep = vi.spyOn(clock, 'sleep');
  await clock.advance(60_000);
  expect(sleep).not.toHaveBeenCalled();
  observed.forget(web1);
  await clock.advance(250);
  expect(saved()).toEqual([]);
});

test('saves what is left when it stops', async () => {
  observed.report(web1, aReport());
  stop.abort();
  await running;
  expect(saved()).toEqual([[web1, 'running']]);
});

describe('while nothing can be saved', () => {
  test('it keeps what is to be saved, and says so once', async () => {
    store.full = true;
    observed.report(web1, aReport());
    await clock.advance(1_000);
    expect(logged).toEqual(['observed state not saved: the disk is full']);
    store.full = false;
    await clock.advance(250);
    expect(saved()).toEqual([[web1, 'running']]);
    expect(logged.at(-1)).toBe('observed state is saved again');
  });
});
