import type {
  Action as ProtoAction,
  Plan as ProtoPlan,
} from '../../shared/gen/fairlead/v1/action.ts';
import type {
  CancelActionRequest,
  CancelActionResponse,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { ContainerId } from '../../shared/ids.ts';
import type { Action, Node, Service, ServiceBefore } from '../model.ts';
import { endAction } from '../orchestrator/actions.ts';
import { fallbackOf } from '../orchestrator/fallback.ts';
import type { Store, Transaction } from '../store/store.ts';
import { authorize, requireUnlimited } from './authorization.ts';
import type { Call } from './call.ts';
import { undoingOf, type Undoing } from './cancellable.ts';
import { actionToProto } from './convert.ts';
import { needsNewContainers } from './convert-spec.ts';
import { optionsFromProto, type Options } from './convert-requests.ts';
import type { Lookup } from './lookup.ts';
import type { Mutations } from './mutations.ts';
import type { Previews } from './previews.ts';
import type { ServiceMutations } from './service-mutations.ts';
import { throwIfInvalid } from './validate.ts';

export interface CancelApiDeps {
  readonly store: Store;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly services: ServiceMutations;
  readonly previews: Previews;
  readonly clock: Clock;
}

/** What was asked, as it came and as it was read. */
interface Asked {
  readonly request: CancelActionRequest;
  readonly options: Options;
}

interface Done {
  readonly action: ProtoAction | undefined;
  readonly plan: ProtoPlan | undefined;
}

const reversal = { method: 'CancelAction', event: 'service.reverted' };

/** What is written besides the action, and what it says of it. */
interface Undo {
  readonly what: string;
  readonly write: (tx: Transaction) => void;
  readonly plan: ProtoPlan;
}

/** The API's method that calls an action off: what is wanted goes back to what it was before. */
export class CancelApi {
  readonly #deps: CancelApiDeps;

  constructor(deps: CancelApiDeps) {
    this.#deps = deps;
  }

  cancelAction(request: CancelActionRequest, call: Call): CancelActionResponse {
    const { lookup, mutations } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    throwIfInvalid(violations);
    const cancelled = lookup.action(call, request.action);
    const replayed = mutations.replayed('CancelAction', call, options);
    if (replayed !== undefined) {
      return answer(cancelled, { action: actionToProto(replayed), plan: undefined });
    }
    // Whoever may do something may call it off; to call that off in turn may bring a definition back.
    const method = cancelled.method === 'CancelAction' ? 'UpdateService' : cancelled.method;
    authorize(`/fairlead.v1.ControlService/${method}`, call.principal);
    const done = this.#cancel(cancelled, { request, options }, call);
    return answer(this.#deps.store.actions.get(cancelled.id) ?? cancelled, done);
  }

  #cancel(cancelled: Action, asked: Asked, call: Call): Done {
    switch (requireCancellable(cancelled)) {
      case 'service':
        return this.#revert(cancelled, asked, call);
      case 'container':
        return this.#release(cancelled, asked, call);
      case 'drain':
        return this.#perform(cancelled, asked, call, this.#undoDrain(cancelled, call));
      case 'leave':
        if (cancelled.roll !== null) requireUnlimited(call, 'cancel what is done to a fleet');
        return this.#perform(cancelled, asked, call, {
          what: 'what has not begun is left as it is',
          write: () => undefined,
          plan: { steps: [] },
        });
    }
  }

  /** A service is wanted as it was before, which is an action of its own. */
  #revert(cancelled: Action, { request }: Asked, call: Call): Done {
    let what = '';
    const { options } = request;
    return this.#deps.services.mutate({ service: cancelled.serviceId ?? '', options }, call, {
      ...reversal,
      change: (service) => {
        const reverted = this.#asBefore(service, cancelled.before);
        ({ what } = reverted);
        return reverted.service;
      },
      also: (tx) => {
        end(tx, cancelled, call, what);
      },
    });
  }

  /** A container is not to be replaced any more, or not to stay stopped. */
  #release(cancelled: Action, { request }: Asked, call: Call): Done {
    const { options } = request;
    const isStop = cancelled.method === 'StopContainer';
    const change = isStop ? { held: false } : { outdated: false };
    const what = isStop ? 'its slot is filled again' : 'what runs in its slot may stay';
    return this.#deps.services.mutate({ service: cancelled.serviceId ?? '', options }, call, {
      ...reversal,
      change: (service) => service,
      also: (tx) => {
        const container = tx.containers.get(cancelled.targetId as ContainerId);
        if (container !== undefined) tx.containers.put({ ...container, ...change });
        end(tx, cancelled, call, what);
      },
    });
  }

  #undoDrain({ targetId }: Action, call: Call): Undo {
    const { lookup, previews } = this.#deps;
    const before = lookup.node(call, targetId);
    const version = before.version + 1;
    const after: Node = { ...before, availability: 'active', drain: null, version };
    return {
      what: 'the node takes containers again, and what has moved stays where it is',
      write: (tx) => {
        tx.nodes.put(after);
      },
      plan: { steps: previews.planWith({ node: after }) },
    };
  }

  /** What is about no service is called off at once. */
  #perform(cancelled: Action, { options }: Asked, call: Call, undo: Undo): Done {
    const { what, write, plan } = undo;
    if (options.dryRun) return { action: undefined, plan };
    const { targetKind: kind, targetId: id, targetName: name } = cancelled;
    const { action } = this.#deps.mutations.perform(
      call,
      options,
      {
        method: 'CancelAction',
        target: { kind, id, name },
        serviceId: null,
        event: `${kind}.reverted`,
      },
      (tx) => {
        write(tx);
        end(tx, cancelled, call, what);
      },
    );
    return { action: actionToProto(action), plan: undefined };
  }

  #asBefore(service: Service, before: ServiceBefore | null) {
    if (before === null) {
      return {
        service: { ...service, started: false },
        what: 'it is stopped, and its definition stays',
      };
    }
    const { started } = before;
    const spec = this.#specBefore(service, before);
    if (needsNewContainers(service.spec, spec) || service.revision !== before.revision) {
      const reverted = this.#rolledBack({ ...service, started }, spec, before);
      return { service: reverted, what: `it goes back to revision ${before.revision}` };
    }
    const since = { sinceMs: this.#deps.clock.now() };
    const rollout = before.rollout === null ? service.rollout : { ...before.rollout, ...since };
    return { service: { ...service, started, spec, rollout }, what: wordsOf(service, before) };
  }

  /** Where what it was had failed already, it goes back to what ran. */
  #specBefore({ id }: Service, { spec, rollout, ...before }: ServiceBefore) {
    const hasFailed = rollout !== null && rollout.state !== 'going' && rollout.state !== 'paused';
    const base = hasFailed ? fallbackOf(before) : null;
    const kept = base === null ? undefined : this.#deps.store.revisions.get(id, base.revision);
    if (kept === undefined) return spec;
    return { ...kept.spec, replicas: spec.replicas, links: spec.links };
  }

  /** A new revision of what it was; a rollout that was paused is paused again, canaries are canaries again. */
  #rolledBack(service: Service, spec: Service['spec'], { rollout }: ServiceBefore): Service {
    const reverted = this.#deps.services.revised(service, spec, rollout?.canaries ?? 0);
    if (rollout?.state !== 'paused' || reverted.rollout === null) return reverted;
    return { ...reverted, rollout: { ...reverted.rollout, state: 'paused' } };
  }
}

