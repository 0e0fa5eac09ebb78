import type { PlacementFilter, PlacementReason } from '../model.ts';
import { fixedPortsOf, type FixedPort, type Occupancy } from './occupancy.ts';
import type { NodeView, PendingView } from './views.ts';

/** What a container asks of a node. */
export type Requirements = Omit<PendingView, 'id' | 'slot' | 'avoid' | 'inTheWay'>;

/** Says why a node cannot have the container, as a predicate of the node; undefined if it can. */
type Refuse = (container: Requirements, node: NodeView, occupancy: Occupancy) => string | undefined;

/** A filter, and whether any node could refuse the container by it: most ask for little. */
interface Filter {
  readonly name: PlacementFilter;
  readonly refuse: Refuse;
  readonly concerns: (container: Requirements) => boolean;
  /** It looks at the node and at nothing that is placed. */
  readonly ofNodeAlone?: true;
}

/**
 * In the order in which they are asked, most lasting first: what the user would have to change comes
 * before what may pass by itself.
 */
const filters: readonly Filter[] = [
  {
    name: 'PINNED_ELSEWHERE',
    refuse: refusePinnedElsewhere,
    concerns: ({ pinnedTo }) => pinnedTo !== null,
  },
  {
    name: 'TAG_MISSING',
    refuse: refuseMissingTags,
    concerns: ({ tags }) => tags.length > 0,
    ofNodeAlone: true,
  },
  {
    name: 'TAG_AVOIDED',
    refuse: refuseAvoidedTags,
    concerns: ({ avoidTags }) => avoidTags.length > 0,
    ofNodeAlone: true,
  },
  {
    name: 'PLATFORM_MISMATCH',
    refuse: refusePlatform,
    concerns: ({ platforms }) => platforms.length > 0,
    ofNodeAlone: true,
  },
  { name: 'VOLUME_ELSEWHERE', refuse: refuseVolumeElsewhere, concerns: needsVolumes },
  { name: 'VOLUME_MISSING', refuse: refuseMissingVolume, concerns: needsVolumes },
  { name: 'NOT_ACTIVE', refuse: refuseNotActive, concerns: () => true, ofNodeAlone: true },
  { name: 'NOT_READY', refuse: refuseNotReady, concerns: () => true, ofNodeAlone: true },
  {
    name: 'PORT_TAKEN',
    refuse: refuseTakenPort,
    concerns: ({ ports }) => fixedPortsOf(ports).length > 0,
  },
  { name: 'MAX_PER_NODE', refuse: refuseFullNode, concerns: ({ maxPerNode }) => maxPerNode > 0 },
  {
    name: 'NOT_ENOUGH_CPU',
    refuse: refuseForCpu,
    concerns: ({ reservation, cpus }) => reservation.cpuMillis > 0 || cpus > 0,
  },
  {
    name: 'NOT_ENOUGH_MEMORY',
    refuse: refuseForMemory,
    concerns: ({ reservation }) => reservation.memoryBytes > 0,
  },
  { name: 'FAILING_HERE', refuse: refuseFailing, concerns: ({ failing }) => failing.length > 0 },
];

/** The first reason why a node cannot have a container now; undefined if it can. */
export type RefusalOf = (node: NodeView, occupancy: Occupancy) => PlacementReason | undefined;

/** All that is asked, or only what follows from the node alone, or only what does not. */
export type Asked = 'all' | 'of-node' | 'of-placed';

/** Judges nodes for one container; for all of its kind at once, as what concerns it is found out here. */
export function refusalsOf(container: Requirements, asked: Asked = 'all'): RefusalOf {
  const concerned = filters.filter(
    ({ concerns, ofNodeAlone = false }) =>
      (asked === 'all' || ofNodeAlone === (asked === 'of-node')) && concerns(container),
  );
  return (node, occupancy) => {
    for (const { name: filter, refuse } of concerned) {
      const reason = refuse(container, node, occupancy);
      if (reason !== undefined) return { nodeId: node.id, node: node.name, filter, reason };
    }
    return undefined;
  };
}

/**
 * Whether the node is one that an every-node service covers: it has all tags, none that is avoided, and takes
 * containers. A node that is away for a moment still counts.
 */
export function isEligible(
  container: Pick<PendingView, 'tags' | 'avoidTags' | 'platforms'>,
  node: NodeView,
): boolean {
  return (
    node.availability === 'active' &&
    hasTags(container, node) &&
    avoidedTags(container, node).length === 0 &&
    isOfPlatform(container, node)
  );
}

