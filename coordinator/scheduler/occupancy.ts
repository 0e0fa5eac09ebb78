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
  /** The names of the containers that have the port: an old one and its successor may both, for a moment. */
  readonly #holders = new Map<NodeId, Map<number, readonly string[]>>();
  /** How many containers need a volume on a node. */
  readonly #volumes = new Map<string, Map<NodeId, number>>();
  readonly #reserved = new Map<NodeId, Reservation>();

  constructor(base?: Occupancy) {
    this.#base = base;
  }

  add(container: PlacedView): void {
    this.#count(container, 1);
    for (const port of fixedPortsOf(container.ports)) {
      const holders = getOrAdd(this.#holders, container.nodeId);
      holders.set(keyOf(port), [...(holders.get(keyOf(port)) ?? []), container.containerName]);
    }
  }

  /** Takes back what `add` was told before, in the same words. */
  remove(container: PlacedView): void {
    this.#count(container, -1);
    for (const port of fixedPortsOf(container.ports)) {
      const holders = this.#holders.get(container.nodeId);
      const left = [...(holders?.get(keyOf(port)) ?? [])];
      left.splice(left.indexOf(container.containerName), 1);
      if (left.length > 0) holders?.set(keyOf(port), left);
      else holders?.delete(keyOf(port));
    }
  }

  /** One that stayed on a node is about to leave it: it does not count for the balance any more. */
  leave({ nodeId, serviceId }: Pick<PlacedView, 'nodeId' | 'serviceId'>): void {
    increase(this.#totals, nodeId, -1);
    increase(getOrAdd(this.#ofServices, serviceId), nodeId, -1);
  }

  /** A volume is on a node, or will be. */
  addVolume(name: string, nodeId: NodeId, by = 1): void {
    increase(getOrAdd(this.#volumes, name), nodeId, by);
  }

  #count(container: PlacedView, by: 1 | -1): void {
    const { nodeId, serviceId, leaving, volumes, reservation } = container;
    if (!leaving) {
      increase(this.#totals, nodeId, by);
      increase(getOrAdd(this.#ofServices, serviceId), nodeId, by);
    }
    for (const name of volumes) this.addVolume(name, nodeId, by);
    const { cpuMillis, memoryBytes } = reservation;
    if (cpuMillis === 0 && memoryBytes === 0) return;
    const before = this.#reserved.get(nodeId) ?? nothing;
    const after = { cpuMillis: cpuMillis * by, memoryBytes: memoryBytes * by };
    this.#reserved.set(nodeId, sum(before, after));
  }

  /** The nodes that have a volume. */
  nodesWith(volume: string): readonly NodeId[] {
    return [...(this.#volumes.get(volume)?.keys() ?? []), ...(this.#base?.nodesWith(volume) ?? [])];
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
    return this.countsOf(serviceId)(nodeId);
  }

  /** The same for many nodes, until the next change. */
  countsOf(serviceId: ServiceId): (nodeId: NodeId) => number {
    const own = this.#ofServices.get(serviceId);
    const base = this.#base?.countsOf(serviceId) ?? none;
    return own === undefined ? base : (nodeId) => (own.get(nodeId) ?? 0) + base(nodeId);
  }

  /** Name of the container that has this port of the node; undefined if it is free. */
  holderOf(port: FixedPort, nodeId: NodeId): string | undefined {
    return this.#holders.get(nodeId)?.get(keyOf(port))?.[0] ?? this.#base?.holderOf(port, nodeId);
  }
}

const none = () => 0;

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

/** A count of none is none, so that what comes and goes leaves nothing. */
function increase<K>(counts: Map<K, number>, key: K, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}

function getOrAdd<K, InnerK, V>(maps: Map<K, Map<InnerK, V>>, key: K): Map<InnerK, V> {
  let map = maps.get(key);
  if (map === undefined) {
    map = new Map();
    maps.set(key, map);
  }
  return map;
}
