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

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    if (signal.aborted) return;
    const { promise, resolve } = promiseWithResolver();
    using _timer = systemClock.after(ms, resolve);
    using _subscription = onAbort(signal, resolve);
    await promise;
  },
  after(ms, listener) {
    const timer = setTimeout(listener, ms);
    return {
      [Symbol.dispose]() {
        clearTimeout(timer);
      },
    };
  },
};

function promiseWithResolver(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
