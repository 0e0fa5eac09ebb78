import type { NodeId } from '../../shared/ids.ts';
import type { PlacementReason } from '../model.ts';
import { refusalsOf, type Requirements } from './filters.ts';
import { Occupancy } from './occupancy.ts';
import type { NodeView } from './views.ts';

// Which nodes can have a container. Most of what is asked of a node follows from the node alone, and fleets
// change seldom: it is found out once for all containers that ask for the same.

/** What follows from the nodes alone, for containers of one kind. */
interface Suitability {
  readonly able: readonly NodeView[];
  /** In the order of the nodes; undefined: it is able. */
  readonly refusals: readonly (PlacementReason | undefined)[];
}

/** Kinds of containers that are remembered of a fleet. */
const maxKinds = 64;

const remembered = new WeakMap<readonly NodeView[], Map<string, Suitability>>();

const nothingPlaced = new Occupancy();

/** The nodes that can have a container, in their order. The list of nodes must never be changed in place. */
export function ableNodes(
  container: Requirements,
  nodes: readonly NodeView[],
  occupancy: Occupancy,
): readonly NodeView[] {
  if (container.pinnedTo !== null) {
    // What belongs to one node asks the others only to say why not.
    const home = nodeOf(nodes, container.pinnedTo);
    if (home === undefined) return [];
    return refusalsOf(container)(home, occupancy) === undefined ? [home] : [];
  }
  const { able } = suitabilityOf(container, nodes);
  const refusalOf = refusalsOf(container, 'of-placed');
  return able.filter((node) => refusalOf(node, occupancy) === undefined);
}

/** Why each node that cannot have a container refuses it, in their order. */
export function reasonsOf(
  container: Requirements,
  nodes: readonly NodeView[],
  occupancy: Occupancy,
): PlacementReason[] {
  // What is asked before has to be told before: it lasts longer.
  const isAskedBefore = container.pinnedTo !== null || container.volumes.length > 0;
  const refusals = isAskedBefore ? [] : suitabilityOf(container, nodes).refusals;
  const refusalOf = refusalsOf(container);
  return nodes.flatMap((node, at) => refusals[at] ?? refusalOf(node, occupancy) ?? []);
}

const byId = new WeakMap<readonly NodeView[], ReadonlyMap<NodeId, NodeView>>();

/** A service that every node has one of asks for each of them in turn. */
function nodeOf(nodes: readonly NodeView[], id: NodeId): NodeView | undefined {
  let known = byId.get(nodes);
  if (known === undefined) {
    known = new Map(nodes.map((node) => [node.id, node]));
    byId.set(nodes, known);
  }
  return known.get(id);
}

function suitabilityOf(container: Requirements, nodes: readonly NodeView[]): Suitability {
  const kinds = remembered.get(nodes) ?? new Map<string, Suitability>();
  remembered.set(nodes, kinds);
  const { tags, avoidTags, platforms } = container;
  const kind = JSON.stringify([tags, avoidTags, platforms]);
  const known = kinds.get(kind);
  if (known !== undefined) return known;
  const refusalOf = refusalsOf(container, 'of-node');
  const refusals = nodes.map((node) => refusalOf(node, nothingPlaced));
  const able = nodes.filter((_, at) => refusals[at] === undefined);
  if (kinds.size >= maxKinds) kinds.clear();
  const found = { able, refusals };
  kinds.set(kind, found);
  return found;
}
