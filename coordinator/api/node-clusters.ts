import type {
  CreateNodeClusterRequest,
  GetNodeClusterRequest,
  RemoveNodeClusterRequest,
  UpdateNodeClusterRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { NodeClusterId } from '../../shared/ids.ts';
import type { Random } from '../../shared/random.ts';
import type { Action, NodeCluster } from '../model.ts';
import type { Store } from '../store/store.ts';
import type { Call } from './call.ts';
import { actionToProto } from './convert.ts';
import { clusterChangeFromProto, clusterWishFromProto } from './convert-nodes.ts';
import { optionsFromProto } from './convert-requests.ts';
import type { Lookup } from './lookup.ts';
import { requireVersion, type Mutations } from './mutations.ts';
import type { Presenter } from './present.ts';
import type { Previews } from './previews.ts';
import { throwIfInvalid } from './validate.ts';

export interface NodeClusterApiDeps {
  readonly store: Store;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly presenter: Presenter;
  readonly previews: Previews;
  readonly random: Random;
  readonly clock: Clock;
}

/** The API's methods on node clusters. */
export class NodeClusterApi {
  readonly #deps: NodeClusterApiDeps;

  constructor(deps: NodeClusterApiDeps) {
    this.#deps = deps;
  }

  getNodeCluster({ nodeCluster }: GetNodeClusterRequest, call: Call) {
    const { presenter, lookup } = this.#deps;
    const cluster = lookup.cluster(call, nodeCluster, 'node_cluster');
    return { nodeCluster: presenter.nodeCluster(cluster) };
  }

  createNodeCluster(request: CreateNodeClusterRequest, call: Call) {
    const { store, mutations, presenter, random, clock } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    const wish = clusterWishFromProto(request, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed('CreateNodeCluster', call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    if (store.clusterNamed(wish.name) !== undefined) {
      throw new DomainError('already-exists', `a node cluster is already called ${wish.name}`, {
        reason: 'NODE_CLUSTER_NAME_TAKEN',
      });
    }
    const cluster: NodeCluster = {
      id: random.id() as NodeClusterId,
      ...wish,
      version: 1,
      createdAtMs: clock.now(),
    };
    const shown = presenter.nodeCluster(cluster);
    if (options.dryRun) return { nodeCluster: shown, action: undefined, plan: { steps: [] } };
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'CreateNodeCluster',
        target: targetOf(cluster),
        serviceId: null,
        event: 'node-cluster.created',
      },
      (tx) => {
        tx.clusters.put(cluster);
      },
    );
    return { nodeCluster: shown, action: actionToProto(action), plan: undefined };
  }

  updateNodeCluster(request: UpdateNodeClusterRequest, call: Call) {
    const { lookup, mutations, presenter, previews } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    const change = clusterChangeFromProto(request, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed('UpdateNodeCluster', call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    const before = lookup.cluster(call, request.nodeCluster, 'node_cluster');
    requireVersion(options, before);
    const after: NodeCluster = {
      ...before,
      targetNodes: change.targetNodes ?? before.targetNodes,
      tags: change.tags ?? before.tags,
      version: before.version + 1,
    };
    if (options.dryRun) {
      const plan = { steps: previews.planWith({ cluster: after }) };
      return { nodeCluster: presenter.nodeCluster(before), action: undefined, plan };
    }
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'UpdateNodeCluster',
        target: targetOf(before),
        serviceId: null,
        event: 'node-cluster.updated',
      },
      (tx) => {
        tx.clusters.put(after);
      },
    );
    return {
      nodeCluster: presenter.nodeCluster(after),
      action: actionToProto(action),
      plan: undefined,
    };
  }

  removeNodeCluster(request: RemoveNodeClusterRequest, call: Call) {
    const { lookup, mutations, presenter, store } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed('RemoveNodeCluster', call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    const cluster = lookup.cluster(call, request.nodeCluster, 'node_cluster');
    requireVersion(options, cluster);
    requireEmpty(cluster, store);
    const shown = presenter.nodeCluster(cluster);
    if (options.dryRun) return { nodeCluster: shown, action: undefined, plan: { steps: [] } };
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'RemoveNodeCluster',
        target: targetOf(cluster),
        serviceId: null,
        event: 'node-cluster.removed',
      },
      (tx) => {
        // A host that joined with one of these would not be where it was meant to be.
        for (const { id, name, clusterId } of [...tx.tokens.values()]) {
          if (clusterId !== cluster.id) continue;
          tx.tokens.delete(id);
          const message = `with the node cluster ${cluster.name}`;
          tx.event({
            ...{ type: 'token.revoked', objectId: id, objectName: name },
            ...{ actionId: '', message },
          });
        }
        tx.clusters.delete(cluster.id);
      },
    );
    return { nodeCluster: shown, action: actionToProto(action), plan: undefined };
  }

  #replay(action: Action) {
    const cluster = this.#deps.store.clusters.get(action.targetId as NodeClusterId);
    return {
      nodeCluster: cluster === undefined ? undefined : this.#deps.presenter.nodeCluster(cluster),
      action: actionToProto(action),
      plan: undefined,
    };
  }
}

function targetOf({ id, name }: NodeCluster) {
  return { kind: 'node-cluster', id, name } as const;
}

/** How many members a refusal names. */
const namesShown = 3;

function requireEmpty(cluster: NodeCluster, store: Store): void {
  const members = store.nodesIn(cluster.id).map(({ name }) => name);
  if (members.length === 0) return;
  const more = members.length - namesShown;
  const names = members.slice(0, namesShown).join(', ') + (more > 0 ? ` and ${more} more` : '');
  throw new DomainError(
    'precondition',
    `the node cluster ${cluster.name} has members: ${names}; remove these nodes, or take them out of it (fairlead node assign NODE --no-cluster)`,
    { reason: 'NODE_CLUSTER_HAS_NODES' },
  );
}
