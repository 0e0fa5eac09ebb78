import { isDeepStrictEqual } from 'node:util';
import type {
  AddLinkRequest,
  CreateServiceRequest,
  GetServiceRequest,
  RemoveLinkRequest,
  ScaleServiceRequest,
  UpdateServiceRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { ServiceId } from '../../shared/ids.ts';
import type { Random } from '../../shared/random.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Link, Service } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import { isAlive } from '../orchestrator/views.ts';
import { balancedPort } from '../routing/routes.ts';
import type { Store } from '../store/store.ts';
import { requireUnlimited } from './authorization.ts';
import type { Call } from './call.ts';
import { optionsFromProto } from './convert-requests.ts';
import { mergeSpec, needsNewContainers, specFromProto } from './convert-spec.ts';
import { serviceFor } from './discretion.ts';
import type { Lookup } from './lookup.ts';
import type { Mutations } from './mutations.ts';
import type { Presenter } from './present.ts';
import type { Previews } from './previews.ts';
import { requireOwnMacAddress } from './mac-conflicts.ts';
import { requireNoConflicts } from './route-conflicts.ts';
import { requireVolumeSources } from './volume-sources.ts';
import { newRollout, type ServiceMutations, type ServiceRequest } from './service-mutations.ts';
import { linkFromProto } from './spec-parts.ts';
import { throwIfInvalid, validateName, validateReplicas } from './validate.ts';

export interface ServiceApiDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly services: ServiceMutations;
  readonly presenter: Presenter;
  readonly previews: Previews;
  readonly random: Random;
  readonly clock: Clock;
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
    if (replayed !== undefined) return this.#deps.services.replay(replayed);
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
      alike: [],
      base: null,
      rollout: newRollout(nowMs),
      failures: [],
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    };
    for (const link of spec.links) this.#requireLinkable(service, link);
    requireNoConflicts(store, service);
    requireVolumeSources(store, service, spec);
    requireOwnMacAddress(store, service, spec);
    return this.#deps.services.write(call, options, service, {
      method: 'CreateService',
      event: 'service.created',
      change: (created) => created,
      check: (created) => {
        if (created.started) this.#deps.previews.requirePlaceable(created);
      },
    });
  }

  updateService(request: UpdateServiceRequest, call: Call) {
    const violations: FieldViolation[] = [];
    const before = this.#deps.lookup.service(call, request.service);
    const spec = mergeSpec(before.spec, request.spec, request.updateMask ?? [], violations);
    throwIfInvalid(violations);
    for (const link of spec.links) this.#requireLinkable(before, link);
    requireNoConflicts(this.#deps.store, { ...before, spec });
    requireVolumeSources(this.#deps.store, before, spec);
    requireOwnMacAddress(this.#deps.store, before, spec);
    return this.#deps.services.mutate(request, call, {
      method: 'UpdateService',
      event: 'service.updated',
      change: (service) => {
        if (isDeepStrictEqual(spec, service.spec)) return null;
        return needsNewContainers(service.spec, spec)
          ? this.#deps.services.revised(service, spec)
          : { ...service, spec };
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
    return this.#deps.services.mutate(request, call, {
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
    return this.#deps.services.mutate(request, call, {
      method: 'StartService',
      event: 'service.started',
      change: (service) => ({ ...service, started: true, everStarted: true }),
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
    return this.#deps.services.mutate(request, call, {
      method: 'StopService',
      event: 'service.stopped',
      change: (service) => ({ ...service, started: false }),
    });
  }

  redeployService(request: ServiceRequest, call: Call) {
    return this.#deps.services.mutate(request, call, {
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
        return this.#deps.services.renewed(service);
      },
    });
  }

  removeService(request: ServiceRequest, call: Call) {
    return this.#deps.services.mutate(request, call, {
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
    return this.#deps.services.mutate(request, call, {
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
        const linked = { ...service.spec, links: [...service.spec.links, link] };
        requireNoConflicts(this.#deps.store, { ...service, spec: linked }, 'link');
        return { ...service, spec: linked };
      },
    });
  }

  removeLink(request: RemoveLinkRequest, call: Call) {
    return this.#deps.services.mutate(request, call, {
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
    if (service.spec.apiRole === 'proxy' && balancedPort(target.spec.ports) === null) {
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
