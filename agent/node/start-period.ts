import type { Clock } from '../../shared/clock.ts';

/**
 * When the start period of a process ends, on the monotonic clock: its host's clock may be set at any time, and what is
 * starting is not to be killed for that. Counted from when its checks begin if it seems to have started later.
 */
export function startPeriodEnd(
  startedAt: Date | undefined,
  startPeriodMs: number,
  clock: Pick<Clock, 'now' | 'monotonic'>,
): number {
  if (startedAt === undefined) return clock.monotonic();
  const ageMs = Math.max(0, clock.now() - startedAt.getTime());
  return clock.monotonic() + startPeriodMs - ageMs;
}