function requireCancellable(action: Action): Undoing {
  const { method, state, targetName } = action;
  const undoing = undoingOf(action);
  if (state !== 'in-progress') {
    throw new DomainError(
      'precondition',
      `${method} of ${targetName} has ended already: ${state}`,
      {
        reason: 'ACTION_ENDED',
      },
    );
  }
  if (undoing !== null) return undoing;
  throw new DomainError(
    'precondition',
    `${method} of ${targetName} cannot be called off: what it has begun has no way back`,
    { reason: 'ACTION_NOT_CANCELLABLE' },
  );
}

function end(tx: Transaction, { id }: Action, { principal }: Call, what: string): void {
  const action = tx.actions.get(id);
  if (action?.state !== 'in-progress') return;
  endAction(tx, action, 'cancelled', `by ${principal.name}: ${what}`);
}

function wordsOf(service: Service, before: ServiceBefore): string {
  if (service.started !== before.started) {
    return before.started ? 'it is started again' : 'it is stopped again';
  }
  const { replicas } = before.spec;
  if (service.spec.replicas !== replicas) return `it has ${replicas} containers again`;
  return 'its definition is as before, and what has begun is finished';
}

function answer(cancelled: Action, { action, plan }: Done): CancelActionResponse {
  return { cancelled: actionToProto(cancelled), action, plan };
}
