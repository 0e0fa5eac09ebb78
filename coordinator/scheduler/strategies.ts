import type { NodeId, ServiceId } from '../../shared/ids.ts';
import type { Strategy } from '../model.ts';
import type { Occupancy } from './occupancy.ts';
import type { NodeView } from './views.ts';

/**
 * The best of the nodes by the strategy. Ties: fewest containers of this service, then fewest in
 * all, then by name. Undefined without nodes.
 */
export function bestNode(
  nodes: readonly NodeView[],
  { serviceId, strategy }: { readonly serviceId: ServiceId; readonly strategy: Strategy },
  occupancy: Occupancy,
): NodeView | undefined {
  let best: NodeView | undefined;
  let bestFirst = Infinity;
  let bestSecond = Infinity;
  const counts = countsOf(strategy, serviceId, occupancy);
  for (const node of nodes) {
    const first = counts.first(node.id);
    if (first > bestFirst) continue;
    const second = counts.second(node.id);
    if (first === bestFirst) {
      if (second > bestSecond) continue;
      if (second === bestSecond && best !== undefined && !isNamedBefore(node, best)) continue;
    }
    best = node;
    bestFirst = first;
    bestSecond = second;
  }
  return best;
}

/** How crowded a node is, by what the strategy looks at first. */
export function crowdOf(
  nodeId: NodeId,
  { serviceId, strategy }: { readonly serviceId: ServiceId; readonly strategy: Strategy },
  occupancy: Occupancy,
): number {
  return countsOf(strategy, serviceId, occupancy).first(nodeId);
}

/** What the strategy looks at of a node, most important first. */
function countsOf(strategy: Strategy, serviceId: ServiceId, occupancy: Occupancy) {
  const total = (id: NodeId) => occupancy.total(id);
  const ofService = occupancy.countsOf(serviceId);
  switch (strategy) {
    case 'emptiest-node':
      return { first: total, second: ofService };
    case 'high-availability':
      return { first: ofService, second: total };
    // Its containers are pinned; where one is not, the node without one comes first.
    case 'every-node':
      return { first: ofService, second: total };
  }
}

function isNamedBefore(a: NodeView, b: NodeView): boolean {
  return a.name === b.name ? a.id < b.id : a.name < b.name;
}
