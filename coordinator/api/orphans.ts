import type {
  AdoptOrphanRequest,
  DiscardOrphanRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import { PlanStepKind, type PlanStep } from '../../shared/gen/fairlead/v1/action.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { ContainerId } from '../../shared/ids.ts';
import type { Dispatcher } from '../dispatcher/dispatcher.ts';
import type { InventoryEntry } from '../dispatcher/node-hello.ts';
import type { Action, Container, Node, Service } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import { orphanBeforeMaking } from '../observed/seen-orphans.ts';
import type { Placement } from '../orchestrator/placement.ts';
import type { Store } from '../store/store.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Call } from './call.ts';
import { actionToProto } from './convert.ts';
import { optionsFromProto } from './convert-requests.ts';
import type { Lookup } from './lookup.ts';
import type { Mutations } from './mutations.ts';
import type { Presenter } from './present.ts';
import { throwIfInvalid } from './validate.ts';

export interface OrphanApiDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly dispatcher: Dispatcher;
  readonly placement: Placement;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly presenter: Presenter;
  readonly clock: Clock;
}

/** What an orphan becomes. */
interface Adoption {
  readonly container: Container;
  readonly service: Service;
  /** What its slot has had since. It goes when the one that is adopted serves, or at once if it was never made. */
  readonly replaced: readonly Container[];
}

/** The API's methods on engine containers without a record, as an older backup leaves them behind. */
export class OrphanApi {
  readonly #deps: OrphanApiDeps;

  constructor(deps: OrphanApiDeps) {
    this.#deps = deps;
  }

  adoptOrphan(request: AdoptOrphanRequest, call: Call) {
    const { lookup, mutations, placement, dispatcher, presenter } = this.#deps;
    const options = this.#options(request);
    const replayed = mutations.replayed('AdoptOrphan', call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    const node = lookup.node(call, request.node);
    const orphan = this.#orphan(node, request.orphan);
    const { container, service, replaced } = this.#adoption(node, orphan);
    const waiting = new Set(replaced.filter((c) => this.#waits(c)).map(({ id }) => id));
    if (options.dryRun) {
      const steps = replaced.map((other) => this.#removal(other));
      return { container: undefined, action: undefined, plan: { steps } };
    }
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'AdoptOrphan',
        target: { kind: 'container', id: container.id, name: container.name },
        serviceId: service.id,
        event: 'container.adopted',
      },
      (tx) => {
        const definition = placement.define(tx, service, container, node);
        tx.containers.put({ ...container, definition });
        for (const other of replaced) {
          // Nothing holds up any more what waited for the orphan: it must not be made now.
          const end = waiting.has(other.id) ? { wanted: 'removed' as const } : { outdated: true };
          tx.containers.put({ ...other, ...end });
        }
        tx.services.put(service);
      },
    );
    dispatcher.adopted(node.id, container.id);
    return {
      container: presenter.container(container),
      action: actionToProto(action),
      plan: undefined,
    };
  }

  discardOrphan(request: DiscardOrphanRequest, call: Call) {
    const { lookup, mutations, dispatcher } = this.#deps;
    const options = this.#options(request);
    const replayed = mutations.replayed('DiscardOrphan', call, options);
    if (replayed !== undefined) {
      return { orphan: undefined, action: actionToProto(replayed), plan: undefined };
    }
    const node = lookup.node(call, request.node);
    const entry = this.#orphan(node, request.orphan);
    const { containerId, name, reported } = entry;
    const running = reported.phase === 'running';
    const orphan = { containerId, name, running, engineId: reported.engineId };
    if (options.dryRun) return { orphan, action: undefined, plan: { steps: [] } };
    dispatcher.requireConnected(node.id);
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'DiscardOrphan',
        target: { kind: 'container', id: containerId, name },
        serviceId: null,
        event: 'container.discarded',
      },
      () => undefined,
    );
    dispatcher.discard(node.id, containerId);
    return { orphan, action: actionToProto(action), plan: undefined };
  }

