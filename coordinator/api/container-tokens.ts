import type { Clock } from '../../shared/clock.ts';
import type { ContainerId, NodeId, ProxyId } from '../../shared/ids.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { Store } from '../store/store.ts';

/** How long the token of a container is good after the last that was heard of it. */
export const containerTokenLifeMs = 24 * 3_600_000;

export interface ContainerTokensDeps {
  readonly store: Pick<Store, 'containers'>;
  readonly observed: Pick<ObservedState, 'container'>;
  /** For how long its node was not heard of; 0 while that is connected. */
  readonly nodes: { readonly silentMs: (id: NodeId) => number };
  /** The same of a proxy; Infinity: there is none. */
  readonly proxies: { readonly silentMs: (id: ProxyId) => number };
  readonly clock: Clock;
}

/**
 * How long the tokens of containers are good.
 *
 * A container has its token in its environment, which nobody can change while it runs. So the token does not end at
 * a set time; it ends when nobody has vouched for a day that the container runs: its node, or its own session as a
 * proxy, which may well live while the agent of its node is broken. Times are those of the monotonic clock: one that
 * was set wrong locks no container out.
 */
export class ContainerTokens {
  readonly #deps: ContainerTokensDeps;

  constructor(deps: ContainerTokensDeps) {
    this.#deps = deps;
  }

  /** How long the token of a container is good if nothing more is heard of it; 0: no longer. */
  leftMs(id: ContainerId): number {
    const { store, observed, nodes, proxies } = this.#deps;
    const container = store.containers.get(id);
    const phase = observed.container(id)?.phase;
    // Whoever has it now is somebody else.
    if (phase === 'stopped' || phase === 'failed' || phase === 'removed') return 0;
    if (container?.nodeId == null) return 0;
    const silentMs = Math.min(
      nodes.silentMs(container.nodeId),
      proxies.silentMs(id as string as ProxyId),
    );
    return Math.max(0, containerTokenLifeMs - silentMs);
  }

  /** When it ends if nothing more is heard of it, on the wall clock. */
  endsAtMs(id: ContainerId): number {
    return this.#deps.clock.now() + this.leftMs(id);
  }
}
