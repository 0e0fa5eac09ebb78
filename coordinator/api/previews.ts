import { PlanStepKind, type PlanStep } from '../../shared/gen/fairlead/v1/action.ts';
import { DomainError } from '../../shared/errors.ts';
import type { ContainerId } from '../../shared/ids.ts';
import type { Container, PlacementFilter, PlacementReason, Service } from '../model.ts';
import type { Orchestrator } from '../orchestrator/orchestrator.ts';
import type { FleetChange } from '../orchestrator/node-views.ts';
import type { Placement } from '../orchestrator/placement.ts';
import type { Step } from '../orchestrator/steps.ts';
import { tagsOf } from '../scheduler/node-tags.ts';
import { explainUnplaceable } from '../scheduler/schedule.ts';
import type { Store } from '../store/store.ts';
import { reasonToProto } from './convert.ts';

/** Refusals that waiting alone does not mend: the user has to change something. */
const lasting: ReadonlySet<PlacementFilter> = new Set<PlacementFilter>([
  'TAG_MISSING',
  'TAG_AVOIDED',
  'PLATFORM_MISMATCH',
  'VOLUME_ELSEWHERE',
  'VOLUME_MISSING',
  'PORT_TAKEN',
]);

export interface PreviewDeps {
  readonly store: Store;
  readonly orchestrator: Orchestrator;
  readonly placement: Placement;
}

/** Says what would be done if a service were changed, and refuses what cannot be done at all. */
export class Previews {
  readonly #deps: PreviewDeps;

  constructor(deps: PreviewDeps) {
    this.#deps = deps;
  }

  /** The plan for a service as it would be. */
  plan(service: Service): PlanStep[] {
    return this.#plan(service, {});
  }

  /**
   * What a change of a node or a cluster would do: every-node services follow its tags, and containers that wait
   * for a node may find one.
   */
  planWith(change: FleetChange): PlanStep[] {
    const { store } = this.#deps;
    const started = [...store.services.values()].filter((s) => s.started && !s.terminating);
    return started
      .sort((a, b) => a.name.localeCompare(b.name, 'en'))
      .flatMap((service) =>
        service.spec.strategy === 'every-node'
          ? this.#plan(service, change)
          : this.#placeable(service, change),
      );
  }

