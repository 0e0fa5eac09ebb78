import type { Port } from '../../../../coordinator/model.ts';
import type {
  NodeView,
  PendingView,
  PlacedView,
} from '../../../../coordinator/scheduler/schedule.ts';
import type { ContainerId, NodeId, ServiceId } from '../../../../shared/ids.ts';

export const nodeId = (id: string): NodeId => id as NodeId;
export const serviceId = (id: string): ServiceId => id as ServiceId;

export function aNode(name: string, changes: Partial<NodeView> = {}): NodeView {
  return {
    id: nodeId(name),
    name,
    tags: [],
    availability: 'active',
    state: 'ready',
    message: '',
    platform: 'linux/amd64',
    cpus: 4,
    memoryBytes: 2 ** 33,
    volumes: [],
    ...changes,
  };
}

export function nodes(count: number): NodeView[] {
  return Array.from({ length: count }, (_, index) => aNode(`node-${index + 1}`));
}

/** So many nodes in each zone, named after it. */
export function zones(sizes: Readonly<Record<string, number>>): NodeView[] {
  return Object.entries(sizes).flatMap(([zone, size]) =>
    Array.from({ length: size }, (_, index) =>
      aNode(`${zone}-${index + 1}`, { tags: [`zone=${zone}`] }),
    ),
  );
}

export function aPending(changes: Partial<PendingView> = {}): PendingView {
  const slot = changes.slot ?? 1;
  return {
    id: `pending-${slot}` as ContainerId,
    serviceId: serviceId('web'),
    slot,
    tags: [],
    avoidTags: [],
    strategy: 'emptiest-node',
    ports: [],
    pinnedTo: null,
    volumes: [],
    reservation: { cpuMillis: 0, memoryBytes: 0 },
    maxPerNode: 0,
    spreadOver: [],
    platforms: [],
    cpus: 0,
    avoid: [],
    failing: [],
    inTheWay: null,
    ...changes,
  };
}

export function pendings(count: number, changes: Partial<PendingView> = {}): PendingView[] {
  return Array.from({ length: count }, (_, index) => aPending({ ...changes, slot: index + 1 }));
}

export function aPlaced(node: string, changes: Partial<PlacedView> = {}): PlacedView {
  return {
    nodeId: nodeId(node),
    serviceId: serviceId('other'),
    containerName: 'other-1',
    leaving: false,
    volumes: [],
    reservation: { cpuMillis: 0, memoryBytes: 0 },
    ports: [],
    ...changes,
  };
}

export function fixed(hostPort: number, changes: Partial<Port> = {}): Port {
  return { containerPort: 80, protocol: 'tcp', published: true, hostPort, ...changes };
}

export const times = <T>(count: number, value: T): T[] =>
  Array.from({ length: count }, () => value);
