import { onAbort } from './abort.ts';

/** The only way to read or wait for time, so that tests can hold it still. */
export interface Clock {
  /** Wall-clock milliseconds since 1970. Persist these; do not subtract them to measure. */
  now(): number;
  /** Milliseconds on a clock that never jumps. Use it to measure durations and leases. */
  monotonic(): number;
  /** Resolves after `ms`, or as soon as the signal aborts. Never rejects. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    if (signal.aborted) return;
    const { promise, resolve } = promiseWithResolver();
    const timer = setTimeout(resolve, ms);
    using _subscription = onAbort(signal, resolve);
    await promise;
    clearTimeout(timer);
  },
};

function promiseWithResolver(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
