import type { FieldViolation } from '../../shared/errors.ts';
import type {
  DrainNodeRequest,
  DrainNodeResponse,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Action, DrainPolicy, Node } from '../model.ts';
import type { Store } from '../store/store.ts';
import type { Call } from './call.ts';
import { actionToProto } from './convert.ts';
import { optionsFromProto } from './convert-requests.ts';
import type { Lookup } from './lookup.ts';
import type { MovePreviews } from './move-previews.ts';
import { requireVersion, type Mutations } from './mutations.ts';
import type { Presenter } from './present.ts';
import type { Previews } from './previews.ts';
import { throwIfInvalid, validateRange } from './validate.ts';

/** An action ends, even if what it waits for never comes. */
const defaultDeadlineSeconds = 3_600;
const maxDeadlineSeconds = 30 * 24 * 3_600;
const maxParallelism = 10_000;

export interface NodeDrainApiDeps {
  readonly store: Store;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly presenter: Presenter;
  readonly previews: Previews;
  readonly moves: MovePreviews;
  readonly clock: Clock;
}

/** The API's method that empties a node. */
export class NodeDrainApi {
  readonly #deps: NodeDrainApiDeps;

  constructor(deps: NodeDrainApiDeps) {
    this.#deps = deps;
  }

  drainNode(request: DrainNodeRequest, call: Call): DrainNodeResponse {
    const { lookup, mutations, presenter, previews, moves } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    const drain = this.#policyOf(request, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed('DrainNode', call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    const before = lookup.node(call, request.node);
    requireVersion(options, before);
    const after: Node = {
      ...before,
      ...{ availability: 'draining', drain, version: before.version + 1 },
    };
    if (options.dryRun) {
      const steps = [...previews.planWith({ node: after }), ...moves.drain(after, drain)];
      return { node: presenter.node(before), action: undefined, plan: { steps } };
    }
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'DrainNode',
        target: { kind: 'node', id: before.id, name: before.name },
        serviceId: null,
        moves: { kind: 'drain', parallelism: drain.parallelism, members: [] },
        event: 'node.draining',
      },
      (tx) => {
        tx.nodes.put(after);
      },
    );
    return { node: presenter.node(after), action: actionToProto(action), plan: undefined };
  }

  #policyOf(request: DrainNodeRequest, violations: FieldViolation[]): DrainPolicy {
    const { parallelism, deadlineSeconds, force } = request;
    validateRange(parallelism, { min: 0, max: maxParallelism, field: 'parallelism' }, violations);
    const rule = { min: 0, max: maxDeadlineSeconds, field: 'deadline_seconds' };
    validateRange(deadlineSeconds, rule, violations);
    const nowMs = this.#deps.clock.now();
    const isNow = force && deadlineSeconds === 0;
    const seconds = deadlineSeconds === 0 ? defaultDeadlineSeconds : deadlineSeconds;
    const deadlineAtMs = isNow ? null : nowMs + seconds * 1_000;
    return { parallelism, deadlineAtMs, force, sinceMs: nowMs };
  }

  #replay(action: Action): DrainNodeResponse {
    const node = this.#deps.store.nodes.get(action.targetId as Node['id']);
    return {
      node: node === undefined ? undefined : this.#deps.presenter.node(node),
      action: actionToProto(action),
      plan: undefined,
    };
  }
}
