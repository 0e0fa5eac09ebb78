import { pino } from 'pino';
import { expect, test } from 'vitest';
import { Drainer } from '../../../../agent/proxy/drainer.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

/** A drainer that reads what a test says. */
function setUp() {
  const clock = new FakeClock();
  const stop = new AbortController();
  const inFlight = new Map<string, number>();
  const events: string[] = [];
  const state = { canRead: true, answerLostAfterMs: 0 };
  const pressure = { isHigh: false };
  const drainer = new Drainer({
    clock,
    log: pino({ level: 'silent' }),
    pressure,
    read: async (paths, signal) => {
      if (state.answerLostAfterMs > 0) {
        await clock.sleep(state.answerLostAfterMs, signal);
        throw new Error('no answer in time');
      }
      if (!state.canRead) return undefined;
      return new Map(paths.map((path) => [path, inFlight.get(path) ?? 0]));
    },
    cut: (paths) => {
      events.push(`cut ${paths.join()}`);
      return Promise.resolve();
    },
    onReading: (path, count) => {
      events.push(`${path} ${count}`);
    },
    onDrained: (path) => {
      events.push(`drained ${path}`);
    },
  });
  const running = drainer.run(stop.signal);
  return {
    clock,
    pressure,
    drainer,
    inFlight,
    events,
    state,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

test('tells once when nothing is in flight any more', async () => {
  await using setup = setUp();
  const { clock, drainer, inFlight, events } = setup;
  inFlight.set('web/a', 1);
  drainer.watch('web/a', clock.monotonic() + 10_000);
  await clock.advance(60);
  expect(events).not.toContain('drained web/a');
  inFlight.set('web/a', 0);
  await clock.advance(200);
  expect(events.filter((event) => event === 'drained web/a')).toEqual(['drained web/a']);
  expect(drainer.watches('web/a')).toBe(false);
});

test('reads less often while programs wait for processors', async () => {
  await using setup = setUp();
  const { clock, drainer, inFlight, events, pressure } = setup;
  const readingsIn = async (ms: number) => {
    const before = events.length;
    await clock.advance(ms);
    return events.length - before;
  };
  inFlight.set('web/a', 1);
  drainer.watch('web/a', clock.monotonic() + 100_000);
  expect(await readingsIn(1_000)).toBeGreaterThanOrEqual(39);
  pressure.isHigh = true;
  await clock.advance(200);
  expect(await readingsIn(1_000)).toBe(5);
});

test('takes no reading for what cannot be read, nor for what was forgotten', async () => {
  await using setup = setUp();
  const { clock, drainer, events, state } = setup;
  state.canRead = false;
  drainer.watch('web/a', clock.monotonic() + 100);
  await clock.advance(5_000);
  expect(events).toEqual([]);
  drainer.forget('web/a');
  state.canRead = true;
  await clock.advance(1_000);
  expect(events).toEqual([]);
});

test('reads again at once when no answer came in time', async () => {
  await using setup = setUp();
  const { clock, drainer, events, state } = setup;
  drainer.watch('web/a', clock.monotonic() + 10_000);
  state.answerLostAfterMs = 2_000;
  await clock.advance(100);
  state.answerLostAfterMs = 0;
  await clock.advance(1_890);
  expect(events).toEqual([]);
  await clock.advance(100);
  expect(events).toContain('drained web/a');
});

test('cuts what outlives its time', async () => {
  await using setup = setUp();
  const { clock, drainer, inFlight, events } = setup;
  inFlight.set('web/a', 2);
  drainer.watch('web/a', clock.monotonic() + 300);
  await clock.advance(280);
  expect(events).not.toContain('cut web/a');
  await clock.advance(100);
  expect(events).toContain('cut web/a');
  inFlight.set('web/a', 0);
  await clock.advance(100);
  expect(events).toContain('drained web/a');
});

test('counts from nothing again when it is told to start over', async () => {
  await using setup = setUp();
  const { clock, drainer, events } = setup;
  drainer.watch('web/a', clock.monotonic() + 10_000);
  await clock.advance(1);
  expect(events).toEqual(['web/a 0']);
  drainer.startOver();
  await clock.advance(25);
  expect(events).toEqual(['web/a 0', 'web/a 0']);
  await clock.advance(25);
  expect(events.at(-1)).toBe('drained web/a');
});