  #options(request: AdoptOrphanRequest | DiscardOrphanRequest) {
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    if (request.orphan === '') {
      violations.push({ field: 'orphan', rule: 'is required: a name or a container id' });
    }
    throwIfInvalid(violations);
    return options;
  }

  #orphan(node: Node, nameOrId: string): InventoryEntry {
    const found = this.#deps.dispatcher
      .orphans(node.id)
      .filter(({ containerId, name }) => containerId === nameOrId || name === nameOrId);
    const [orphan] = found;
    if (orphan !== undefined && found.length === 1) return orphan;
    throw new DomainError(
      'not-found',
      orphan === undefined
        ? `${node.name} has no orphan "${nameOrId}"; "fairlead node orphans" lists them`
        : `${node.name} has ${found.length} orphans called "${nameOrId}"; name one by its container id`,
      { reason: 'ORPHAN_NOT_FOUND' },
    );
  }

  #adoption(node: Node, { containerId, name, reported }: InventoryEntry): Adoption {
    const { store, clock } = this.#deps;
    const split = name.lastIndexOf('-');
    const slot = Number(name.slice(split + 1));
    const service = store.serviceNamed(name.slice(0, split));
    if (service === undefined || service.terminating || !Number.isSafeInteger(slot) || slot < 1) {
      throw new DomainError(
        'not-found',
        `no service is there for ${name}: create it again under that name, or discard the orphan`,
        { reason: 'SERVICE_NOT_FOUND' },
      );
    }
    if (reported.phase !== 'running') {
      throw notAdoptable(`${name} does not run: discard it, and its service makes another`);
    }
    requireReady(service, name);
    const replaced = this.#replacedBy({ id: containerId, slot }, service, node);
    const followsNodes = service.spec.strategy === 'every-node';
    const replicas = followsNodes ? service.spec.replicas : Math.max(service.spec.replicas, slot);
    const grown = {
      ...service,
      spec: { ...service.spec, replicas },
      version: service.version + 1,
      updatedAtMs: clock.now(),
    };
    return {
      replaced,
      service: replicas === service.spec.replicas ? service : grown,
      container: {
        ...{ id: containerId, serviceId: service.id, name, slot, attempt: 1 },
        ...{ revision: service.revision, nodeId: node.id, definition: null },
        ...{ pinnedTo: followsNodes ? node.id : null, wanted: 'running', retirement: null },
        ...{ held: false, outdated: false, arrived: false, eviction: null },
        createdAtMs: clock.now(),
      },
    };
  }

  /** What runs in its slot, and is to. Refuses where that is somebody's wish for another. */
  #replacedBy(
    { id, slot }: { readonly id: ContainerId; readonly slot: number },
    service: Service,
    node: Node,
  ): readonly Container[] {
    const followsNodes = service.spec.strategy === 'every-node';
    const { store } = this.#deps;
    const there = store
      .containersOf(service.id)
      .filter((other) => other.wanted !== 'removed')
      .filter((other) =>
        followsNodes ? (other.pinnedTo ?? other.nodeId) === node.id : other.slot === slot,
      );
    const inTheWay =
      store.containers.get(id) ??
      there.find((c) => c.wanted !== 'running' || (c.slot !== slot && !this.#waits(c)));
    if (inTheWay === undefined) return there;
    throw new DomainError(
      'precondition',
      `${inTheWay.name} has a container already (${inTheWay.id}), which is stopped, on its way out or of another slot: discard the orphan, or remove that one first`,
      { reason: 'SLOT_TAKEN' },
    );
  }

  /** It was not made, for the orphan's sake or another's. */
  #waits(container: Container): boolean {
    return container.nodeId === null || orphanBeforeMaking(container, this.#deps) !== undefined;
  }

  #removal(container: Container): PlanStep {
    const { name, nodeId } = container;
    const node = nodeId === null ? undefined : this.#deps.store.nodes.get(nodeId)?.name;
    const reason = this.#waits(container)
      ? 'waits in its slot, and was not made'
      : 'was made anew; goes when the orphan serves';
    return { kind: PlanStepKind.REMOVE, container: name, node: node ?? '', reason, placement: [] };
  }

  #replay(action: Action) {
    const container = this.#deps.store.containers.get(action.targetId as ContainerId);
    return {
      container: container === undefined ? undefined : this.#deps.presenter.container(container),
      action: actionToProto(action),
      plan: undefined,
    };
  }
}

function requireReady({ name: service, started, spec }: Service, name: string): void {
  if (!started) {
    throw new DomainError(
      'precondition',
      `${service} is not started and would stop ${name}: start the service first`,
      { reason: 'SERVICE_NOT_STARTED' },
    );
  }
  if (spec.apiRole !== 'none') {
    throw notAdoptable(
      `${name} had a token of its own, which is not known any more: discard it, and ${service} makes another`,
    );
  }
}

function notAdoptable(message: string): DomainError {
  return new DomainError('precondition', message, { reason: 'ORPHAN_NOT_ADOPTABLE' });
}
