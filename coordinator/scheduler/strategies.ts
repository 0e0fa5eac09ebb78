import type { NodeId, ServiceId } from '../../shared/ids.ts';
import type { Strategy } from '../model.ts';
import type { Occupancy } from './occupancy.ts';
import type { NodeView } from './views.ts';

/** What two nodes are compared by, most important first. */
type Rank = readonly [first: number, second: number, name: string, id: string];

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
  let bestRank: Rank | undefined;
  for (const node of nodes) {
    const total = occupancy.total(node.id);
    const ofService = occupancy.ofService(serviceId, node.id);
    const rank: Rank = [...order(strategy, ofService, total), node.name, node.id];
    if (bestRank === undefined || isBefore(rank, bestRank)) {
      best = node;
      bestRank = rank;
    }
  }
  return best;
}

/** How crowded a node is, by what the strategy looks at first. */
export function crowdOf(
  nodeId: NodeId,
  { serviceId, strategy }: { readonly serviceId: ServiceId; readonly strategy: Strategy },
  occupancy: Occupancy,
): number {
  return order(strategy, occupancy.ofService(serviceId, nodeId), occupancy.total(nodeId))[0];
}

function order(strategy: Strategy, ofService: number, total: number): readonly [number, number] {
  switch (strategy) {
    case 'emptiest-node':
      return [total, ofService];
    case 'high-availability':
      return [ofService, total];
    // Its containers are pinned; where one is not, the node without one comes first.
    case 'every-node':
      return [ofService, total];
  }
}

function isBefore(a: Rank, b: Rank): boolean {
  if (a[0] !== b[0]) return a[0] < b[0];
  if (a[1] !== b[1]) return a[1] < b[1];
  return a[2] === b[2] ? a[3] < b[3] : a[2] < b[2];
}
