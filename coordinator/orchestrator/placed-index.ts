import type { ContainerId, ServiceId } from '../../shared/ids.ts';
import type { Container, Service } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import { Occupancy } from '../scheduler/occupancy.ts';
import type { PlacedView } from '../scheduler/views.ts';
import type { Store } from '../store/store.ts';
import { mayStay } from './rollout.ts';

export interface PlacedIndexDeps {
  readonly store: Store;
  readonly observed: ObservedState;
}

const nothing = { cpuMillis: 0, memoryBytes: 0 };

/**
 * What the nodes hold, kept up to date: what changed is counted anew when it is asked for, so that a decision
 * never looks at all containers.
 */
export class PlacedIndex implements Disposable {
  readonly #deps: PlacedIndexDeps;
  readonly #occupancy = new Occupancy();
  /** As each was counted. */
  readonly #counted = new Map<ContainerId, PlacedView>();
  readonly #dirty = new Set<ContainerId>();
  /** At first all are. */
  #isFresh = true;
  readonly #subscriptions: readonly Disposable[];

  constructor(deps: PlacedIndexDeps) {
    this.#deps = deps;
    const { store, observed } = deps;
    this.#subscriptions = [
      store.subscribe((changes) => {
        for (const { table, id } of changes) {
          if (table === 'containers') this.#dirty.add(id as ContainerId);
          // What of its containers stays may be another matter now.
          if (table === 'services') this.#markAll(id as ServiceId);
        }
      }),
      observed.subscribe((observation) => {
        if (observation.kind === 'container') this.#dirty.add(observation.id);
      }),
    ];
  }

  /** As it is now; not to be changed. */
  get occupancy(): Occupancy {
    if (this.#isFresh) for (const { id } of this.#deps.store.containers.values()) this.#count(id);
    else for (const id of this.#dirty) this.#count(id);
    this.#isFresh = false;
    this.#dirty.clear();
    return this.#occupancy;
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
  }

  #markAll(service: ServiceId): void {
    for (const { id } of this.#deps.store.containersOf(service)) this.#dirty.add(id);
  }

  #count(id: ContainerId): void {
    const before = this.#counted.get(id);
    const container = this.#deps.store.containers.get(id);
    const after = container && placedView(container, this.#deps);
    if (before !== undefined && after !== undefined && areAlike(before, after)) return;
    if (before !== undefined) this.#occupancy.remove(before);
    if (after === undefined) {
      this.#counted.delete(id);
    } else {
      this.#occupancy.add(after);
      this.#counted.set(id, after);
    }
  }
}

/** What a container keeps busy of its node: until it is observed gone, or stopped to stay. */
export function placedView(
  container: Container,
  { store, observed }: PlacedIndexDeps,
): PlacedView | undefined {
  const { id, nodeId, serviceId, name: containerName, definition, wanted } = container;
  const phase = observed.container(id)?.phase;
  if (nodeId === null || phase === 'removed') return undefined;
  const hasEnded = phase === 'stopped' || phase === 'failed';
  if (wanted === 'stopped' && hasEnded) return undefined;
  const service = store.services.get(serviceId);
  const { ports, volumes } = partsOf(definition);
  const reservation = (hasEnded ? undefined : service?.spec.reservation) ?? nothing;
  const leaving = isLeaving(container, service);
  return { nodeId, serviceId, containerName, ports, leaving, volumes, reservation };
}

function partsOf(definition: Container['definition']): Pick<PlacedView, 'ports' | 'volumes'> {
  if (definition === null) return { ports: [], volumes: none };
  return { ports: definition.ports, volumes: namedVolumes(definition.volumes) };
}

const none: readonly string[] = [];

function namedVolumes(volumes: NonNullable<Container['definition']>['volumes']): readonly string[] {
  if (volumes.length === 0) return none;
  return volumes.flatMap(({ source }) => (source.kind === 'named' ? [source.name] : []));
}

/** What is being taken away or replaced leaves its place soon: the balance is that of what stays. */
function isLeaving(container: Container, service: Service | undefined): boolean {
  const { wanted, outdated, eviction } = container;
  if (wanted !== 'running' || outdated || eviction !== null || service === undefined) return true;
  return !mayStay(service, container);
}

function areAlike(a: PlacedView, b: PlacedView): boolean {
  return (
    a.nodeId === b.nodeId &&
    a.leaving === b.leaving &&
    a.ports === b.ports &&
    a.reservation === b.reservation &&
    a.volumes === b.volumes &&
    a.containerName === b.containerName
  );
}
