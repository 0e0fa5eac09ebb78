import type { NodeId, ServiceId } from '../../shared/ids.ts';
import type { Port, Protocol, Reservation } from '../model.ts';
import type { PlacedView } from './views.ts';

/** A port of the node that the user chose, so that only one container there can have it. */
export interface FixedPort {
  readonly hostPort: number;
  readonly protocol: Protocol;
}

/** The ports that a container needs on its node by number. */
export function fixedPortsOf(ports: readonly Port[]): FixedPort[] {
  return ports.filter(({ hostPort }) => hostPort !== 0);
}

/**
 * What the nodes hold, in the counts that placement asks for, so that a decision looks at nodes and
 * never at all containers.
 *
 * One with a base adds to it without changing it: decisions that are only tried out leave the base
 * as it was.
 */
export class Occupancy {
  readonly #base: Occupancy | undefined;
  readonly #totals = new Map<NodeId, number>();
  readonly #ofServices = new Map<ServiceId, Map<NodeId, number>>();
  /** The name of a container that has the port. */
  readonly #holders = new Map<NodeId, Map<number, string>>();
  readonly #volumes = new Map<string, Set<NodeId>>();
  readonly #reserved = new Map<NodeId, Reservation>();

  constructor(base?: Occupancy) {
    this.#base = base;
  }

  add(container: PlacedView): void {
    const { nodeId, serviceId, containerName, ports, leaving, volumes, reservation } = container;
    if (!leaving) {
      increment(this.#totals, nodeId);
      increment(getOrAdd(this.#ofServices, serviceId), nodeId);
    }
    for (const port of fixedPortsOf(ports)) {
      getOrAdd(this.#holders, nodeId).set(keyOf(port), containerName);
    }
    for (const name of volumes) this.addVolume(name, nodeId);
    if (reservation.cpuMillis > 0 || reservation.memoryBytes > 0) {
      const before = this.#reserved.get(nodeId) ?? nothing;
      this.#reserved.set(nodeId, sum(before, reservation));
    }
  }

  /** A volume is on a node, or will be. */
  addVolume(name: string, nodeId: NodeId): void {
    let nodes = this.#volumes.get(name);
    if (nodes === undefined) this.#volumes.set(name, (nodes = new Set()));
    nodes.add(nodeId);
  }

  /** The nodes that have a volume. */
  nodesWith(volume: string): readonly NodeId[] {
    return [...(this.#volumes.get(volume) ?? []), ...(this.#base?.nodesWith(volume) ?? [])];
  }

  /** What the containers on a node have reserved. */
  reserved(nodeId: NodeId): Reservation {
    const own = this.#reserved.get(nodeId) ?? nothing;
    return this.#base === undefined ? own : sum(own, this.#base.reserved(nodeId));
  }

  /** Containers that stay on a node, of any service. */
  total(nodeId: NodeId): number {
    return (this.#totals.get(nodeId) ?? 0) + (this.#base?.total(nodeId) ?? 0);
  }

  /** Containers of one service that stay on a node. */
  ofService(serviceId: ServiceId, nodeId: NodeId): number {
    return (
      (this.#ofServices.get(serviceId)?.get(nodeId) ?? 0) +
      (this.#base?.ofService(serviceId, nodeId) ?? 0)
    );
  }

  /** Name of the container that has this port of the node; undefined if it is free. */
  holderOf(port: FixedPort, nodeId: NodeId): string | undefined {
    return this.#holders.get(nodeId)?.get(keyOf(port)) ?? this.#base?.holderOf(port, nodeId);
  }
}

const nothing: Reservation = { cpuMillis: 0, memoryBytes: 0 };

function sum(a: Reservation, b: Reservation): Reservation {
  return {
    cpuMillis: a.cpuMillis + b.cpuMillis,
    memoryBytes: a.memoryBytes + b.memoryBytes,
  };
}

/** The counts of what is placed; reads each container once. */
export function indexPlaced(placed: Iterable<PlacedView>): Occupancy {
  const occupancy = new Occupancy();
  for (const container of placed) occupancy.add(container);
  return occupancy;
}

/** Ports of different protocols with the same number do not collide. */
function keyOf({ hostPort, protocol }: FixedPort): number {
  return protocol === 'tcp' ? hostPort : -hostPort;
}

function increment<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function getOrAdd<K, InnerK, V>(maps: Map<K, Map<InnerK, V>>, key: K): Map<InnerK, V> {
  let map = maps.get(key);
  if (map === undefined) {
    map = new Map();
    maps.set(key, map);
  }
  return map;
}
