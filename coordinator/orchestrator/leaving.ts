import type { PlanDraft } from './steps.ts';
import { isAlive, type ContainerView } from './views.ts';

/** What is being taken away is stopped when it is drained, or at its deadline, and forgotten when it is gone. */
export function carryOnRetirements(
  containers: readonly ContainerView[],
  nowMs: number,
  draft: PlanDraft,
): void {
  for (const container of containers) {
    const { id, wanted, retirement, phase, nodeId, held } = container;
    if (wanted === 'draining' && retirement !== null) {
      const cut = !container.drained && isAlive(container);
      if (!cut || nowMs >= retirement.deadlineAtMs) {
        draft.steps.push({ kind: 'stop', containerId: id, cut });
      } else {
        draft.checkAt(retirement.deadlineAtMs);
      }
    } else if (wanted === 'removed' && (phase === 'removed' || (nodeId === null && !held))) {
      draft.steps.push({ kind: 'forget', containerId: id });
    }
  }
}
