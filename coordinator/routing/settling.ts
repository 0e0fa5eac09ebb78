import type { Clock } from '../../shared/clock.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { Store } from '../store/store.ts';

/** How long a coordinator that restarted waits for agents at the most. They redial within 5 s. */
const patienceMs = 10_000;

/**
 * Tells when a coordinator that restarted knows enough to say what is missing: every node has reported,
 * or was waited for long enough. Before that no backend list is sent and nothing counts as drained.
 */
export class Settling {
  readonly #deps: {
    readonly store: Store;
    readonly observed: ObservedState;
    readonly clock: Clock;
  };
  readonly #startedAtMs: number;
  #settled = false;

  constructor(deps: {
    readonly store: Store;
    readonly observed: ObservedState;
    readonly clock: Clock;
  }) {
    this.#deps = deps;
    this.#startedAtMs = deps.clock.monotonic();
  }

  /** Never goes back to false. */
  get settled(): boolean {
    if (this.#settled) return true;
    const { store, observed, clock } = this.#deps;
    const waitedMs = clock.monotonic() - this.#startedAtMs;
    const heardOfAll = [...store.nodes.values()].every(
      (node) => observed.node(node.id).state !== 'unknown',
    );
    this.#settled = heardOfAll || waitedMs >= patienceMs;
    return this.#settled;
  }
}
