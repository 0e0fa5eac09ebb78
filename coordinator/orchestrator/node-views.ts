import type { NodeId } from '../../shared/ids.ts';
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

/** A view, and the records that it was made from. */
interface Made {
  readonly node: Node;
  readonly cluster: NodeCluster | null;
  readonly observation: NodeObservation;
  readonly view: NodeView;
}

/** Nodes as placement sees them; each is looked at anew only when it, or its cluster, is another. */
export class NodeViews {
  readonly #deps: { readonly store: Store; readonly observed: ObservedState };
  #made = new Map<NodeId, Made>();

  constructor(deps: { readonly store: Store; readonly observed: ObservedState }) {
    this.#deps = deps;
  }

  all(change: FleetChange): NodeView[] {
    const { store, observed } = this.#deps;
    const made = new Map<NodeId, Made>();
    const views = [...store.nodes.values()].map((stored) => {
      const node = stored.id === change.node?.id ? change.node : stored;
      const isOther = change.cluster !== undefined && change.cluster.id === node.clusterId;
      const cluster = isOther ? change.cluster : store.clusterOf(node);
      const observation = observed.node(node.id);
      const before = this.#made.get(node.id);
      const isSame =
        before?.node === node && before.cluster === cluster && before.observation === observation;
      const now = isSame ? before : makeOf(node, cluster, observation);
      made.set(node.id, now);
      return now.view;
    });
    this.#made = made;
    return views;
  }
}

function makeOf(node: Node, cluster: NodeCluster | null, observation: NodeObservation): Made {
  const { id, name, availability, volumes } = node;
  const { state, message } = observation;
  const { os = '', architecture = '', cpus = 0, memoryBytes = 0 } = node.description ?? {};
  const view: NodeView = {
    ...{ id, name, tags: tagsOf(node, cluster).all, availability, state, message },
    ...{ platform: os === '' ? '' : `${os}/${architecture}`, cpus, memoryBytes, volumes },
  };
  return { node, cluster, observation, view };
}
