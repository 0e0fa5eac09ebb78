import { PlanStepKind, type PlanStep } from '../../shared/gen/fairlead/v1/action.ts';
import type { Container, Node, Service } from '../model.ts';
import type { Placement } from '../orchestrator/placement.ts';
import { explainUnplaceable } from '../scheduler/schedule.ts';
import type { Store } from '../store/store.ts';
import { reasonToProto } from './convert.ts';
import { byName } from './present.ts';

export interface MovePreviewDeps {
  readonly store: Store;
  readonly placement: Placement;
}

/** Says which containers would move, where, and which would not and why. */
export class MovePreviews {
  readonly #deps: MovePreviewDeps;

  constructor(deps: MovePreviewDeps) {
    this.#deps = deps;
  }

  /** What emptying a node would do; containers of every-node services are told of elsewhere. */
  drain(node: Node, { force }: { readonly force: boolean }): PlanStep[] {
    const { store } = this.#deps;
    return [...store.containersOn(node.id)]
      .filter(({ wanted, pinnedTo }) => wanted === 'running' && pinnedTo === null)
      .sort((a, b) => byName(a.name, b.name))
      .flatMap((container) => {
        const service = store.services.get(container.serviceId);
        if (service === undefined || !service.started || service.terminating) return [];
        return [this.#move(service, container, { from: node.name, force })];
      });
  }

  #move(
    service: Service,
    container: Container,
    { from, force }: { readonly from: string; readonly force: boolean },
  ): PlanStep {
    const { placement, store } = this.#deps;
    const { name } = container;
    const decision = placement.decideAgain(service, container);
    if (decision?.kind === 'placed') {
      const node = store.nodes.get(decision.nodeId)?.name ?? '';
      return {
        ...{ kind: PlanStepKind.MOVE, container: name, node },
        ...{ reason: `leaves ${from}`, placement: [] },
      };
    }
    const reasons = (decision?.reasons ?? []).filter(({ nodeId }) => nodeId !== container.nodeId);
    const why = explainUnplaceable(reasons, { pinnedTo: null });
    const kind = force ? PlanStepKind.REMOVE : PlanStepKind.UNPLACEABLE;
    const reason = force ? `goes without a successor: ${why}` : `stays: ${why}`;
    return { kind, container: name, node: from, reason, placement: reasons.map(reasonToProto) };
  }
}
