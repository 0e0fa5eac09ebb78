import type { MutationOptions, Plan as ProtoPlan } from '../../shared/gen/fairlead/v1/action.ts';
import type { Clock } from '../../shared/clock.ts';
import type { FieldViolation } from '../../shared/errors.ts';
import type { ServiceId } from '../../shared/ids.ts';
import type { Action, RevisionSet, Rollout, Service, ServiceSpec } from '../model.ts';
import { fallbackOf } from '../orchestrator/fallback.ts';
import type { Store, Transaction } from '../store/store.ts';
import type { Call } from './call.ts';
import { actionToProto } from './convert.ts';
import { optionsFromProto, type Options } from './convert-requests.ts';
import { needsNewContainers } from './convert-spec.ts';
import type { Lookup } from './lookup.ts';
import { requireVersion, type Mutations } from './mutations.ts';
import type { Presenter } from './present.ts';
import type { Previews } from './previews.ts';
import { throwIfInvalid } from './validate.ts';

export interface ServiceMutationDeps {
  readonly store: Store;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly presenter: Presenter;
  readonly previews: Previews;
  readonly clock: Clock;
}

export interface ServiceRequest {
  readonly service: string;
  readonly options?: MutationOptions | undefined;
}

/** How one mutation changes a service; the rest is alike for all. */
export interface ServiceChange {
  readonly method: string;
  readonly event: string;
  /** The service as it would be; null: as it is. */
  readonly change: (service: Service) => Service | null;
  /** Checks that need the whole picture. */
  readonly check?: (service: Service) => void;
  /** What else is written in the same transaction. */
  readonly also?: (tx: Transaction, service: Service) => void;
}

/** Changes services: what all such methods of the API have in common. */
export class ServiceMutations {
  readonly #deps: ServiceMutationDeps;

  constructor(deps: ServiceMutationDeps) {
    this.#deps = deps;
  }

  /** Changes a service that is there. */
  mutate(request: ServiceRequest, call: Call, change: ServiceChange) {
    const { lookup, mutations } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    throwIfInvalid(violations);
    const replayed = mutations.replayed(change.method, call, options);
    if (replayed !== undefined) return this.replay(replayed);
    const before = lookup.lastingService(call, request.service);
    requireVersion(options, before);
    return this.write(call, options, before, change);
  }

  /** Writes a change of a service, with its action and its event; with a dry run, says what it would do. */
  write(call: Call, options: Options, before: Service, change: ServiceChange) {
    const { store, presenter, previews, mutations, clock } = this.#deps;
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
    const { method } = change;
    const isNew = store.services.get(before.id) === undefined;
    const { action } = mutations.perform(
      call,
      options,
      {
        method,
        target: { kind: 'service', id: before.id, name: before.name },
        serviceId: before.id,
        before: isNew ? null : before,
        event: change.event,
      },
      (tx) => {
        tx.services.put(after);
        if (isNew || after.spec !== before.spec || after.revision !== before.revision) {
          tx.recordRevision(after, { principal: call.principal.name, method });
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
  replay(action: Action) {
    const { store, presenter } = this.#deps;
    const service = store.services.get(action.targetId as ServiceId);
    return {
      service: service === undefined ? undefined : presenter.service(service),
      action: actionToProto(action),
      plan: undefined,
    };
  }

  /**
   * The service with a new revision of a definition; containers that are of that definition already stay.
   * `canaries`: how many try it first, where anything serves that they could fail beside.
   */
  revised(service: Service, spec: ServiceSpec, canaries = spec.update.canary): Service {
    const alike = this.#deps.store.revisions
      .of(service.id)
      .filter((kept) => !needsNewContainers(kept.spec, spec))
      .map(({ revision }) => revision);
    return this.#next(service, { spec, alike }, canaries);
  }

  /** The service with a new revision of the definition that it has: all containers are made anew. */
  renewed(service: Service): Service {
    return this.#next(service, { spec: service.spec, alike: [] }, service.spec.update.canary);
  }

  #next(service: Service, of: Pick<Service, 'spec' | 'alike'>, canaries: number): Service {
    const revision = service.revision + 1;
    const base = this.#baseOf(service);
    const hasElse = service.started && fallbackOf({ ...of, base, revision }) !== null;
    const rollout = newRollout(this.#deps.clock.now(), hasElse ? canaries : 0);
    return { ...service, ...of, revision, base, rollout };
  }

  /**
   * What a rollout that begins now goes back to: what was rolled out to the end last. Where nothing ever was,
   * what serves at least in part.
   */
  #baseOf({ id, base, revision, alike }: Service): RevisionSet | null {
    if (base !== null) return base;
    const served = this.#deps.store
      .containersOf(id)
      .some((container) => container.arrived && container.revision === revision);
    return served ? { revision, alike } : null;
  }
}

/** A rollout that begins. */
export function newRollout(nowMs: number, canaries = 0): Rollout {
  return { state: 'going', reason: '', failedSlots: [], sinceMs: nowMs, canaries };
}
