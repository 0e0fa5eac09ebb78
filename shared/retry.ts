import type { Clock } from './clock.ts';

export interface BackoffOptions {
  /** Upper bound of the first wait. */
  readonly minMs: number;
  /** Upper bound of every wait. */
  readonly maxMs: number;
}

export interface KeepRunningDeps {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Told of every failure and of the wait that follows it. Not told of being stopped. */
  readonly onFailure: (error: unknown, waitMs: number) => void;
}

/**
 * Runs `attempt` again and again until the signal aborts, waiting longer after each failure in a
 * row. An attempt that returns normally resets the wait.
 */
export async function keepRunning(
  attempt: (signal: AbortSignal) => Promise<void>,
  options: BackoffOptions,
  { clock, random, onFailure }: KeepRunningDeps,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      await attempt(signal);
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      const waitMs = backoffMs(failures, options, random);
      failures++;
      onFailure(error, waitMs);
      await clock.sleep(waitMs, signal);
    }
  }
}

/** Half of the wait is fixed and half is chance, so that a fleet does not redial in step. */
export function backoffMs(
  failures: number,
  { minMs, maxMs }: BackoffOptions,
  random: () => number,
): number {
  const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(failures, 30));
  return ceiling / 2 + (random() * ceiling) / 2;
}
