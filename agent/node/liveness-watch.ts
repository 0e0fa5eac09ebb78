import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../shared/clock.ts';
import type { Liveness } from '../../shared/health-check.ts';
import type { EngineContainer } from './docker/engine.ts';
import { probeTargets } from './probe-targets.ts';
import type { Probe, ProbeTarget } from './probe.ts';
import { startPeriodEnd } from './start-period.ts';

export interface LivenessWatchDeps {
  readonly clock: Clock;
  readonly probe: Probe;
  /** Address that ports bound to all addresses are checked at. */
  readonly advertiseAddress: string;
}

/** How the checks of one process went so far. */
export interface LivenessHistory {
  readonly failuresInARow: number;
  readonly successesInARow: number;
  /** Whether a check ever passed: then the process is past its start. */
  readonly hasPassed: boolean;
}

export const noHistory: LivenessHistory = {
  failuresInARow: 0,
  successesInARow: 0,
  hasPassed: false,
};

/** Adds the result of a check; failures of a process that is starting do not count. */
export function afterCheck(
  { failuresInARow: failures, successesInARow: successes, hasPassed }: LivenessHistory,
  { succeeded, isStarting }: { readonly succeeded: boolean; readonly isStarting: boolean },
  { successThreshold }: Liveness,
): LivenessHistory {
  if (!succeeded) {
    const counts = hasPassed || !isStarting;
    return { failuresInARow: counts ? failures + 1 : 0, successesInARow: 0, hasPassed };
  }
  const isWell = successes + 1 >= successThreshold;
  return {
    failuresInARow: isWell ? 0 : failures,
    successesInARow: isWell ? 0 : successes + 1,
    hasPassed: true,
  };
}

/** Finds out when the process of a container lives no more, although it is there: once for each process. */
export class LivenessWatch {
  readonly #deps: LivenessWatchDeps;
  readonly #onDeath: () => void;
  #message = '';
  #sinceMs = 0;
  #process: string | undefined;
  #spec: Liveness | undefined;
  #checking: AbortController | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(deps: LivenessWatchDeps, onDeath: () => void) {
    this.#deps = deps;
    this.#onDeath = onDeath;
  }

  /** Why the process is to be restarted; empty while it is not. */
  get message(): string {
    return this.#message;
  }

  /** How long ago that was found out. */
  sinceMs(): number {
    return this.#deps.clock.monotonic() - this.#sinceMs;
  }

  /** Takes what the engine has now, and how to check it: undefined for not at all. */
  follow(engine: EngineContainer | undefined, spec: Liveness | undefined): void {
    const isWatched = engine?.state === 'running' && spec !== undefined;
    const process = isWatched ? `${engine.engineId} ${engine.startedAt?.toISOString() ?? ''}` : '';
    // Each order brings a copy: only another check is worth beginning anew.
    const isSame = process === this.#process && isDeepStrictEqual(spec, this.#spec);
    if (isSame) return;
    this.#halt();
    this.#process = process;
    this.#spec = spec;
    if (isWatched) this.#begin(engine, spec);
  }

  /** Ends the checks; resolves when none is under way. */
  async stop(): Promise<void> {
    this.#halt();
    await this.#ended;
  }

  #begin(engine: EngineContainer, spec: Liveness): void {
    const checking = new AbortController();
    this.#checking = checking;
    const running = this.#check(engine, spec, checking.signal);
    this.#ended = Promise.all([this.#ended, running]);
  }

  async #check(engine: EngineContainer, spec: Liveness, signal: AbortSignal): Promise<void> {
    const { clock, probe, advertiseAddress } = this.#deps;
    const targets = probeTargets(spec.check, engine, advertiseAddress);
    // Its ports are not what they should be: starting it anew would not mend that.
    if (typeof targets === 'string') return;
    const startsUntilMs = startPeriodEnd(engine.startedAt, spec.startPeriodMs, clock);
    const ask = (target: ProbeTarget) => probe(target, spec.timeoutMs, signal);
    let history = noHistory;
    while (!signal.aborted) {
      await clock.sleep(spec.intervalMs, signal);
      const failures = await Promise.all(targets.map(ask));
      if (signal.aborted) return;
      const failure = failures.find((words) => words !== '') ?? '';
      const result = { succeeded: failure === '', isStarting: clock.monotonic() < startsUntilMs };
      history = afterCheck(history, result, spec);
      if (history.failuresInARow >= spec.failureThreshold) {
        this.#message = failure;
        this.#sinceMs = clock.monotonic();
        this.#onDeath();
        return;
      }
    }
  }

  #halt(): void {
    this.#checking?.abort();
    this.#checking = undefined;
    this.#message = '';
  }
}
