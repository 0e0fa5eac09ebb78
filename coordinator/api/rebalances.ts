import { PlanStepKind, type PlanStep } from '../../shared/gen/fairlead/v1/action.ts';
import type {
  RebalanceServicesRequest,
  RebalanceServicesResponse,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { FieldViolation } from '../../shared/errors.ts';
import type { NodeId, ServiceId } from '../../shared/ids.ts';
import type { Action, Move, Service } from '../model.ts';
import type { Placement } from '../orchestrator/placement.ts';
import { effectiveOrder } from '../orchestrator/views.ts';
import type { BetterPlace } from '../scheduler/rebalance.ts';
import type { Store } from '../store/store.ts';
import { inScope } from './authorization.ts';
import type { Call } from './call.ts';
import { actionToProto } from './convert.ts';
import { optionsFromProto } from './convert-requests.ts';
import type { Lookup } from './lookup.ts';
import type { Mutations, Target } from './mutations.ts';
import { byName, type Presenter } from './present.ts';
import { throwIfInvalid, validateRange } from './validate.ts';

const defaultMoves = 1_000;
const maxMoves = 10_000;

export interface RebalanceApiDeps {
  readonly store: Store;
  readonly placement: Placement;
  readonly lookup: Lookup;
  readonly mutations: Mutations;
  readonly presenter: Presenter;
  readonly installationId: string;
}

/** What would be moved, and which services are left alone and why. */
interface Wish {
  readonly moves: readonly { readonly move: Move; readonly place: BetterPlace }[];
  readonly left: readonly { readonly service: Service; readonly reason: string }[];
}

/** The API's method that makes services even. */
export class RebalanceApi {
  readonly #deps: RebalanceApiDeps;

  constructor(deps: RebalanceApiDeps) {
    this.#deps = deps;
  }

  rebalanceServices(request: RebalanceServicesRequest, call: Call): RebalanceServicesResponse {
    const { mutations } = this.#deps;
    const violations: FieldViolation[] = [];
    const options = optionsFromProto(request.options, violations);
    const { parallelism, maxMoves: limit } = request;
    const range = { min: 0, max: maxMoves };
    validateRange(parallelism, { ...range, field: 'parallelism' }, violations);
    validateRange(limit, { ...range, field: 'max_moves' }, violations);
    if (options.version !== 0) {
      violations.push({
        field: 'options.version',
        rule: 'must be 0: services have a version each',
      });
    }
    throwIfInvalid(violations);
    const replayed = mutations.replayed('RebalanceServices', call, options);
    if (replayed !== undefined) return this.#answer(this.#servicesOf(replayed), replayed);
    const services = this.#named(request.services, call);
    const wish = this.#wish(services, limit === 0 ? defaultMoves : limit);
    if (options.dryRun) {
      return { ...this.#answer(services, undefined), plan: { steps: stepsOf(wish) } };
    }
    const members = wish.moves.map(({ move }) => ({ ...move, to: '' }));
    const { action } = mutations.perform(
      call,
      options,
      {
        method: 'RebalanceServices',
        target: this.#targetOf(services),
        serviceId: null,
        moves: { kind: 'rebalance', parallelism, members },
        event: 'service.rebalancing',
      },
      () => undefined,
    );
    return this.#answer(services, action);
  }

  #named(names: readonly string[], call: Call): Service[] {
    const { store, lookup } = this.#deps;
    const services =
      names.length > 0
        ? new Set(names.map((name) => lookup.lastingService(call, name)))
        : [...store.services.values()].filter(({ id }) => inScope(call, id));
    return [...services].sort((a, b) => byName(a.name, b.name));
  }

  #servicesOf({ moves, targetId }: Action): Service[] {
    const ids = new Set([targetId, ...(moves?.members ?? []).map(({ serviceId }) => serviceId)]);
    const services = [...ids].map((id) => this.#deps.store.services.get(id as ServiceId));
    return services.filter((service) => service !== undefined);
  }

  #wish(services: readonly Service[], limit: number): Wish {
    const moves: Wish['moves'][number][] = [];
    const left: Wish['left'][number][] = [];
    for (const service of services) {
      const places = this.#deps.placement.betterPlaces(service, limit - moves.length);
      const reason = obstacleTo(service);
      if (reason === null) moves.push(...places.map((place) => this.#moveOf(service, place)));
      else if (places.length > 0) left.push({ service, reason });
    }
    return { moves, left };
  }

  #moveOf({ id, name }: Service, place: BetterPlace): Wish['moves'][number] {
    const container = this.#deps.store.containers.get(place.containerId);
    const { name: shown = '', slot = 0 } = container ?? {};
    const move: Move = {
      ...{ containerId: place.containerId, container: shown, slot, serviceId: id, service: name },
      ...{ from: this.#nodeName(place.from), to: this.#nodeName(place.to), state: 'waiting' },
      ...{ message: '', reasons: [], retryAtMs: 0 },
    };
    return { move, place };
  }

  #nodeName(id: NodeId): string {
    return this.#deps.store.nodes.get(id)?.name ?? '';
  }

  #targetOf(services: readonly Service[]): Target {
    const [first] = services;
    if (first !== undefined && services.length === 1) {
      return { kind: 'service', id: first.id, name: first.name };
    }
    const { installationId } = this.#deps;
    return { kind: 'fleet', id: installationId, name: `${services.length} services` };
  }

  #answer(services: readonly Service[], action: Action | undefined): RebalanceServicesResponse {
    const { presenter } = this.#deps;
    return {
      services: services.map((service) => presenter.service(service)),
      action: action && actionToProto(action),
      plan: undefined,
    };
  }
}

/** Why containers of a service are not moved only to be more even; null: they are. */
function obstacleTo(service: Service): string | null {
  const { started, terminating, rollout } = service;
  if (!started || terminating) return 'it is not started';
  if (rollout !== null) return 'its rollout has not ended; finish it, or roll it back';
  return effectiveOrder(service) === 'stop-first'
    ? 'it is replaced stop-first: each container would be missing while it moves'
    : null;
}

function stepsOf({ moves, left }: Wish): PlanStep[] {
  return [
    ...moves.map(({ move: { container, from, to }, place: { crowdFrom, crowdTo } }) => ({
      ...{ kind: PlanStepKind.MOVE, container, node: to, placement: [] },
      reason: `${from} has ${crowdFrom}, ${to} has ${crowdTo}`,
    })),
    ...left.map(({ service, reason }) => ({
      ...{ kind: PlanStepKind.LEAVE, container: '', node: '', placement: [] },
      reason: `${service.name}: ${reason}`,
    })),
  ];
}
