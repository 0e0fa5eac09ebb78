import type { ContainerId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Container } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import { isMade, orphanBeforeMaking } from '../observed/seen-orphans.ts';
import { areWritten } from '../orchestrator/volumes.ts';
import type { Settling } from '../routing/settling.ts';
import type { Store } from '../store/store.ts';

export interface HeldBackDeps {
  readonly store: Pick<Store, 'nodes' | 'services' | 'containers'>;
  readonly observed: ObservedState;
  readonly settling: Pick<Settling, 'settled'>;
  readonly log: Logger;
}

/** Containers that their nodes are not told of, lest they write to volumes that an orphan writes to. */
export class HeldBack {
  readonly #deps: HeldBackDeps;
  /** Those that were asked for, and may be told of later. */
  readonly #held = new Set<ContainerId>();

  constructor(deps: HeldBackDeps) {
    this.#deps = deps;
  }

  /** Whether a container is not to be made yet. Until all nodes have been heard, one may yet tell of an orphan. */
  has(container: Container): boolean {
    const { store, observed, settling, log } = this.#deps;
    const { id, name, definition } = container;
    const seen = observed.container(id);
    if (isMade(seen) || !areWritten(definition?.volumes ?? [])) return false;
    const orphan = orphanBeforeMaking(container, this.#deps);
    // What its node is at already goes on: not to be told of it would end that.
    if (orphan === undefined && (settling.settled || seen?.phase === 'pulling')) return false;
    if (orphan !== undefined && !this.#held.has(id)) {
      const node = store.nodes.get(orphan.nodeId)?.name;
      log.warn({ container: name, node }, 'container is not made while an orphan has its slot');
    }
    this.#held.add(id);
    return true;
  }

  /** Those that need not be held back any more; each is told once. */
  takeReleased(): ContainerId[] {
    const { store } = this.#deps;
    const released = [...this.#held].filter((id) => {
      const container = store.containers.get(id);
      return container === undefined || !this.has(container);
    });
    for (const id of released) this.#held.delete(id);
    return released;
  }
}
