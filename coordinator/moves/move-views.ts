import type { ContainerId, NodeId } from '../../shared/ids.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Container, Move, Service } from '../model.ts';
import type { Placement } from '../orchestrator/placement.ts';
import { isCanary } from '../orchestrator/canary.ts';
import { describe } from '../orchestrator/progress.ts';
import { recover } from '../orchestrator/restart.ts';
import { byUsefulness, serves } from '../orchestrator/standing.ts';
import { viewOf, type ViewSources } from '../orchestrator/view-of.ts';
import { isAlive, viewService, type ContainerView } from '../orchestrator/views.ts';
import { explainUnplaceable } from '../scheduler/schedule.ts';
import type { Store } from '../store/store.ts';
import type { MoveView, Obstacle, Successor } from './plan-moves.ts';

export interface MoveSources extends ViewSources {
  readonly store: Store;
  readonly placement: Placement;
  readonly clock: Clock;
}

/** A service that is further from even than that has moves enough to begin with. */
const maxMoves = 100;

/** Looks at containers that are to move, and at what is to take their places. */
export class MoveViews {
  readonly #sources: MoveSources;

  constructor(sources: MoveSources) {
    this.#sources = sources;
  }

  /** All that is on a node and is to go; what a user stopped stays. */
  onNode(nodeId: NodeId): MoveView[] {
    return this.#sources.store
      .containersOn(nodeId)
      .filter(({ wanted }) => wanted !== 'stopped')
      .map((container) => this.of(container));
  }

  of(container: Container): MoveView {
    const { store, observed } = this.#sources;
    const { id, name, slot, serviceId, nodeId, eviction } = container;
    const service = store.services.get(serviceId);
    const isLost = nodeId !== null && observed.node(nodeId).state === 'down';
    const standing = standingOf(container, service, isLost);
    return {
      ...{ id, name, slot, serviceId, service: service?.name ?? '', from: this.#nameOf(nodeId) },
      standing,
      // What is lost is replaced already.
      evicted: eviction !== null || (isLost && standing === 'here'),
      forced: eviction?.forced === true,
      successor: this.#successorOf(service, container),
      serviceParallelism: service === undefined ? 1 : viewService(service, null).parallelism,
    };
  }

  /** One that is gone from the records. */
  ofGone(move: Move): MoveView {
    const { containerId: id, container: name, slot, serviceId, service, from } = move;
    const known = this.#sources.store.services.get(serviceId);
    const successor = this.#successorOf(known, { id, slot, revision: known?.base?.revision ?? 0 });
    return {
      ...{ id, name, slot, serviceId, service, from, successor },
      ...{ standing: 'gone', evicted: false, forced: false, serviceParallelism: 1 },
    };
  }

  /** Why no other node takes it; null: one does. */
  obstacleTo(id: ContainerId): Obstacle | null {
    const { store, placement } = this.#sources;
    const container = store.containers.get(id);
    const service = container && store.services.get(container.serviceId);
    if (container === undefined || service === undefined) return null;
    const decision = placement.decideAgain(service, container);
    if (decision?.kind !== 'unplaceable') return null;
    const reasons = decision.reasons.filter(
      ({ nodeId, filter }) => nodeId !== container.nodeId || filter === 'ORPHAN_RUNS',
    );
    return { message: explainUnplaceable(reasons, { pinnedTo: null }), reasons };
  }

  /** Why its move would make nothing more even; null: it would. */
  needlessFor(id: ContainerId): Obstacle | null {
    const { store, placement } = this.#sources;
    const container = store.containers.get(id);
    const service = container && store.services.get(container.serviceId);
    const places = service === undefined ? [] : placement.betterPlaces(service, maxMoves);
    if (places.some(({ from }) => from === container?.nodeId)) return null;
    return { message: 'its service is even without', reasons: [] };
  }

  #successorOf(
    service: Service | undefined,
    { id, slot, revision }: Pick<Container, 'id' | 'slot' | 'revision'>,
  ): Successor | null {
    if (service === undefined) return null;
    // A canary stands beside what its slot has, and takes nobody's place.
    const canary = isCanary(service, { revision });
    const [successor] = this.#sources.store
      .containersOf(service.id)
      .filter((other) => other.slot === slot && other.id !== id && other.wanted === 'running')
      .filter((other) => isCanary(service, other) === canary)
      .map((other) => viewOf(other, this.#sources))
      .sort(byUsefulness);
    return successor === undefined ? null : this.#standingOf(successor, service);
  }

  #standingOf(view: ContainerView, service: Service): Successor {
    const { placement } = this.#sources;
    const node = this.#nameOf(view.nodeId);
    const reasons = view.nodeId === null ? placement.reasonsOf(view.id) : [];
    const message = `waits for ${describe(view, placement.unplaceable)}`;
    if (reasons.length > 0) {
      const why = explainUnplaceable(reasons, { pinnedTo: view.pinnedTo });
      return { node, standing: 'failed', message: why, reasons };
    }
    const standing = this.#standing(view, service);
    return { node, standing, message: standing === 'serving' ? '' : message, reasons };
  }

  #nameOf(nodeId: NodeId | null): string {
    return nodeId === null ? '' : (this.#sources.store.nodes.get(nodeId)?.name ?? '');
  }

  #standing(view: ContainerView, service: Service): Successor['standing'] {
    const nowMs = this.#sources.clock.now();
    const policy = viewService(service, null);
    if (serves(view) || (view.ready && view.arrived)) return 'serving';
    if (!isAlive(view)) {
      const { kind } = recover(view, policy, nowMs);
      if (kind === 'leave') return 'serving';
      return kind === 'give-up' ? 'failed' : 'coming';
    }
    const isLate = !view.arrived && nowMs >= view.createdAtMs + policy.deadlineMs;
    return isLate && !view.away ? 'failed' : 'coming';
  }
}

function standingOf(
  { wanted, pinnedTo }: Container,
  service: Service | undefined,
  isLost: boolean,
): MoveView['standing'] {
  if (wanted === 'running' && service?.started === true && !service.terminating) {
    // A container of every node goes by itself with its node.
    return pinnedTo === null ? 'here' : 'leaving';
  }
  return isLost || wanted === 'stopped' ? 'gone' : 'leaving';
}

/** Whose containers an eviction by this is. */
export function evictedBy(
  store: Pick<Store, 'containers'>,
  isOver: (by: string) => boolean,
): ContainerId[] {
  return [...store.containers.values()].flatMap(({ id, eviction }) =>
    eviction !== null && isOver(eviction.by) ? [id] : [],
  );
}
