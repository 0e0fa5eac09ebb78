import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { ContainerStatus } from './model.ts';

export interface StatusLogDeps {
  readonly clock: Pick<Clock, 'after'>;
  readonly log: Logger;
}

/** Writes down what became of one container, a moment later: balancers hear of it first. */
export class StatusLog {
  readonly #deps: StatusLogDeps;
  readonly #delayMs: number;
  readonly #unwritten: ContainerStatus[] = [];
  #timer: Disposable | undefined;

  constructor(deps: StatusLogDeps, delayMs: number) {
    this.#deps = deps;
    this.#delayMs = delayMs;
  }

  /** Takes a status; of several of one phase in a row the last is written. */
  note(status: ContainerStatus, isNewPhase: boolean): void {
    if (isNewPhase) this.#unwritten.push(status);
    else if (this.#unwritten.length > 0) this.#unwritten[this.#unwritten.length - 1] = status;
  }

  /** To be called when nothing is urgent any more. */
  writeSoon(): void {
    if (this.#unwritten.length === 0) return;
    this.#timer ??= this.#deps.clock.after(this.#delayMs, () => {
      this.writeNow();
    });
  }

  writeNow(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    for (const { containerId, name, engineId, phase, exitCode, message } of this.#unwritten) {
      const fields = {
        ...{ containerId, name, engineId: engineId.slice(0, 12) || undefined },
        ...{ phase, exitCode, reason: message || undefined },
      };
      this.#deps.log[phase === 'failed' ? 'warn' : 'info'](fields, 'container changed');
    }
    this.#unwritten.length = 0;
  }
}
