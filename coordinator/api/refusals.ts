import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Store } from '../store/store.ts';
import type { Principal } from './call.ts';

/** Between two events on the same caller; what is refused meanwhile is counted. */
const intervalMs = 60_000;
/** Callers that are remembered; those who were refused longest ago are forgotten first. */
const maxCallers = 1_000;

export interface Refusal {
  readonly principal: Principal;
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly peer: string;
  /** What the caller was told. */
  readonly message: string;
}

export interface RefusalsDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Caller {
  readonly toldAtMs: number;
  readonly untold: number;
}

/**
 * Makes an event of changes that somebody tried who may not: at most one a minute for each caller, so that
 * nobody can push the history of what did happen out of the events.
 */
export class Refusals {
  readonly #deps: RefusalsDeps;
  readonly #callers = new Map<string, Caller>();

  constructor(deps: RefusalsDeps) {
    this.#deps = deps;
  }

  note({ principal, path, peer, message }: Refusal): void {
    const { store, clock, log } = this.#deps;
    const nowMs = clock.monotonic();
    const before = this.#callers.get(principal.id);
    if (before !== undefined && nowMs - before.toldAtMs < intervalMs) {
      this.#callers.set(principal.id, { ...before, untold: before.untold + 1 });
      return;
    }
    this.#remember(principal.id, { toldAtMs: nowMs, untold: 0 });
    const more =
      before === undefined || before.untold === 0 ? '' : `; ${before.untold} more before`;
    const method = path.slice(path.lastIndexOf('/') + 1);
    try {
      store.transact((tx) => {
        tx.event({
          type: 'access.refused',
          objectId: principal.id,
          objectName: principal.name,
          actionId: '',
          message: `${method} from ${peer}: ${message}${more}`,
        });
      });
    } catch (err) {
      // The caller is refused all the same.
      log.warn({ err }, 'refusal not recorded');
    }
  }

  #remember(id: string, caller: Caller): void {
    this.#callers.delete(id);
    this.#callers.set(id, caller);
    const [oldest] = this.#callers.keys();
    if (this.#callers.size > maxCallers && oldest !== undefined) this.#callers.delete(oldest);
  }
}
