import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../../shared/clock.ts';

const dayMs = 86_400_000;

describe('the clock of the system', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test.each([1, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 400 * dayMs])('waits %d ms', async (ms) => {
    const fired = vi.fn();
    using _timer = systemClock.after(ms, fired);
    const slept = vi.fn();
    const sleep = systemClock.sleep(ms, new AbortController().signal).then(slept);
    await vi.advanceTimersByTimeAsync(ms - 1);
    expect(fired).not.toHaveBeenCalled();
    expect(slept).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(fired).toHaveBeenCalledOnce();
    await sleep;
  });

  test('a timer that is disposed of does not fire, however far it has come', async () => {
    const fired = vi.fn();
    const timer = systemClock.after(100 * dayMs, fired);
    await vi.advanceTimersByTimeAsync(60 * dayMs);
    timer[Symbol.dispose]();
    await vi.advanceTimersByTimeAsync(60 * dayMs);
    expect(fired).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  test('a sleep ends at once when its signal aborts', async () => {
    const stop = new AbortController();
    const sleep = systemClock.sleep(100 * dayMs, stop.signal);
    stop.abort();
    await sleep;
    expect(vi.getTimerCount()).toBe(0);
  });
});
