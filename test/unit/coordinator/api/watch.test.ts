import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ChangeLog } from '../../../../coordinator/api/change-log.ts';
import { watch, type WatchMessage } from '../../../../coordinator/api/watch.ts';
import { ObservedState } from '../../../../coordinator/observed/observed-state.ts';
import { Routing } from '../../../../coordinator/routing/routing.ts';
import { Settling } from '../../../../coordinator/routing/settling.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import type { Token } from '../../../../coordinator/model.ts';
import { aToken, tokenId } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

let clock: FakeClock;
let store: Store;
let changes: ChangeLog;
let stop: AbortController;

beforeEach(() => {
  clock = new FakeClock();
  store = new Store(':memory:', { clock });
  const observed = new ObservedState(new Map(), { clock });
  const settling = new Settling({ store, observed, clock });
  changes = new ChangeLog('run-1', { store });
  changes.follow(observed, new Routing({ store, observed, settling, clock }));
  stop = new AbortController();
});

afterEach(() => {
  stop.abort();
  store[Symbol.dispose]();
});

function put(names: readonly string[], change: Partial<Token> = {}): void {
  store.transact((tx) => {
    for (const name of names) tx.tokens.put(aToken({ id: tokenId(name), name, ...change }));
  });
}

function remove(name: string): void {
  store.transact((tx) => {
    tx.tokens.delete(tokenId(name));
  });
}

function open(cursor = '') {
  const list = () => [...store.tokens.values()];
  return watch({ topic: 'tokens', cursor, list, changes, clock }, { signal: stop.signal });
}

type Stream = ReturnType<typeof open>;

/** The next message, which comes within the time that changes are gathered. */
async function next(stream: Stream): Promise<WatchMessage<Token>> {
  const message = stream.next();
  await clock.advance(25);
  return (await message).value as WatchMessage<Token>;
}

const names = ({ objects }: WatchMessage<Token>) => objects.map(({ name }) => name);
const many = (count: number) => Array.from({ length: count }, (_, index) => `token-${index}`);

describe('a watch', () => {
  test('begins with everything', async () => {
    put(['a', 'b']);
    const first = await next(open());
    expect(first).toMatchObject({ snapshot: true, more: false, removedIds: [] });
    expect(names(first)).toEqual(['a', 'b']);
  });

  test('begins with nothing when there is nothing, and says so', async () => {
    expect(await next(open())).toMatchObject({ snapshot: true, objects: [] });
  });

  test('goes on with what changed and what went, together if it came together', async () => {
    put(['a', 'b', 'c']);
    const stream = open();
    await next(stream);
    put(['a'], { role: 'admin' });
    remove('b');
    const second = await next(stream);
    expect(second).toMatchObject({ snapshot: false, removedIds: ['b'] });
    expect(names(second)).toEqual(['a']);
  });

  test('does not tell of changes that come to nothing', async () => {
    put(['a']);
    const stream = open();
    await next(stream);
    put(['a'], { role: 'admin' });
    put(['a']);
    const message = stream.next();
    await clock.advance(1_000);
    put(['b']);
    await clock.advance(25);
    expect(names((await message).value as WatchMessage<Token>)).toEqual(['b']);
  });

  test('ends when its caller goes', async () => {
    const stream = open();
    await next(stream);
    const message = stream.next();
    stop.abort();
    await clock.settle();
    expect((await message).done).toBe(true);
  });
});

describe('a watch that resumes', () => {
  test('gets what it missed, and what went', async () => {
    put(['a', 'b', 'c']);
    const { cursor } = await next(open());
    put(['b'], { role: 'admin' });
    remove('c');
    const resumed = await next(open(cursor));
    expect(resumed).toMatchObject({ snapshot: false, removedIds: ['c'] });
    expect(names(resumed)).toEqual(['b']);
  });

  test('gets everything when its cursor is not known', async () => {
    put(['a']);
    const resumed = await next(open('run-0.1'));
    expect(resumed.snapshot).toBe(true);
    expect(names(resumed)).toEqual(['a']);
  });

  test('in the middle of a snapshot gets the whole of it', async () => {
    put(many(450));
    const stream = open();
    const first = await next(stream);
    expect(first).toMatchObject({ snapshot: true, more: true });
    expect(names(await next(open(first.cursor)))).toHaveLength(200);
    const last = [await next(stream), await next(stream)].at(-1)!;
    expect(last).toMatchObject({ more: false });
    expect(names(last)).toHaveLength(50);
    expect(names(await next(open(last.cursor)))).toEqual([]);
  });

  test('in the middle of many changes gets all of them', async () => {
    put(many(450));
    const stream = open();
    for (let part = 0; part < 3; part++) await next(stream);
    put(many(450), { role: 'admin' });
    const first = await next(stream);
    expect(names(first)).toHaveLength(200);
    const again = open(first.cursor);
    const all = [await next(again), await next(again), await next(again)];
    expect(all.flatMap(names)).toHaveLength(450);
    expect(all.every(({ snapshot }) => !snapshot)).toBe(true);
  });
});
