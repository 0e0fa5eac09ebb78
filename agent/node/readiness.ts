import type { Clock } from '../../shared/clock.ts';
import type { Readiness } from '../../shared/health-check.ts';
import type { Probe, ProbeFailure, ProbeTarget } from './probe.ts';
import { startPeriodEnd } from './start-period.ts';

/** Result of the checks so far, and why a container is not ready. */
export interface Verdict {
  readonly ready: boolean;
  readonly message: string;
}

/** Until it is ready for the first time, a container is checked after this, then at growing distance. */
const firstDelayMs = 25;
const firstDelayCeilingMs = 250;
const delayGrowth = 1.5;

/** A process that failed a check is looked at again after this at most, to be sure soon. */
const doubtDelayMs = 1_000;

/** How the checks of one process went so far. */
export interface ProbeHistory {
  /** `unknown`: the process ran before the agent did, so it is ready until proven otherwise. */
  readonly state: 'unknown' | 'never-ready' | 'ready' | 'not-ready';
  readonly failuresInARow: number;
  readonly successesInARow: number;
  /** Time until the next check. */
  readonly delayMs: number;
}

/** Where checking a process begins. */
export function beginProbing(isNew: boolean): ProbeHistory {
  return { state: isNew ? 'never-ready' : 'unknown', ...noneInARow, delayMs: 0 };
}

const noneInARow = { failuresInARow: 0, successesInARow: 0 };

/** A check that was made, and whether failures count yet. */
export interface ProbeResult {
  readonly succeeded: boolean;
  readonly isStarting: boolean;
}

/** Adds the result of a check. */
export function afterProbe(
  history: ProbeHistory,
  { succeeded, isStarting }: ProbeResult,
  spec: Readiness,
): ProbeHistory {
  return succeeded ? afterSuccess(history, spec) : afterFailure(history, isStarting, spec);
}

function afterSuccess(history: ProbeHistory, spec: Readiness): ProbeHistory {
  const { intervalMs, successThreshold } = spec;
  const successesInARow = Math.min(history.successesInARow + 1, successThreshold);
  const isSure = history.state === 'ready' || successesInARow >= successThreshold;
  if (isSure) return { state: 'ready', failuresInARow: 0, successesInARow, delayMs: intervalMs };
  return { ...history, failuresInARow: 0, successesInARow, delayMs: ceilingOf(intervalMs) };
}

function afterFailure(history: ProbeHistory, isStarting: boolean, spec: Readiness): ProbeHistory {
  const { intervalMs, failureThreshold } = spec;
  const failuresInARow = history.failuresInARow + 1;
  if (history.state === 'never-ready') {
    const delayMs = firstDelayMs * delayGrowth ** Math.min(history.failuresInARow, 20);
    const ceilingMs = ceilingOf(intervalMs);
    return { ...begun, failuresInARow, delayMs: Math.min(delayMs, ceilingMs) };
  }
  const delayMs = Math.min(intervalMs, doubtDelayMs);
  // What a process that is still starting fails takes nothing back.
  if (isStarting) return { ...history, failuresInARow: 0, successesInARow: 0, delayMs };
  const state = failuresInARow >= failureThreshold ? 'not-ready' : history.state;
  return { state, failuresInARow, successesInARow: 0, delayMs };
}

const begun = { state: 'never-ready', successesInARow: 0 } as const;

/**
 * Time until the next check. Those of ready processes fall on whole multiples of their interval, so that the
 * agent of a host with many containers wakes once for all of them.
 */
export function untilNextProbe(
  { state, failuresInARow, delayMs }: ProbeHistory,
  nowMs: number,
): number {
  const isSettled = state === 'ready' && failuresInARow === 0;
  return isSettled ? delayMs - (nowMs % delayMs) : delayMs;
}

function ceilingOf(intervalMs: number): number {
  return Math.min(firstDelayCeilingMs, intervalMs);
}

export interface ProbingDeps {
  readonly clock: Clock;
  readonly probe: Probe;
  /** Told of every change, from the first that is sure. */
  readonly onVerdict: (verdict: Verdict) => void;
}

export interface ProbingOptions {
  readonly spec: Readiness;
  readonly targets: readonly ProbeTarget[] | string;
  /** False for a process that was there before the agent. */
  readonly isNew: boolean;
  /** When it started, by the wall clock; undefined: nobody knows. */
  readonly startedAt: Date | undefined;
}

/** Checks one process until the signal aborts. */
export async function keepProbing(
  { spec, targets, isNew, startedAt }: ProbingOptions,
  { clock, probe, onVerdict }: ProbingDeps,
  signal: AbortSignal,
): Promise<void> {
  if (typeof targets === 'string') {
    onVerdict({ ready: false, message: targets });
    return;
  }
  if (targets.length === 0) {
    onVerdict({ ready: true, message: '' });
    return;
  }
  const startsUntilMs = startPeriodEnd(startedAt, spec.startPeriodMs, clock);
  let history = beginProbing(isNew);
  let told: Verdict | undefined;
  while (!signal.aborted) {
    const failures = await Promise.all(
      targets.map((target) => probe(target, spec.timeoutMs, signal)),
    );
    if (signal.aborted) return;
    const failure = failures.find((words) => words !== '') ?? '';
    const result = { succeeded: failure === '', isStarting: clock.monotonic() < startsUntilMs };
    history = afterProbe(history, result, spec);
    const verdict = verdictOf(history, spec, failure, told);
    if (verdict && (verdict.ready !== told?.ready || verdict.message !== told.message)) {
      onVerdict(verdict);
      told = verdict;
    }
    await clock.sleep(untilNextProbe(history, clock.monotonic()), signal);
  }
}

/** A failure on the way up is worth words only once it lasts: most last a few milliseconds. */
function verdictOf(
  { state, delayMs }: ProbeHistory,
  { intervalMs }: Readiness,
  failure: ProbeFailure,
  told: Verdict | undefined,
): Verdict | undefined {
  switch (state) {
    case 'unknown':
      return undefined;
    case 'ready':
      // The failures of a ready container below the threshold are nobody's business.
      return { ready: true, message: '' };
    case 'never-ready':
      return delayMs < ceilingOf(intervalMs) ? told : { ready: false, message: failure };
    case 'not-ready':
      return { ready: false, message: failure };
  }
}
