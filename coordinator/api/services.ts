import type { Plan as ProtoPlan } from '../../shared/gen/fairlead/v1/action.ts';
import type {
  AddLinkRequest,
  CreateServiceRequest,
  GetServiceRequest,
  RemoveLinkRequest,
  ScaleServiceRequest,
  UpdateServiceRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { MutationOptions } from '../../shared/gen/fairlead/v1/action.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { ServiceId } from '../../shared/ids.ts';
import type { Random } from '../../shared/random.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Action, Link, Service, ServiceSpec } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import { isAlive } from '../orchestrator/views.ts';
import { balancedPort } from '../routing/routes.ts';
import type { Store, Transaction } from '../store/store.ts';
import { requireUnlimited } from './authorization.ts';
import type { Call } from './call.ts';
import { actionToProto } from './convert.ts';
import { optionsFromProto, type Options } from './convert-requests.ts';
import { mergeSpec, needsNewContainers, specFromProto } from './convert-spec.ts';
import { serviceFor } from './discretion.ts';
import type { Lookup } from './lookup.ts';
import { requireVersion, type Mutations } from './mutations.ts';
import type { Presenter } from './present.ts';
import type { Previews } from './previews.ts';
import { linkFromProto } from './spec-parts.ts';
import { throwIfInvalid, validateName, validateReplicas } from './validate.ts';

export interface ServiceApiDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly presenter: Presenter;
  readonly previews: Previews;
  readonly random: Random;
  readonly clock: Clock;
}

interface ServiceRequest {
  readonly service: string;
  readonly options?: MutationOptions | undefined;
}

/** How one mutation changes a service; the rest is alike for all. */
interface ServiceChange {
  readonly method: string;
  readonly event: string;
  /** The service as it would be; null: as it is. */
  readonly change: (service: Service) => Service | null;
  /** Checks that need the whole picture. */
  readonly check?: (service: Service) => void;
  /** What else is written in the same transaction. */
  readonly also?: (tx: Transaction, service: Service) => void;
}

/** The API's methods on services. They change what is wanted and return; the orchestrator does the rest. */
export class ServiceApi {
  readonly #deps: ServiceApiDeps;

  constructor(deps: ServiceApiDeps) {
    this.#deps = deps;
  }

  getService({ service }: GetServiceRequest, call: Call) {
    const { lookup, presenter } = this.#deps;
    return { service: serviceFor(call, presenter.service(lookup.service(call, service))) };
  }

  createService(request: CreateServiceRequest, call: Call) {
    const { store, mutations, random, clock } = this.#deps;
    requireUnlimited(call, 'create services');
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    validateName(request.name, 'name', violations);
    const spec = specFromProto(request.spec, 'spec', violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed('CreateService', call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    if (store.serviceNamed(request.name) !== undefined) {
      throw new DomainError('already-exists', `a service is already called ${request.name}`, {
        reason: 'SERVICE_NAME_TAKEN',
      });
    }
    const nowMs = clock.now();
    const service: Service = {
      id: random.id() as ServiceId,
      name: request.name,
      spec,
      revision: 1,
      version: 1,
      started: request.start,
      everStarted: request.start,
      terminating: false,
      halt: null,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    };
    for (const link of spec.links) this.#requireLinkable(service, link);
    this.#requireVolumeSources(service, spec);
    return this.#write(call, options, service, {
      method: 'CreateService',
      event: 'service.created',
      change: (created) => created,
      check: (created) => {
        if (created.started) this.#deps.previews.requirePlaceable(created);
      },
      also: (tx) => {
        tx.recordRevision(service.id, 1, spec);
      },
    });
  }

