import type {
  GetNodeRequest,
  RemoveNodeRequest,
  UpdateNodeRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { Action, Node } from '../model.ts';
import type { Dispatcher } from '../dispatcher/dispatcher.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import { endAction, openMoves } from '../orchestrator/actions.ts';
import type { Store, Transaction } from '../store/store.ts';
import { requireClusters } from './authorization.ts';
import type { Call } from './call.ts';
import { actionToProto } from './convert.ts';
import { nodeChangeFromProto } from './convert-nodes.ts';
import { optionsFromProto } from './convert-requests.ts';
import type { Lookup } from './lookup.ts';
import type { MovePreviews } from './move-previews.ts';
import { requireVersion, type Mutations } from './mutations.ts';
import type { Presenter } from './present.ts';
import type { Previews } from './previews.ts';
import { throwIfInvalid } from './validate.ts';

export interface NodeApiDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly dispatcher: Dispatcher;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly presenter: Presenter;
  readonly previews: Previews;
  readonly moves: MovePreviews;
  readonly clock: Clock;
}

/** The API's methods on nodes. */
export class NodeApi {
  readonly #deps: NodeApiDeps;

  constructor(deps: NodeApiDeps) {
    this.#deps = deps;
  }

  getNode({ node }: GetNodeRequest, call: Call) {
    return { node: this.#deps.presenter.node(this.#deps.lookup.node(call, node)) };
  }

  updateNode(request: UpdateNodeRequest, call: Call) {
    const { lookup, mutations, presenter, previews, moves } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    const change = nodeChangeFromProto(request, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed('UpdateNode', call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    const before = lookup.node(call, request.node);
    requireVersion(options, before);
    const { cluster } = change;
    const availability = change.availability ?? before.availability;
    const after: Node = {
      ...before,
      tags: change.tags ?? before.tags,
      availability,
      drain: drainOf(before, availability, this.#deps.clock.now()),
      clusterId:
        cluster === undefined
          ? before.clusterId
          : cluster === null
            ? null
            : lookup.cluster(call, cluster, 'cluster').id,
      version: before.version + 1,
    };
    requireClusters(call, after.clusterId, 'nodes in no cluster');
    if (options.dryRun) {
      const plan = { steps: previews.planWith({ node: after }) };
      if (before.drain === null && after.drain !== null) {
        plan.steps.push(...moves.drain(after, { force: false }));
      }
      return { node: presenter.node(before), action: undefined, plan };
    }
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'UpdateNode',
        target: { kind: 'node', id: before.id, name: before.name },
        serviceId: null,
        event: 'node.updated',
      },
      (tx) => {
        tx.nodes.put(after);
        if (after.drain === null) endDrains(tx, after, 'UpdateNode');
      },
    );
    return { node: presenter.node(after), action: actionToProto(action), plan: undefined };
  }

  removeNode(request: RemoveNodeRequest, call: Call) {
    const { lookup, mutations, presenter, store, dispatcher } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed('RemoveNode', call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    const node = lookup.node(call, request.node);
    requireVersion(options, node);
    const shown = presenter.node(node);
    const containers = store.containersOn(node.id);
    if (containers.length > 0 && this.#deps.observed.node(node.id).state !== 'down') {
      throw new DomainError(
        'precondition',
        `${node.name} has ${containers.length} containers; move them first (fairlead node drain ${node.name}), or wait until the node is down`,
        { reason: 'NODE_HAS_CONTAINERS' },
      );
    }
    if (options.dryRun) return { node: shown, action: undefined, plan: { steps: [] } };
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'RemoveNode',
        target: { kind: 'node', id: node.id, name: node.name },
        serviceId: null,
        event: 'node.removed',
      },
      (tx) => {
        // The host is gone for good, says the user: so is what ran there.
        for (const { id } of containers) tx.containers.delete(id);
        endDrains(tx, node, 'RemoveNode');
        tx.nodes.delete(node.id);
      },
    );
    for (const { id } of containers) this.#deps.observed.forget(id);
    dispatcher.expel(node.id);
    return { node: shown, action: actionToProto(action), plan: undefined };
  }

  #replay(action: Action) {
    const node = this.#deps.store.nodes.get(action.targetId as Node['id']);
    return {
      node: node === undefined ? undefined : this.#deps.presenter.node(node),
      action: actionToProto(action),
      plan: undefined,
    };
  }
}

/** What is wanted of a node that is emptied stays as it was said; by default there is no limit. */
function drainOf(
  { drain }: Node,
  availability: Node['availability'],
  nowMs: number,
): Node['drain'] {
  if (availability !== 'draining') return null;
  return drain ?? { parallelism: 0, deadlineAtMs: null, force: false, sinceMs: nowMs };
}

/** It is not emptied any more. */
function endDrains(tx: Transaction, { id }: Node, method: string): void {
  for (const action of openMoves(tx.actions.values(), id)) {
    endAction(tx, action, 'superseded', `by ${method}`);
  }
}
