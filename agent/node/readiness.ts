import type { Clock } from '../../shared/clock.ts';
import type { PortBinding, ReadinessSpec } from './model.ts';
import type { Probe, ProbeFailure, ProbeTarget } from './probe.ts';

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

/**
 * What has to answer before a container is ready; a text says why it never can.
 *
 * Checks go to the address that proxies use, not to the loopback address: there, Docker's userland
 * proxy accepts connections that nothing inside the container accepts, while through an address of the
 * host they reach the container itself. So an established connection means that the process listens.
 */
export function probeTargets(
  { check }: ReadinessSpec,
  ports: readonly PortBinding[],
  advertiseAddress: string,
): readonly ProbeTarget[] | string {
  if (check.kind === 'none') return [];
  const tcpPorts = ports.filter(({ protocol }) => protocol === 'tcp');
  const address = ({ hostAddress, hostPort }: PortBinding) => ({
    host: isAnyAddress(hostAddress) ? advertiseAddress : hostAddress,
    port: hostPort,
  });
  if (check.kind === 'tcp') {
    return tcpPorts.map((port) => ({ kind: 'tcp', ...address(port) }));
  }
  const port =
    check.port === 0
      ? tcpPorts[0]
      : tcpPorts.find(({ containerPort }) => containerPort === check.port);
  if (port === undefined) {
    return check.port === 0
      ? 'its readiness check needs a TCP port, and it has none'
      : `its readiness check asks port ${check.port}, which is not one of its TCP ports`;
  }
  return [{ kind: 'http', ...address(port), path: check.path }];
}

function isAnyAddress(address: string): boolean {
  return address === '' || address === '0.0.0.0' || address === '::';
}

/** How the checks of one process went so far. */
export interface ProbeHistory {
  /** `unknown`: the process ran before the agent did, so it is ready until proven otherwise. */
  readonly state: 'unknown' | 'never-ready' | 'ready' | 'not-ready';
  readonly failuresInARow: number;
  /** Time until the next check. */
  readonly delayMs: number;
}

/** Where checking a process begins. */
export function beginProbing(isNew: boolean): ProbeHistory {
  return { state: isNew ? 'never-ready' : 'unknown', failuresInARow: 0, delayMs: 0 };
}

/** Adds the result of a check. */
export function afterProbe(
  history: ProbeHistory,
  succeeded: boolean,
  { intervalMs, failureThreshold }: ReadinessSpec,
): ProbeHistory {
  if (succeeded) return { state: 'ready', failuresInARow: 0, delayMs: intervalMs };
  const failuresInARow = history.failuresInARow + 1;
  if (history.state === 'never-ready') {
    const delayMs = firstDelayMs * delayGrowth ** Math.min(history.failuresInARow, 20);
    const ceilingMs = ceilingOf(intervalMs);
    return { state: 'never-ready', failuresInARow, delayMs: Math.min(delayMs, ceilingMs) };
  }
  const state = failuresInARow >= failureThreshold ? 'not-ready' : history.state;
  return { state, failuresInARow, delayMs: Math.min(intervalMs, doubtDelayMs) };
}

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
  readonly spec: ReadinessSpec;
  readonly targets: readonly ProbeTarget[] | string;
  /** False for a process that was there before the agent. */
  readonly isNew: boolean;
}

/** Checks one process until the signal aborts. */
export async function keepProbing(
  { spec, targets, isNew }: ProbingOptions,
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
  let history = beginProbing(isNew);
  let told: Verdict | undefined;
  while (!signal.aborted) {
    const failures = await Promise.all(
      targets.map((target) => probe(target, spec.timeoutMs, signal)),
    );
    if (signal.aborted) return;
    const failure = failures.find((words) => words !== '') ?? '';
    history = afterProbe(history, failure === '', spec);
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
  { intervalMs }: ReadinessSpec,
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
