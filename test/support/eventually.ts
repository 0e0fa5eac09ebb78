import { systemClock } from '../../shared/clock.ts';

export interface EventuallyOptions {
  /** 10 seconds if left out. */
  readonly timeoutMs?: number;
  /** Time between two attempts; 25 milliseconds if left out. */
  readonly intervalMs?: number;
}

const never = new AbortController().signal;

/**
 * Tries an assertion until it holds and returns its value: the way to wait in a test.
 *
 * When the time is over it throws the last failure itself, so that its difference is shown, with
 * the time that was waited added to its message.
 */
export async function eventually<T>(
  assertion: () => T | Promise<T>,
  { timeoutMs = 10_000, intervalMs = 25 }: EventuallyOptions = {},
  signal: AbortSignal = never,
): Promise<T> {
  const startedAt = systemClock.monotonic();
  for (let attempts = 1; ; attempts++) {
    try {
      return await assertion();
    } catch (error) {
      signal.throwIfAborted();
      const waitedMs = Math.round(systemClock.monotonic() - startedAt);
      if (waitedMs >= timeoutMs) throw withContext(error, attempts, waitedMs);
      await systemClock.sleep(intervalMs, signal);
    }
  }
}

function withContext(error: unknown, attempts: number, waitedMs: number): unknown {
  const context = `still so at attempt ${attempts}, after ${waitedMs} ms`;
  if (!(error instanceof Error)) return new Error(`${String(error)} (${context})`);
  error.message = `${error.message} (${context})`;
  return error;
}
