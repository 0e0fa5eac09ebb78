import { isIP } from 'node:net';
import type { Container, Node, Service } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { Store } from '../store/store.ts';
import { addressesOf, type Place } from './addresses.ts';
import { isNamed, type ZoneName } from './names.ts';

export interface DirectoryDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  /** Where the coordinator is reached: the host of its advertised address. */
  readonly ownHost: string;
}

/**
 * What the zone says now, read from the state at each question: nothing is kept that could be outdated.
 *
 * A service is where its ready containers are: at the public addresses of their nodes if it publishes a
 * port, else at those that only peers reach. A host that is known by a name alone has no address here.
 */
export class Directory {
  readonly #deps: DirectoryDeps;

  constructor(deps: DirectoryDeps) {
    this.#deps = deps;
  }

  /** The addresses of a name; null if nothing is called so. */
  lookup(name: ZoneName): readonly string[] | null {
    switch (name.kind) {
      case 'apex':
      case 'branch':
        return [];
      case 'name-server':
        return isIP(this.#deps.ownHost) === 0 ? [] : [this.#deps.ownHost];
      case 'service':
        return this.#service(name.name, name.shortId);
      case 'container':
        return this.#container(name.name, name.shortId);
      case 'node':
        return this.#node(name.name);
      case 'either':
        return this.#service(name.name, null) ?? this.#container(name.name, null);
      case 'none':
        return null;
    }
  }

  #service(name: string, short: string | null): readonly string[] | null {
    const service = this.#serviceCalled(name);
    if (service === undefined || !isNamed(service.id, short)) return null;
    const containers = this.#deps.store.containersOf(service.id);
    return addressesOf(containers.flatMap((container) => this.#placeOf(service, container)));
  }

  /** Container names are those of their service and a number; a slot has two while one is replaced. */
  #container(name: string, short: string | null): readonly string[] | null {
    const service = this.#serviceCalled(name.slice(0, Math.max(0, name.lastIndexOf('-'))));
    if (service === undefined) return null;
    const containers = this.#deps.store
      .containersOf(service.id)
      .filter((container) => container.name === name && isNamed(container.id, short));
    if (containers.length === 0) return null;
    return addressesOf(containers.flatMap((container) => this.#placeOf(service, container)));
  }

  /** `serviceNamed` takes ids as well, which are no names. */
  #serviceCalled(name: string): Service | undefined {
    const service = this.#deps.store.serviceNamed(name);
    return service?.name === name ? service : undefined;
  }

  #node(name: string): readonly string[] | null {
    const node = this.#deps.store.nodeNamed(name);
    if (node?.name !== name) return null;
    return isIP(node.publicAddress) === 0 ? [] : [node.publicAddress];
  }

  #placeOf(service: Service, container: Container): Place[] {
    const { store, observed } = this.#deps;
    const node = container.nodeId === null ? undefined : store.nodes.get(container.nodeId);
    if (node === undefined) return [];
    const address = addressOn(node, service);
    if (isIP(address) === 0) return [];
    const seen = observed.container(container.id);
    const isReady = seen?.phase === 'running' && seen.ready && container.wanted === 'running';
    const { state } = observed.node(node.id);
    // Until its agent is back after a restart of the coordinator, a node is as it was.
    const isReachable = state !== 'unreachable' && state !== 'down';
    return [{ address, isReady, isReachable }];
  }
}

function addressOn(node: Node, { spec }: Service): string {
  const isPublished = spec.ports.some(({ published }) => published);
  return isPublished ? node.publicAddress : node.advertiseAddress;
}
