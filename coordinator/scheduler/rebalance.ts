import { groupBy } from '../../shared/collections.ts';
import type { ContainerId, NodeId } from '../../shared/ids.ts';
import { refusalsOf } from './filters.ts';
import { Occupancy } from './occupancy.ts';
import { addVolumes } from './schedule.ts';
import { crowdsOf, groupsOf, inEmptiestGroups } from './spread.ts';
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
  /** Containers by the strategy's count, of this service or of all; in the group, if it goes to another. */
  readonly crowdFrom: number;
  readonly crowdTo: number;
}

/**
 * The moves that make a service even again by its own strategy, the most crowded node first, at most `limit`. None
 * where no node has two more than another that could take one: a move that only swaps places is none. What is spread
 * over groups of nodes goes to another group only if that has two less, and is evened out within them.
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
  const levels = levelsOf(any.needs, nodes, occupancy);
  const leasts = levels.map(({ crowd }) => Math.min(...nodes.map(({ id }) => crowd(id))));
  const sources = [...left.keys()]
    .filter((id) => levels.some(({ crowd }, at) => crowd(id) - (leasts[at] ?? 0) >= 2))
    .sort((a, b) => byCrowd(levels, a, b) || a.localeCompare(b));
  for (const from of sources) {
    const candidate = left.get(from)?.at(-1);
    if (candidate === undefined) continue;
    const better = betterThan(candidate, levels, { nodes, occupancy });
    if (better === null) continue;
    const move = { containerId: candidate.needs.id, from, ...better };
    left.get(from)?.pop();
    if (left.get(from)?.length === 0) left.delete(from);
    return arrive(move, candidate, occupancy);
  }
  return null;
}

/** What is to be even: groups of nodes by one more key each, at last the nodes. */
interface Level {
  readonly groupOf: (id: NodeId) => string;
  /** How crowded the group of a node is. */
  readonly crowd: (id: NodeId) => number;
}

function levelsOf(
  needs: PendingView,
  nodes: readonly NodeView[],
  occupancy: Occupancy,
): readonly Level[] {
  const grouped = groupsOf(nodes, needs.spreadOver).map((groups): Level => {
    const crowds = crowdsOf(groups, needs.serviceId, occupancy);
    const groupOf = (id: NodeId) => groups.get(id) ?? '';
    return { groupOf, crowd: (id) => crowds.get(groupOf(id)) ?? 0 };
  });
  return [...grouped, { groupOf: (id) => id, crowd: (id) => crowdOf(id, needs, occupancy) }];
}

/** The most crowded first. */
function byCrowd(levels: readonly Level[], a: NodeId, b: NodeId): number {
  for (const { crowd } of levels) if (crowd(a) !== crowd(b)) return crowd(b) - crowd(a);
  return 0;
}

type Better = Pick<BetterPlace, 'to' | 'crowdFrom' | 'crowdTo'>;

function betterThan(
  { nodeId, needs }: Movable,
  levels: readonly Level[],
  { nodes, occupancy }: { readonly nodes: readonly NodeView[]; readonly occupancy: Occupancy },
): Better | null {
  const refusalOf = refusalsOf(needs);
  let able = nodes.filter((node) => node.id !== nodeId && refusalOf(node, occupancy) === undefined);
  for (const { groupOf, crowd } of levels) {
    const best = bestNode(inEmptiestGroups(able, needs, nodes, occupancy), needs, occupancy);
    if (best === undefined) return null;
    const [crowdFrom, crowdTo] = [crowd(nodeId), crowd(best.id)];
    const isElsewhere = groupOf(best.id) !== groupOf(nodeId);
    if (isElsewhere && crowdFrom - crowdTo >= 2) return { to: best.id, crowdFrom, crowdTo };
    able = able.filter(({ id }) => groupOf(id) === groupOf(nodeId));
  }
  return null;
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
