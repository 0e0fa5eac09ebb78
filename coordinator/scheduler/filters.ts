import type { PlacementFilter, PlacementReason } from '../model.ts';
import { fixedPortsOf, type FixedPort, type Occupancy } from './occupancy.ts';
import type { NodeView, PendingView } from './views.ts';

/** What a container asks of a node. */
export type Requirements = Pick<PendingView, 'tags' | 'ports' | 'pinnedTo'>;

/** Says why a node cannot have the container, as a predicate of the node; undefined if it can. */
type Refuse = (container: Requirements, node: NodeView, occupancy: Occupancy) => string | undefined;

/**
 * In the order in which they are asked, most lasting first: what the user would have to change comes
 * before what may pass by itself.
 */
const filters: readonly (readonly [PlacementFilter, Refuse])[] = [
  ['PINNED_ELSEWHERE', refusePinnedElsewhere],
  ['TAG_MISSING', refuseMissingTags],
  ['NOT_ACTIVE', refuseNotActive],
  ['NOT_READY', refuseNotReady],
  ['PORT_TAKEN', refuseTakenPort],
];

/** The first reason why the node cannot have the container now; undefined if it can. */
export function refusalOf(
  container: Requirements,
  node: NodeView,
  occupancy: Occupancy,
): PlacementReason | undefined {
  for (const [filter, refuse] of filters) {
    const reason = refuse(container, node, occupancy);
    if (reason !== undefined) return { nodeId: node.id, node: node.name, filter, reason };
  }
  return undefined;
}

/**
 * Whether the node is one that an every-node service covers: it has all tags and takes containers. A
 * node that is away for a moment still counts.
 */
export function isEligible(container: Pick<PendingView, 'tags'>, node: NodeView): boolean {
  return node.availability === 'active' && missingTags(container, node).length === 0;
}

function refusePinnedElsewhere({ pinnedTo }: Requirements, { id }: NodeView): string | undefined {
  return pinnedTo === null || pinnedTo === id ? undefined : 'is not the node that it belongs to';
}

function refuseMissingTags(container: Requirements, node: NodeView): string | undefined {
  const missing = missingTags(container, node).map((tag) => `"${tag}"`);
  if (missing.length === 0) return undefined;
  return `lacks the ${missing.length === 1 ? 'tag' : 'tags'} ${missing.join(', ')}`;
}

function refuseNotActive(_: Requirements, { availability }: NodeView): string | undefined {
  return availability === 'active' ? undefined : `is ${availability}`;
}

function refuseNotReady(_: Requirements, { state, message }: NodeView): string | undefined {
  return state === 'ready'
    ? undefined
    : `is not ready: ${message === '' ? wordsOf(state) : message}`;
}

function refuseTakenPort(
  { ports }: Requirements,
  { id }: NodeView,
  occupancy: Occupancy,
): string | undefined {
  for (const port of fixedPortsOf(ports)) {
    const holder = occupancy.holderOf(port, id);
    if (holder !== undefined) return `has port ${nameOf(port)} taken by ${holder}`;
  }
  return undefined;
}

function missingTags({ tags }: Pick<PendingView, 'tags'>, node: NodeView): readonly string[] {
  return tags.filter((tag) => !node.tags.includes(tag));
}

function nameOf({ hostPort, protocol }: FixedPort): string {
  return protocol === 'tcp' ? String(hostPort) : `${hostPort}/${protocol}`;
}

function wordsOf(state: Exclude<NodeView['state'], 'ready'>): string {
  switch (state) {
    case 'unknown':
      return 'it has not been heard of since the coordinator started';
    case 'joining':
      return 'its agent has not connected yet';
    case 'engine-away':
      return 'its engine does not answer';
    case 'unreachable':
      return 'its agent is away';
    case 'down':
      return 'its agent has been away for longer than the grace';
  }
}
