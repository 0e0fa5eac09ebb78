import { onAbort } from './abort.ts';

/** The only way to read or wait for time, so that tests can hold it still. */
export interface Clock {
  /** Wall-clock milliseconds since 1970. Persist these; do not subtract them to measure. */
  now(): number;
  /** Milliseconds on a clock that never jumps. Use it to measure durations and leases. */
  monotonic(): number;
  /** Resolves after `ms`, or as soon as the signal aborts. Never rejects. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Calls `listener` after `ms`, unless the result is disposed before. Cheaper than a sleep to abort. */
  after(ms: number, listener: () => void): Disposable;
}

/** A timer of the runtime that is set for longer fires at once. */
const longestTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep(ms, signal) {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = startTimer(ms, () => {
        subscription[Symbol.dispose]();
        resolve();
      });
      const subscription = onAbort(signal, () => {
        timer[Symbol.dispose]();
        resolve();
      });
    });
  },
  after: startTimer,
};

function startTimer(ms: number, listener: () => void): Disposable {
  let timer: NodeJS.Timeout;
  const start = (leftMs: number) => {
    timer =
      leftMs > longestTimerMs
        ? setTimeout(start, longestTimerMs, leftMs - longestTimerMs)
        : setTimeout(listener, leftMs);
  };
  start(ms);
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
    },
  };
}
