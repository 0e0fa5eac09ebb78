import type { MutationOptions } from '../../shared/gen/fairlead/v1/action.ts';
import type { GetContainerRequest } from '../../shared/gen/fairlead/v1/control_service.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { ContainerId } from '../../shared/ids.ts';
import { PlanStepKind, type Plan as ProtoPlan } from '../../shared/gen/fairlead/v1/action.ts';
import type { Action, Container, RetireReason, Service } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import { isAlive } from '../orchestrator/views.ts';
import type { Store, Transaction } from '../store/store.ts';
import type { Call } from './call.ts';
import { actionToProto } from './convert.ts';
import { optionsFromProto } from './convert-requests.ts';
import { containerFor } from './discretion.ts';
import type { Lookup } from './lookup.ts';
import type { Mutations } from './mutations.ts';
import type { Presenter } from './present.ts';
import { throwIfInvalid } from './validate.ts';

export interface ContainerApiDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly presenter: Presenter;
}

interface ContainerRequest {
  readonly container: string;
  readonly options?: MutationOptions | undefined;
}

interface ContainerChange {
  readonly method: string;
  readonly event: string;
  readonly kind: PlanStepKind;
  /** The container as it would be; null: it is so already. */
  readonly change: (container: Container, service: Service, nowMs: number) => Container | null;
}

/** The API's methods on single containers. */
export class ContainerApi {
  readonly #deps: ContainerApiDeps;

  constructor(deps: ContainerApiDeps) {
    this.#deps = deps;
  }

  getContainer({ container }: GetContainerRequest, call: Call) {
    const { lookup, presenter } = this.#deps;
    const shown = presenter.container(lookup.container(call, container).container);
    return { container: containerFor(call, shown) };
  }

  startContainer(request: ContainerRequest, call: Call) {
    return this.#mutate(request, call, {
      method: 'StartContainer',
      event: 'container.starting',
      kind: PlanStepKind.START,
      change: (container) => {
        if (this.#runs(container)) return null;
        // Its successor takes its slot; the record itself is one attempt and stays ended.
        return container.wanted === 'running'
          ? { ...container, outdated: true }
          : { ...container, held: false };
      },
    });
  }

  stopContainer(request: ContainerRequest, call: Call) {
    return this.#mutate(request, call, {
      method: 'StopContainer',
      event: 'container.stopping',
      kind: PlanStepKind.STOP,
      change: (container, service, nowMs) => {
        if (container.held) return null;
        if (container.wanted !== 'running') throw leaving(container);
        return { ...retired(container, service, nowMs, ['stopped', 'stopped']), held: true };
      },
    });
  }

  redeployContainer(request: ContainerRequest, call: Call) {
    return this.#mutate(request, call, {
      method: 'RedeployContainer',
      event: 'container.redeploying',
      kind: PlanStepKind.REPLACE,
      change: (container) => {
        if (container.held) return { ...container, held: false };
        if (container.wanted !== 'running') throw leaving(container);
        return { ...container, outdated: true };
      },
    });
  }

  removeContainer(request: ContainerRequest, call: Call) {
    return this.#mutate(request, call, {
      method: 'RemoveContainer',
      event: 'container.removing',
      kind: PlanStepKind.REMOVE,
      change: (container, service, nowMs) => {
        if (container.wanted === 'removed') return null;
        if (container.wanted === 'stopped') return { ...container, held: false, wanted: 'removed' };
        return { ...retired(container, service, nowMs, ['terminated', 'removed']), held: false };
      },
    });
  }

  #mutate(request: ContainerRequest, call: Call, change: ContainerChange) {
    const { lookup, mutations, presenter } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed(change.method, call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    const { container, service } = lookup.container(call, request.container);
    if (!service.started) {
      throw new DomainError(
        'precondition',
        `${service.name} is not started: its containers follow it; start the service`,
        { reason: 'SERVICE_NOT_STARTED' },
      );
    }
    if (options.dryRun) {
      const would = change.change(container, service, 0);
      const step = {
        kind: change.kind,
        container: container.name,
        node: '',
        reason: change.method,
        placement: [],
      };
      const plan: ProtoPlan = { steps: would === null ? [] : [step] };
      return { container: presenter.container(container), action: undefined, plan };
    }
    const { action, result } = mutations.perform(
      call,
      options,
      {
        method: change.method,
        target: { kind: 'container', id: container.id, name: container.name },
        serviceId: service.id,
        event: change.event,
      },
      (tx: Transaction) => {
        const after = change.change(container, service, tx.nowMs) ?? container;
        tx.containers.put(after);
        return after;
      },
    );
    return {
      container: presenter.container(result),
      action: actionToProto(action),
      plan: undefined,
    };
  }

  #runs(container: Container): boolean {
    const phase = this.#deps.observed.container(container.id)?.phase ?? 'pending';
    return container.wanted === 'running' && isAlive({ phase });
  }

  #replay(action: Action) {
    const { store, presenter } = this.#deps;
    const container = store.containers.get(action.targetId as ContainerId);
    return {
      container: container === undefined ? undefined : presenter.container(container),
      action: actionToProto(action),
      plan: undefined,
    };
  }
}

function retired(
  container: Container,
  service: Service,
  nowMs: number,
  [reason, then]: [RetireReason, 'stopped' | 'removed'],
): Container {
  const deadlineAtMs = nowMs + service.spec.drainTimeoutMs;
  return {
    ...container,
    wanted: container.nodeId === null ? 'removed' : 'draining',
    retirement: { reason, then, startedAtMs: nowMs, deadlineAtMs },
  };
}

function leaving({ name }: Container): DomainError {
  return new DomainError(
    'precondition',
    `${name} is being taken away; wait for its successor, or name that by its id`,
    { reason: 'CONTAINER_LEAVING' },
  );
}
