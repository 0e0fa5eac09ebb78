import { countBy } from '../../shared/collections.ts';
import type { Volume } from '../../shared/container-options.ts';
import type { Container, Observed, Service } from '../model.ts';
import { orphanInTheWay, type OrphanSighting } from '../orchestrator/slot-orphans.ts';
import type { Store } from '../store/store.ts';
import type { ObservedState } from './observed-state.ts';

export interface Sightings {
  readonly store: Pick<Store, 'nodes'>;
  readonly observed: ObservedState;
}

/** The orphan that a container with these volumes has to wait for before it may be made; undefined: none. */
export function orphanBefore(
  container: Pick<Container, 'name' | 'nodeId' | 'pinnedTo'>,
  { name, spec }: Service,
  volumes: readonly Volume[],
  sightings: Sightings,
): OrphanSighting | undefined {
  if (sightings.observed.orphaned.size === 0) return undefined;
  const home = spec.strategy === 'every-node' ? (container.pinnedTo ?? container.nodeId) : null;
  const slot = { service: name, name: container.name, home, volumes };
  return orphanInTheWay(slot, allOrphans(sightings));
}

/** The orphan because of which a container is not made on the node that it has; undefined: none. */
export function orphanBeforeMaking(
  container: Container,
  sightings: Sightings & { readonly store: Pick<Store, 'services'> },
): OrphanSighting | undefined {
  const { store, observed } = sightings;
  const { id, serviceId, definition } = container;
  // Every look at a container asks this.
  if (observed.orphaned.size === 0 || definition === null) return undefined;
  const service = store.services.get(serviceId);
  if (service === undefined || isMade(observed.container(id))) return undefined;
  return orphanBefore(container, service, definition.volumes, sightings);
}

/** Its node's engine has it, as far as is known. */
export function isMade(seen: Observed | undefined): boolean {
  return seen !== undefined && seen.engineId !== '';
}

/** All orphans of all nodes, as they were seen last. */
function allOrphans({ store, observed }: Sightings): OrphanSighting[] {
  return [...observed.orphaned].flatMap((nodeId) => {
    const node = store.nodes.get(nodeId)?.name ?? nodeId;
    const { state, orphans } = observed.node(nodeId);
    const namesakes = countBy(orphans, ({ name }) => name);
    return orphans.map((orphan): OrphanSighting => {
      const { name, containerId } = orphan;
      const handle = namesakes.get(name) === 1 ? name : containerId;
      return { nodeId, node, state, orphan, handle };
    });
  });
}
