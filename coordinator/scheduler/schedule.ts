import type { PlacementReason } from '../model.ts';
import { refusalsOf } from './filters.ts';
import { indexPlaced, Occupancy } from './occupancy.ts';
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
  // What belongs to one node asks the others only to say why not.
  const home = nodes.find(({ id }) => id === container.pinnedTo);
  const { able, reasons } = judge(container, home === undefined ? nodes : [home], occupancy);
  const untried = able.filter(({ id }) => !container.avoid.includes(id));
  const chosen = bestNode(untried.length > 0 ? untried : able, container, occupancy);
  if (chosen === undefined) {
    const all = home === undefined ? reasons : judge(container, nodes, occupancy).reasons;
    return { kind: 'unplaceable', containerId: container.id, reasons: all };
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

/** Which nodes can have the container, and why the others cannot. */
function judge(container: PendingView, nodes: readonly NodeView[], occupancy: Occupancy) {
  const refusalOf = refusalsOf(container);
  const able: NodeView[] = [];
  const reasons: PlacementReason[] = [];
  for (const node of nodes) {
    const refusal = refusalOf(node, occupancy);
    if (refusal === undefined) able.push(node);
    else reasons.push(refusal);
  }
  return { able, reasons };
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
