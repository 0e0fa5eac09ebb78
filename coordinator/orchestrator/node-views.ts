import { areSame } from '../../shared/collections.ts';
import type { Node, NodeCluster, NodeObservation } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import { tagsOf } from '../scheduler/node-tags.ts';
import type { NodeView } from '../scheduler/views.ts';
import type { Store } from '../store/store.ts';

/** A node or a cluster as it would be after a change that is only considered. */
export interface FleetChange {
  readonly node?: Node;
  readonly cluster?: NodeCluster;
}

/** The records that a view is made from. */
interface Sources {
  readonly node: Node;
  readonly cluster: NodeCluster | null;
  readonly observation: NodeObservation;
}

interface Made extends Sources {
  readonly view: NodeView;
}

/** Nodes as placement sees them; each is looked at anew only when it, or its cluster, is another. */
export class NodeViews {
  readonly #deps: { readonly store: Store; readonly observed: ObservedState };
  #made: readonly Made[] = [];
  #views: readonly NodeView[] = [];
  /** What they were made from, told in a word; empty: something that was only considered. */
  #madeFrom = '';

  constructor(deps: { readonly store: Store; readonly observed: ObservedState }) {
    this.#deps = deps;
  }

  all(change: FleetChange): readonly NodeView[] {
    const state = this.#stateFor(change);
    if (state === '' || state !== this.#madeFrom) this.#look(change);
    this.#madeFrom = state;
    return this.#views;
  }

  /** Another word whenever a node may be seen differently. */
  #stateFor({ node, cluster }: FleetChange): string {
    const { store, observed } = this.#deps;
    if (node !== undefined || cluster !== undefined) return '';
    return `${store.nodes.writes} ${store.clusters.writes} ${observed.nodeChanges}`;
  }

  #look(change: FleetChange): void {
    const before = this.#made;
    const made = [...this.#deps.store.nodes.values()].map((stored, at) => {
      // In their places, for they seldom come and go.
      const known = before[at];
      const sources = this.#sourcesOf(stored, change);
      return known !== undefined && isOf(known, sources) ? known : makeOf(sources);
    });
    if (areSame(made, before)) return;
    this.#made = made;
    this.#views = made.map(({ view }) => view);
  }

  #sourcesOf(stored: Node, change: FleetChange): Sources {
    const { store, observed } = this.#deps;
    const node = stored.id === change.node?.id ? change.node : stored;
    const isOther = change.cluster !== undefined && change.cluster.id === node.clusterId;
    const cluster = isOther ? change.cluster : store.clusterOf(node);
    return { node, cluster, observation: observed.node(node.id) };
  }
}

function isOf(made: Made, { node, cluster, observation }: Sources): boolean {
  return made.node === node && made.cluster === cluster && made.observation === observation;
}

function makeOf({ node, cluster, observation }: Sources): Made {
  const { id, name, availability, volumes } = node;
  const { state, message } = observation;
  const { os = '', architecture = '', cpus = 0, memoryBytes = 0 } = node.description ?? {};
  const view: NodeView = {
    ...{ id, name, tags: tagsOf(node, cluster).all, availability, state, message },
    ...{ platform: os === '' ? '' : `${os}/${architecture}`, cpus, memoryBytes, volumes },
  };
  return { node, cluster, observation, view };
}
