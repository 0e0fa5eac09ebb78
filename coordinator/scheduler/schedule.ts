import type { PlacementReason } from '../model.ts';
import { ableNodes, reasonsOf } from './candidates.ts';
import { indexPlaced, Occupancy } from './occupancy.ts';
import { inEmptiestGroups } from './spread.ts';
import { bestNode } from './strategies.ts';
import type { Decision, NodeView, PendingView, PlacedView } from './views.ts';

export { explainUnplaceable } from './explain.ts';
export { isEligible } from './filters.ts';
export { indexPlaced, type Occupancy } from './occupancy.ts';
export type { Decision, NodeView, PendingView, PlacedView } from './views.ts';

/**
 * Chooses a node for each pending container, in their order; each choice counts for the next.
 *
 * `placed` may be an index made before by `indexPlaced`; it is left as it was.
 */
export function schedule(
  pending: readonly PendingView[],
  nodes: readonly NodeView[],
  placed: readonly PlacedView[] | Occupancy,
): Decision[] {
  const occupancy = new Occupancy(placed instanceof Occupancy ? placed : indexPlaced(placed));
  addVolumes(occupancy, pending, nodes);
  // What no node could take a moment ago, none can take now: placing others frees nothing. So a
  // service of a thousand containers that fit nowhere costs one list of reasons, not a thousand.
  const refused = new Map<string, readonly PlacementReason[]>();
  return pending.map((container) => {
    if (container.inTheWay !== null) {
      return { kind: 'unplaceable', containerId: container.id, reasons: [container.inTheWay] };
    }
    const key = requirementsOf(container);
    const known = refused.get(key);
    if (known !== undefined) {
      return { kind: 'unplaceable', containerId: container.id, reasons: known };
    }
    const decision = decide(container, nodes, occupancy);
    // But a volume that others bring to a node is there for the next.
    const isFinal = container.volumes.length === 0;
    if (decision.kind === 'unplaceable' && isFinal) refused.set(key, decision.reasons);
    return decision;
  });
}

function decide(
  container: PendingView,
  nodes: readonly NodeView[],
  occupancy: Occupancy,
): Decision {
  const able = ableNodes(container, nodes, occupancy);
  const best = inEmptiestGroups(preferred(able, container), container, nodes, occupancy);
  const chosen = bestNode(best, container, occupancy);
  if (chosen === undefined) {
    const reasons = reasonsOf(container, nodes, occupancy);
    return { kind: 'unplaceable', containerId: container.id, reasons };
  }
  occupancy.add({
    nodeId: chosen.id,
    serviceId: container.serviceId,
    containerName: 'a container that was placed there just now',
    ports: container.ports,
    leaving: false,
    volumes: container.volumes.map(({ name }) => name),
    reservation: container.reservation,
  });
  return { kind: 'placed', containerId: container.id, nodeId: chosen.id };
}

/** Those where no attempt before it failed, if there are any. */
function preferred(able: readonly NodeView[], { avoid }: PendingView): readonly NodeView[] {
  if (avoid.length === 0) return able;
  const untried = able.filter(({ id }) => !avoid.includes(id));
  return untried.length > 0 ? untried : able;
}

/** Where the volumes are that are asked for: most services ask for none, and most nodes have many. */
export function addVolumes(
  occupancy: Occupancy,
  pending: readonly Pick<PendingView, 'volumes'>[],
  nodes: readonly NodeView[],
): void {
  const needed = new Set(pending.flatMap(({ volumes }) => volumes.map(({ name }) => name)));
  if (needed.size === 0) return;
  for (const { id, volumes } of nodes) {
    for (const name of volumes) if (needed.has(name)) occupancy.addVolume(name, id);
  }
}

/** All that filters look at, as one word. */
function requirementsOf(container: PendingView): string {
  return JSON.stringify({ ...container, id: '', slot: 0, avoid: [] });
}