  updateService(request: UpdateServiceRequest, call: Call) {
    const violations: FieldViolation[] = [];
    const before = this.#deps.lookup.service(call, request.service);
    const spec = mergeSpec(before.spec, request.spec, request.updateMask ?? [], violations);
    throwIfInvalid(violations);
    for (const link of spec.links) this.#requireLinkable(before, link);
    this.#requireVolumeSources(before, spec);
    return this.#mutate(request, call, {
      method: 'UpdateService',
      event: 'service.updated',
      change: (service) => {
        if (JSON.stringify(spec) === JSON.stringify(service.spec)) return null;
        const fresh = needsNewContainers(service.spec, spec);
        return { ...service, spec, ...(fresh ? newRevision(service) : {}) };
      },
      check: (service) => {
        if ((spec.strategy === 'every-node') !== (before.spec.strategy === 'every-node')) {
          throw new DomainError(
            'precondition',
            'the strategy cannot change to or from EVERY_NODE; create another service',
            { reason: 'STRATEGY_FIXED' },
          );
        }
        if (service.started) this.#deps.previews.requirePlaceable(service);
      },
    });
  }

  scaleService(request: ScaleServiceRequest, call: Call) {
    const violations: FieldViolation[] = [];
    validateReplicas(request.replicas, 'replicas', violations);
    throwIfInvalid(violations);
    return this.#mutate(request, call, {
      method: 'ScaleService',
      event: 'service.scaled',
      change: (service) => {
        if (service.spec.strategy === 'every-node') {
          throw new DomainError(
            'precondition',
            `${service.name} has the strategy EVERY_NODE: it follows the nodes and is not scaled by hand`,
            { reason: 'SERVICE_FOLLOWS_NODES' },
          );
        }
        if (service.spec.replicas === request.replicas) return null;
        return { ...service, spec: { ...service.spec, replicas: request.replicas } };
      },
      check: (service) => {
        if (service.started) this.#deps.previews.requirePlaceable(service);
      },
    });
  }

  startService(request: ServiceRequest, call: Call) {
    return this.#mutate(request, call, {
      method: 'StartService',
      event: 'service.started',
      change: (service) => ({ ...service, started: true, everStarted: true, halt: null }),
      check: (service) => {
        this.#deps.previews.requirePlaceable(service);
      },
      also: (tx, service) => {
        for (const container of tx.containersOf(service.id)) {
          // What was stopped by hand is started too; what ended is made anew.
          const phase = this.#deps.observed.container(container.id)?.phase ?? 'pending';
          const ended = container.wanted === 'running' && !isAlive({ phase });
          tx.containers.put({ ...container, held: false, outdated: container.outdated || ended });
        }
      },
    });
  }

  stopService(request: ServiceRequest, call: Call) {
    return this.#mutate(request, call, {
      method: 'StopService',
      event: 'service.stopped',
      change: (service) => ({ ...service, started: false }),
    });
  }

  redeployService(request: ServiceRequest, call: Call) {
    return this.#mutate(request, call, {
      method: 'RedeployService',
      event: 'service.redeployed',
      change: (service) => {
        if (!service.started) {
          throw new DomainError(
            'precondition',
            `${service.name} is not started; start it, which makes fresh containers`,
            { reason: 'SERVICE_NOT_STARTED' },
          );
        }
        return { ...service, ...newRevision(service) };
      },
    });
  }

  removeService(request: ServiceRequest, call: Call) {
    return this.#mutate(request, call, {
      method: 'RemoveService',
      event: 'service.removing',
      change: (service) => ({ ...service, terminating: true, started: false }),
      check: (service) => {
        const others = [...this.#deps.store.services.values()].filter(
          ({ id, terminating }) => id !== service.id && !terminating,
        );
        const linkers = others.filter(({ spec }) =>
          spec.links.some((link) => link.service === service.name),
        );
        refuseIfUsed(service, linkers, { as: 'linked from', reason: 'SERVICE_LINKED' });
        const users = others.filter(({ spec }) => spec.volumesFrom.includes(service.name));
        const as = 'a source of volumes of';
        refuseIfUsed(service, users, { as, reason: 'SERVICE_VOLUMES_USED' });
      },
    });
  }

  addLink(request: AddLinkRequest, call: Call) {
    const violations: FieldViolation[] = [];
    const link = linkFromProto(request.link, 'link', violations);
    throwIfInvalid(violations);
    return this.#mutate(request, call, {
      method: 'AddLink',
      event: 'service.linked',
      change: (service) => {
        if (service.spec.links.some(({ alias }) => alias === link.alias)) {
          throw new DomainError(
            'already-exists',
            `${service.name} already has a link with the alias ${link.alias}`,
            { reason: 'LINK_ALIAS_TAKEN' },
          );
        }
        this.#requireLinkable(service, link);
        return { ...service, spec: { ...service.spec, links: [...service.spec.links, link] } };
      },
    });
  }

  removeLink(request: RemoveLinkRequest, call: Call) {
    return this.#mutate(request, call, {
      method: 'RemoveLink',
      event: 'service.unlinked',
      change: (service) => {
        const links = service.spec.links.filter(({ alias }) => alias !== request.alias);
        if (links.length === service.spec.links.length) {
          throw new DomainError(
            'not-found',
            `${service.name} has no link with the alias "${request.alias}"`,
            { reason: 'LINK_NOT_FOUND' },
          );
        }
        return { ...service, spec: { ...service.spec, links } };
      },
    });
  }

  #mutate(request: ServiceRequest, call: Call, change: ServiceChange) {
    const { lookup, mutations } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed(change.method, call, options);
    if (replayed !== undefined) return this.#replay(replayed);
    const before = lookup.lastingService(call, request.service);
    requireVersion(options, before);
    return this.#write(call, options, before, change);
  }

  #write(call: Call, options: Options, before: Service, change: ServiceChange) {
    const { presenter, previews, mutations, clock } = this.#deps;
    const wanted = change.change(before);
    const after =
      wanted === null || wanted === before
        ? before
        : { ...wanted, version: before.version + 1, updatedAtMs: clock.now() };
    change.check?.(after);
    if (options.dryRun) {
      const plan: ProtoPlan = { steps: wanted === null ? [] : previews.plan(after) };
      return { service: presenter.service(before), action: undefined, plan };
    }
    const { action } = mutations.perform(
      call,
      options,
      {
        method: change.method,
        target: { kind: 'service', id: before.id, name: before.name },
        serviceId: before.id,
        event: change.event,
      },
      (tx) => {
        tx.services.put(after);
        if (after.revision !== before.revision) {
          tx.recordRevision(after.id, after.revision, after.spec);
        }
        change.also?.(tx, after);
      },
    );
    return {
      service: presenter.service(after),
      action: actionToProto(action),
      plan: undefined,
    };
  }

  /** The answer to a request that was carried out before. */
  #replay(action: Action) {
    const { store, presenter } = this.#deps;
    const service = store.services.get(action.targetId as ServiceId);
    return {
      service: service === undefined ? undefined : presenter.service(service),
      action: actionToProto(action),
      plan: undefined,
    };
  }

  #requireVolumeSources({ name: own }: Service, { volumesFrom }: ServiceSpec): void {
    for (const name of volumesFrom) {
      if (name === own) {
        throw new DomainError('precondition', `${own} cannot have volumes from itself`, {
          reason: 'VOLUMES_OF_SELF',
        });
      }
      const source = this.#deps.store.serviceNamed(name);
      if (source === undefined || source.terminating) {
        throw new DomainError(
          'not-found',
          `no service is called "${name}": name one to have its volumes`,
          { reason: 'VOLUMES_SERVICE_NOT_FOUND' },
        );
      }
    }
  }

  #requireLinkable(service: Service, link: Link): void {
    const target = this.#deps.store.serviceNamed(link.service);
    if (link.service === service.name) {
      throw new DomainError('precondition', `${service.name} cannot link to itself`, {
        reason: 'LINK_TO_SELF',
      });
    }
    if (target === undefined || target.terminating) {
      throw new DomainError('not-found', `no service is called "${link.service}": link to one`, {
        reason: 'LINKED_SERVICE_NOT_FOUND',
      });
    }
    if (service.spec.apiRole === 'proxy' && balancedPort(target) === null) {
      throw new DomainError(
        'precondition',
        `${target.name} declares no TCP port to balance; give it one`,
        { reason: 'LINKED_SERVICE_HAS_NO_PORT' },
      );
    }
  }
}

/** What others use is not removed under them. */
function refuseIfUsed(
  service: Service,
  users: readonly Service[],
  { as, reason }: { readonly as: string; readonly reason: string },
): void {
  if (users.length === 0) return;
  const names = users.map(({ name }) => name).join(', ');
  const message = `${service.name} is ${as} ${names}; change that first`;
  throw new DomainError('precondition', message, { reason });
}

/** What makes all containers old. */
function newRevision(service: Service): Pick<Service, 'revision' | 'halt'> {
  return { revision: service.revision + 1, halt: null };
}
