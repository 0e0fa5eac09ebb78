import type {
  DiffRevisionsRequest,
  ListRevisionsRequest,
  RollbackServiceRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { KeptRevision, Rollout, RolloutState, Service } from '../model.ts';
import { baseOfTrial } from '../orchestrator/canary.ts';
import type { Orchestrator } from '../orchestrator/orchestrator.ts';
import { fallbackOf } from '../orchestrator/fallback.ts';
import { promoted } from '../orchestrator/rollout.ts';
import type { Store } from '../store/store.ts';
import type { Call } from './call.ts';
import { needsNewContainers, specToProto } from './convert-spec.ts';
import { changesFor, specFor } from './discretion.ts';
import type { Lookup } from './lookup.ts';
import type { Previews } from './previews.ts';
import type { ServiceMutations, ServiceRequest } from './service-mutations.ts';
import { diffOf } from './spec-diff.ts';
import { throwIfInvalid, validateRange } from './validate.ts';
import { requireOwnMacAddress } from './mac-conflicts.ts';
import { requireNoConflicts } from './route-conflicts.ts';
import { requireVolumeSources } from './volume-sources.ts';

const maxRevision = 2 ** 32 - 1;

export interface RolloutApiDeps {
  readonly store: Store;
  readonly lookup: Lookup;
  readonly services: ServiceMutations;
  readonly previews: Previews;
  readonly orchestrator: Pick<Orchestrator, 'canaries'>;
  readonly clock: Clock;
}

/** The API's methods on revisions, and on the rollout of one. */
export class RolloutApi {
  readonly #deps: RolloutApiDeps;

  constructor(deps: RolloutApiDeps) {
    this.#deps = deps;
  }

  listRevisions(request: ListRevisionsRequest, call: Call) {
    const { store, lookup } = this.#deps;
    const service = lookup.service(call, request.service);
    const live = store.containersOf(service.id).filter(({ wanted }) => wanted === 'running');
    const revisions = store.revisions.of(service.id).map((kept) => ({
      revision: kept.revision,
      spec: specFor(call, specToProto(kept.spec)),
      createdAt: new Date(kept.createdAtMs),
      principal: kept.principal,
      method: kept.method,
      current: kept.revision === service.revision,
      containers: live.filter(({ revision }) => revision === kept.revision).length,
    }));
    return { revisions };
  }

  diffRevisions(request: DiffRevisionsRequest, call: Call) {
    const service = this.#deps.lookup.service(call, request.service);
    const violations: FieldViolation[] = [];
    const rule = { min: 0, max: maxRevision };
    validateRange(request.fromRevision, { ...rule, field: 'from_revision' }, violations);
    validateRange(request.toRevision, { ...rule, field: 'to_revision' }, violations);
    throwIfInvalid(violations);
    const to = this.#kept(service, request.toRevision || service.revision);
    const from = request.fromRevision
      ? this.#kept(service, request.fromRevision)
      : this.#before(service, to.revision);
    return {
      fromRevision: from.revision,
      toRevision: to.revision,
      changes: changesFor(call, diffOf(specToProto(from.spec), specToProto(to.spec))),
    };
  }

  rollbackService(request: RollbackServiceRequest, call: Call) {
    const violations: FieldViolation[] = [];
    validateRange(request.revision, { min: 0, max: maxRevision, field: 'revision' }, violations);
    throwIfInvalid(violations);
    const { services, previews } = this.#deps;
    return services.mutate(request, call, {
      method: 'RollbackService',
      event: 'service.rolled-back',
      change: (service) => {
        const { spec: former } = this.#goal(service, request.revision);
        // How many there are, and what they are linked to, is of today.
        const { replicas, links } = service.spec;
        const spec = { ...former, replicas, links };
        requireNoConflicts(this.#deps.store, { ...service, spec }, 'revision');
        requireVolumeSources(this.#deps.store, service, spec);
        requireOwnMacAddress(this.#deps.store, service, spec);
        // Whoever goes back knows that it works, and is in a hurry.
        if (needsNewContainers(service.spec, spec)) return services.revised(service, spec, 0);
        return { ...service, spec };
      },
      check: (service) => {
        if (service.started) previews.requirePlaceable(service);
      },
    });
  }

  pauseService(request: ServiceRequest, call: Call) {
    return this.#turn(request, call, {
      method: 'PauseService',
      event: 'service.paused',
      from: ['going'],
      refusal: 'no rollout is going on',
      turned: (rollout) => ({ ...rollout, state: 'paused' }),
    });
  }

  resumeService(request: ServiceRequest, call: Call) {
    return this.#turn(request, call, {
      method: 'ResumeService',
      event: 'service.resumed',
      from: ['paused', 'failed', 'rollback-failed'],
      refusal: 'no rollout stands still; set another definition, or redeploy',
      turned: (rollout) => ({
        ...rollout,
        state: rollout.state === 'rollback-failed' ? 'rolling-back' : 'going',
        failedSlots: [],
      }),
    });
  }

  promoteService(request: ServiceRequest, call: Call) {
    return this.#deps.services.mutate(request, call, {
      method: 'PromoteService',
      event: 'service.promoted',
      change: (service) => {
        const { rollout, name, revision } = service;
        if (rollout === null || baseOfTrial(service) === null) {
          throw new DomainError(
            'precondition',
            `${name} has no canaries; give it some with an update: --canary 1`,
            { reason: 'NO_CANARY' },
          );
        }
        const { wanted, there } = this.#deps.orchestrator.canaries(service);
        if (there < wanted) {
          throw new DomainError(
            'precondition',
            `of the ${wanted} canaries of revision ${revision} of ${name}, ${there} serve; wait for them, or roll back`,
            { reason: 'CANARY_NOT_READY' },
          );
        }
        return { ...service, rollout: promoted(rollout, this.#deps.clock.now()) };
      },
    });
  }

  #turn(request: ServiceRequest, call: Call, turn: Turn) {
    const { method, event, from, refusal, turned } = turn;
    return this.#deps.services.mutate(request, call, {
      method,
      event,
      change: (service) => {
        const { rollout, name } = service;
        if (rollout === null || !from.includes(rollout.state)) {
          throw new DomainError('precondition', `${name}: ${refusal}`, { reason: 'NO_ROLLOUT' });
        }
        return { ...service, rollout: { ...turned(rollout), sinceMs: this.#deps.clock.now() } };
      },
    });
  }

  /** What a rollback goes to: the one that is named, else what ran before the rollout, else the one before. */
  #goal(service: Service, revision: number): KeptRevision {
    if (revision !== 0) return this.#kept(service, revision);
    const base = service.rollout === null ? null : fallbackOf(service);
    return base === null
      ? this.#before(service, service.revision)
      : this.#kept(service, base.revision);
  }

  #kept({ id, name }: Service, revision: number): KeptRevision {
    const kept = this.#deps.store.revisions.get(id, revision);
    if (kept !== undefined) return kept;
    throw notKept(`revision ${revision} of ${name} is not kept`);
  }

  #before({ id, name }: Service, revision: number): KeptRevision {
    const kept = this.#deps.store.revisions.of(id).find((each) => each.revision < revision);
    if (kept !== undefined) return kept;
    throw notKept(`no revision of ${name} before ${revision} is kept`);
  }
}

interface Turn {
  readonly method: string;
  readonly event: string;
  readonly from: readonly RolloutState[];
  readonly refusal: string;
  readonly turned: (rollout: Rollout) => Rollout;
}

function notKept(message: string): DomainError {
  return new DomainError(
    'not-found',
    `${message}; "fairlead service revisions" lists those that are`,
    {
      reason: 'REVISION_NOT_FOUND',
    },
  );
}
