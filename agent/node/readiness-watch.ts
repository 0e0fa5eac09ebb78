import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../shared/clock.ts';
import type { EngineContainer } from './docker/engine.ts';
import type { Readiness } from '../../shared/health-check.ts';
import type { ReadinessState } from './model.ts';
import { probeTargets } from './probe-targets.ts';
import type { Probe } from './probe.ts';
import { keepProbing } from './readiness.ts';

export interface ReadinessWatchDeps {
  readonly clock: Clock;
  readonly probe: Probe;
}

/**
 * Keeps the readiness of one container: checks each of its processes for as long as it runs. A process
 * that ran before the agent did is of unknown readiness until a check is sure, every later one is not
 * ready until a check says so.
 */
export class ReadinessWatch {
  readonly #deps: ReadinessWatchDeps;
  readonly #advertiseAddress: string;
  readonly #onChange: () => void;
  #state: ReadinessState = 'unknown';
  #message = '';
  #process: string | undefined;
  #isNew = false;
  #spec: Readiness | undefined;
  #probing: AbortController | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(deps: ReadinessWatchDeps, advertiseAddress: string, onChange: () => void) {
    this.#deps = deps;
    this.#advertiseAddress = advertiseAddress;
    this.#onChange = onChange;
  }

  get state(): ReadinessState {
    return this.#state;
  }

  /** Why it is not ready; only while it is not, and only if that lasts. */
  get message(): string {
    return this.#message;
  }

  /** Takes what the engine has now, and how to check it: undefined for not at all. */
  follow(engine: EngineContainer | undefined, spec: Readiness | undefined): void {
    if (engine?.state !== 'running') {
      this.#halt();
      this.#process = undefined;
      this.#isNew = true;
      this.#set('not-ready', '');
      return;
    }
    const process = `${engine.engineId} ${engine.startedAt?.toISOString() ?? ''}`;
    if (process !== this.#process) {
      this.#halt();
      if (this.#process !== undefined) this.#isNew = true;
      this.#process = process;
      if (this.#isNew) this.#set('not-ready', '');
    }
    // Each order brings a copy: only another check is worth beginning anew.
    if (spec !== this.#spec && !isDeepStrictEqual(spec, this.#spec)) this.#halt();
    if (spec !== undefined && this.#probing === undefined) this.#begin(engine, spec);
  }

  /** Ends the checks; resolves when none is under way. */
  async stop(): Promise<void> {
    this.#halt();
    await this.#ended;
  }

  #begin(engine: EngineContainer, spec: Readiness): void {
    const probing = new AbortController();
    this.#probing = probing;
    this.#spec = spec;
    const targets = probeTargets(spec.check, engine, this.#advertiseAddress);
    const running = keepProbing(
      // What is known to be ready stays so until proven otherwise.
      {
        spec,
        targets,
        isNew: this.#isNew && this.#state !== 'ready',
        startedAt: engine.startedAt,
      },
      {
        ...this.#deps,
        onVerdict: ({ ready, message }) => {
          this.#set(ready ? 'ready' : 'not-ready', message);
          this.#onChange();
        },
      },
      probing.signal,
    );
    this.#ended = Promise.all([this.#ended, running]);
  }

  #halt(): void {
    this.#probing?.abort();
    this.#probing = undefined;
    this.#spec = undefined;
  }

  #set(state: ReadinessState, message: string): void {
    this.#state = state;
    this.#message = message;
  }
}
