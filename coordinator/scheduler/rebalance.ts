import { groupBy } from '../../shared/collections.ts';
import type { ContainerId, NodeId } from '../../shared/ids.ts';
import { refusalsOf } from './filters.ts';
import { Occupancy } from './occupancy.ts';
import { addVolumes } from './schedule.ts';
import { bestNode, crowdOf } from './strategies.ts';
import type { NodeView, PendingView } from './views.ts';

/** A container that stays on a node, and what it would need on another. */
export interface Movable {
  readonly nodeId: NodeId;
  readonly needs: PendingView;
}

/** A container that would be better elsewhere, and the counts that say so: before it moves. */
export interface BetterPlace {
  readonly containerId: ContainerId;
  readonly from: NodeId;
  readonly to: NodeId;
  /** Containers by the strategy's count: of this service, or of all. */
  readonly crowdFrom: number;
  readonly crowdTo: number;
}

/**
 * The moves that make a service even again by its own strategy, the most crowded node first, at most `limit`. None
 * where no node has two more than another that could take one: a move that only swaps places is none.
 */
export function rebalance(
  movables: readonly Movable[],
  nodes: readonly NodeView[],
  placed: Occupancy,
  limit: number,
): BetterPlace[] {
  const occupancy = new Occupancy(placed);
  addVolumes(
    occupancy,
    movables.map(({ needs }) => needs),
    nodes,
  );
  const left = groupBy(movables, ({ nodeId }) => nodeId);
  const moves: BetterPlace[] = [];
  while (moves.length < limit) {
    const move = nextMove(left, nodes, occupancy);
    if (move === null) break;
    moves.push(move);
  }
  return moves;
}

function nextMove(
  left: Map<NodeId, Movable[]>,
  nodes: readonly NodeView[],
  occupancy: Occupancy,
): BetterPlace | null {
  const [any] = [...left.values()].flat();
  if (any === undefined) return null;
  const crowd = (id: NodeId) => crowdOf(id, any.needs, occupancy);
  const least = Math.min(...nodes.map(({ id }) => crowd(id)));
  const sources = [...left.keys()]
    .filter((id) => crowd(id) - least >= 2)
    .sort((a, b) => crowd(b) - crowd(a) || a.localeCompare(b));
  for (const from of sources) {
    const candidate = left.get(from)?.at(-1);
    if (candidate === undefined) continue;
    const to = betterThan(candidate, nodes, occupancy);
    if (to === null) continue;
    const move = {
      ...{ containerId: candidate.needs.id, from, to },
      ...{ crowdFrom: crowd(from), crowdTo: crowd(to) },
    };
    left.get(from)?.pop();
    if (left.get(from)?.length === 0) left.delete(from);
    return arrive(move, candidate, occupancy);
  }
  return null;
}

function betterThan(
  { nodeId, needs }: Movable,
  nodes: readonly NodeView[],
  occupancy: Occupancy,
): NodeId | null {
  const refusalOf = refusalsOf(needs);
  const able = nodes.filter(
    (node) => node.id !== nodeId && refusalOf(node, occupancy) === undefined,
  );
  const best = bestNode(able, needs, occupancy);
  if (best === undefined) return null;
  const gain = crowdOf(nodeId, needs, occupancy) - crowdOf(best.id, needs, occupancy);
  return gain >= 2 ? best.id : null;
}

function arrive(move: BetterPlace, { nodeId, needs }: Movable, occupancy: Occupancy): BetterPlace {
  const { serviceId, ports, volumes, reservation } = needs;
  occupancy.leave({ nodeId, serviceId });
  occupancy.add({
    ...{ nodeId: move.to, serviceId, containerName: '', ports, leaving: false, reservation },
    volumes: volumes.map(({ name }) => name),
  });
  return move;
}