function refusePinnedElsewhere({ pinnedTo }: Requirements, { id }: NodeView): string | undefined {
  return pinnedTo === null || pinnedTo === id ? undefined : 'is not the node that it belongs to';
}

function refuseMissingTags(container: Requirements, node: NodeView): string | undefined {
  if (hasTags(container, node)) return undefined;
  return `lacks ${listOfTags(missingTags(container, node))}`;
}

function refuseAvoidedTags(container: Requirements, node: NodeView): string | undefined {
  const avoided = avoidedTags(container, node);
  return avoided.length === 0 ? undefined : `has ${listOfTags(avoided)}, which the service avoids`;
}

function listOfTags(tags: readonly string[]): string {
  return `the ${tags.length === 1 ? 'tag' : 'tags'} ${tags.map((tag) => `"${tag}"`).join(', ')}`;
}

function refuseFailing({ failing }: Requirements, { id }: NodeView): string | undefined {
  const known = failing.find(({ nodeId }) => nodeId === id);
  if (known === undefined) return undefined;
  const again = new Date(known.untilMs).toISOString();
  return `keeps failing it: ${known.count} times, and is tried again at ${again}`;
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

function isOfPlatform({ platforms }: Pick<PendingView, 'platforms'>, node: NodeView): boolean {
  return platforms.length === 0 || platforms.includes(node.platform);
}

function refusePlatform(container: Requirements, node: NodeView): string | undefined {
  if (isOfPlatform(container, node)) return undefined;
  const platform = node.platform === '' ? 'a platform that is not known yet' : node.platform;
  return `is ${platform}, and the image is for ${container.platforms.join(', ')}`;
}

/** A volume is on one node; only containers that every node has one of have a volume on each. */
function refuseVolumeElsewhere(
  { volumes, strategy }: Requirements,
  { id }: NodeView,
  occupancy: Occupancy,
): string | undefined {
  if (strategy === 'every-node') return undefined;
  for (const { name } of volumes) {
    const nodes = occupancy.nodesWith(name);
    if (nodes.length > 0 && !nodes.includes(id)) {
      return `lacks the volume "${name}", which is on another node`;
    }
  }
  return undefined;
}

/** What containers will bring is not there yet. */
function refuseMissingVolume({ volumes }: Requirements, node: NodeView): string | undefined {
  const missing = volumes.find(({ name, external }) => external && !node.volumes.includes(name));
  return missing && `lacks the volume "${missing.name}", which is to be there already`;
}

function refuseFullNode(
  { serviceId, maxPerNode }: Requirements,
  { id }: NodeView,
  occupancy: Occupancy,
): string | undefined {
  const count = occupancy.ofService(serviceId, id);
  return count < maxPerNode
    ? undefined
    : `has ${count} of its containers, and may have ${maxPerNode}`;
}

function refuseForCpu(
  { reservation, cpus }: Requirements,
  node: NodeView,
  occupancy: Occupancy,
): string | undefined {
  if (node.cpus < cpus) {
    return `lacks processors: it has ${node.cpus}, and number ${cpus - 1} is asked for`;
  }
  const needed = reservation.cpuMillis;
  const left = node.cpus * 1000 - occupancy.reserved(node.id).cpuMillis;
  if (needed === 0 || needed <= left) return undefined;
  const free = Math.max(0, left) / 1000;
  return `lacks processors: ${free} of ${node.cpus} are free, ${needed / 1000} needed`;
}

function refuseForMemory(
  { reservation }: Requirements,
  node: NodeView,
  occupancy: Occupancy,
): string | undefined {
  const needed = reservation.memoryBytes;
  const left = node.memoryBytes - occupancy.reserved(node.id).memoryBytes;
  if (needed === 0 || needed <= left) return undefined;
  const [free, all] = [Math.max(0, left), node.memoryBytes].map((bytes) => mebibytes(bytes));
  return `lacks memory: ${free} of ${all} MiB are free, ${mebibytes(needed)} needed`;
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 ** 2);
}

function needsVolumes({ volumes }: Requirements): boolean {
  return volumes.length > 0;
}

function hasTags({ tags }: Pick<PendingView, 'tags'>, node: NodeView): boolean {
  // A plain loop: every decision asks this of every node.
  for (const tag of tags) if (!node.tags.includes(tag)) return false;
  return true;
}

function missingTags({ tags }: Pick<PendingView, 'tags'>, node: NodeView): readonly string[] {
  return tags.filter((tag) => !node.tags.includes(tag));
}

function avoidedTags(
  { avoidTags }: Pick<PendingView, 'avoidTags'>,
  node: NodeView,
): readonly string[] {
  return avoidTags.filter((tag) => node.tags.includes(tag));
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
