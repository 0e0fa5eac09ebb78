import { expect, test } from 'vitest';
import { Wakeup } from '../../../shared/wakeup.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const never = new AbortController().signal;

test('a notification before the wait is not lost, and many are one', async () => {
  const wakeup = new Wakeup();
  const clock = new FakeClock();
  wakeup.notify();
  wakeup.notify();
  expect(await wakeup.waitFor(1_000, clock, never)).toBe(true);
  const second = wakeup.waitFor(1_000, clock, never);
  await clock.advance(1_000);
  expect(await second).toBe(false);
});

test('a wait is as long as it says, however often waits before it were cut short', async () => {
  const wakeup = new Wakeup();
  const clock = new FakeClock();
  for (let turn = 0; turn < 3; turn++) {
    const woken = wakeup.waitFor(1_000, clock, never);
    await clock.advance(400);
    wakeup.notify();
    expect(await woken).toBe(true);
  }
  let ended: boolean | undefined;
  void wakeup.waitFor(1_000, clock, never).then((woken) => {
    ended = woken;
  });
  await clock.advance(999);
  expect(ended).toBeUndefined();
  await clock.advance(1);
  expect(ended).toBe(false);
});

test('a short wait after a long one is short', async () => {
  const wakeup = new Wakeup();
  const clock = new FakeClock();
  const long = wakeup.waitFor(10_000, clock, never);
  wakeup.notify();
  expect(await long).toBe(true);
  const short = wakeup.waitFor(50, clock, never);
  await clock.advance(50);
  expect(await short).toBe(false);
});

test('time that is over between two waits wakes nobody', async () => {
  const wakeup = new Wakeup();
  const clock = new FakeClock();
  const first = wakeup.waitFor(100, clock, never);
  wakeup.notify();
  expect(await first).toBe(true);
  await clock.advance(500);
  let ended = false;
  const second = wakeup.wait(never).then(() => {
    ended = true;
  });
  await clock.advance(5_000);
  expect(ended).toBe(false);
  wakeup.notify();
  await second;
});

test('an abort ends a wait, and those after it at once', async () => {
  const wakeup = new Wakeup();
  const clock = new FakeClock();
  const controller = new AbortController();
  const waiting = wakeup.waitFor(1_000, clock, controller.signal);
  controller.abort();
  expect(await waiting).toBe(false);
  expect(await wakeup.waitFor(1_000, clock, controller.signal)).toBe(false);
  await wakeup.wait(controller.signal);
});