  #placeable(service: Service, change: FleetChange): PlanStep[] {
    const { store, placement } = this.#deps;
    const pending = store
      .containersOf(service.id)
      .filter(({ wanted, nodeId }) => wanted === 'running' && nodeId === null);
    return placement.decide(service, pending, change).flatMap((decision, index) => {
      if (decision.kind === 'unplaceable') return [];
      const container = pending[index]?.name ?? '';
      const node = this.#nodeName(decision.nodeId);
      return [
        {
          kind: PlanStepKind.START,
          container,
          node,
          reason: 'this node can take it',
          placement: [],
        },
      ];
    });
  }

  #plan(service: Service, change: FleetChange): PlanStep[] {
    const { steps } = this.#deps.orchestrator.preview(service, change);
    const created = this.#created(service, steps);
    const decisions = this.#deps.placement.decide(service, created, change);
    const starts = decisions.map((decision, index) => {
      const name = created[index]?.name ?? '';
      if (decision.kind === 'unplaceable') return unplaceable(name, decision.reasons);
      return { container: name, node: this.#nodeName(decision.nodeId), placement: [] };
    });
    return steps.flatMap((step): PlanStep[] => {
      if (step.kind === 'create') {
        const start = starts.shift();
        return start === undefined ? [] : [{ ...kindOfStart(step), ...start }];
      }
      return step.kind === 'retire' ? [this.#retirement(step)] : [];
    });
  }

  /**
   * Throws 'precondition' if not one of the containers that the change needs could ever be placed as
   * things are: no node has the tags, or the ports are taken on all that have.
   */
  requirePlaceable(service: Service): void {
    const { steps } = this.#deps.orchestrator.preview(service);
    const created = this.#created(service, steps);
    // What finds a place beside all that is there now needs no closer look.
    const now = this.#deps.placement.decide(service, created);
    if (now.length === 0 || now.some(({ kind }) => kind === 'placed')) return;
    const gone = new Set(steps.flatMap((s) => (s.kind === 'retire' ? [s.containerId] : [])));
    const decisions = this.#deps.placement.decideWithout(gone, service, created);
    const [first] = decisions;
    if (first?.kind !== 'unplaceable') return;
    if (decisions.some((decision) => decision.kind === 'placed')) return;
    const { reasons } = first;
    const hopeless = reasons.every(({ filter }) => lasting.has(filter));
    if (!hopeless || (reasons.length === 0 && service.spec.tags.length === 0)) return;
    const ports = reasons.some(({ filter }) => filter === 'PORT_TAKEN');
    throw new DomainError('precondition', this.#refusal(service, reasons), {
      reason: ports ? 'PORT_TAKEN' : 'NO_ELIGIBLE_NODE',
    });
  }

  #retirement(step: Extract<Step, { kind: 'retire' }>): PlanStep {
    const container = this.#deps.store.containers.get(step.containerId);
    const { name = '', nodeId = null } = container ?? {};
    const node = nodeId === null ? '' : this.#nodeName(nodeId);
    return { kind: kindOfEnd(step), container: name, node, reason: step.reason, placement: [] };
  }

  #refusal(service: Service, reasons: readonly PlacementReason[]): string {
    const { nodes } = this.#deps.store;
    const tagsOfNodes = [...nodes.values()].map(
      (node) => tagsOf(node, this.#deps.store.clusterOf(node)).all,
    );
    const unknown = service.spec.tags.filter(
      (tag) => !tagsOfNodes.some((tags) => tags.includes(tag)),
    );
    const [tag] = unknown;
    if (tag !== undefined) {
      return `no node has the tag "${tag}"; ${nodes.size} nodes are known. Give the tag to a node, or leave it out`;
    }
    return `${service.name}: ${explainUnplaceable(reasons, { pinnedTo: null })}`;
  }

  #created(service: Service, steps: readonly Step[]): Container[] {
    return steps
      .filter((step) => step.kind === 'create')
      .map((step, index) => ({
        id: `preview-${index}` as ContainerId,
        serviceId: service.id,
        name: `${service.name}-${step.slot}`,
        slot: step.slot,
        revision: step.revision,
        attempt: step.attempt,
        nodeId: null,
        pinnedTo: step.pinnedTo,
        definition: null,
        wanted: 'running',
        retirement: null,
        held: false,
        outdated: false,
        arrived: false,
        eviction: null,
        createdAtMs: service.updatedAtMs,
      }));
  }

  #nodeName(id: Parameters<Store['nodes']['get']>[0]): string {
    return this.#deps.store.nodes.get(id)?.name ?? '';
  }
}

function kindOfStart({ replaces, revision, canary }: Extract<Step, { kind: 'create' }>) {
  if (canary) return { kind: PlanStepKind.START, reason: `canary of revision ${revision}` };
  return replaces === null
    ? { kind: PlanStepKind.START, reason: 'wanted' }
    : { kind: PlanStepKind.REPLACE, reason: `revision ${revision}` };
}

function kindOfEnd({ reason, then }: Extract<Step, { kind: 'retire' }>): PlanStepKind {
  if (reason === 'replaced') return PlanStepKind.REPLACE;
  return then === 'stopped' ? PlanStepKind.STOP : PlanStepKind.REMOVE;
}

function unplaceable(container: string, reasons: readonly PlacementReason[]) {
  return {
    kind: PlanStepKind.UNPLACEABLE,
    container,
    node: '',
    reason: explainUnplaceable(reasons, { pinnedTo: null }),
    placement: reasons.map(reasonToProto),
  };
}
