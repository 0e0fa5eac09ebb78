import { groupBy } from '../../shared/collections.ts';
import { hasRunItsCourse } from './autodestroy.ts';
import { carryOnRetirements } from './leaving.ts';
import { SlotPlanner } from './replacing.ts';
import { recover } from './restart.ts';
import { fitSlots, type MissingSlot } from './scaling.ts';
import { holdsSlot } from './standing.ts';
import { PlanDraft, type Plan } from './steps.ts';
import { isAlive, type ContainerView, type ServiceView } from './views.ts';

/**
 * Compares a service with its containers and returns the steps that bring them together.
 *
 * Pure, and safe to repeat: with the steps applied and nothing else changed it returns none. A slot that
 * has a ready container keeps one throughout, unless the order is stop-first.
 *
 * What is lost with its node is replaced at once and kept until its successor serves: if the node comes back
 * before, it goes on and the successor goes; if it comes back later, it is removed. What is on a node that is
 * to be emptied is replaced as in a rollout, but nothing ends that early.
 */
export function planService(
  service: ServiceView,
  containers: readonly ContainerView[],
  nowMs: number,
): Plan {
  const draft = new PlanDraft();
  carryOnRetirements(containers, nowMs, draft);
  if (service.terminating) terminate(containers, draft);
  else if (service.started) converge(service, containers, nowMs, draft);
  else stopAll(containers, draft);
  return draft;
}

function terminate(containers: readonly ContainerView[], draft: PlanDraft): void {
  if (containers.length === 0) draft.steps.push({ kind: 'delete-service' });
  for (const container of containers) draft.discard(container, 'terminated');
}

function stopAll(containers: readonly ContainerView[], draft: PlanDraft): void {
  for (const container of containers) {
    if (container.wanted !== 'running') continue;
    // What never ran has nothing to keep.
    draft.retire(container, 'stopped', container.everRan ? 'stopped' : 'removed');
  }
}

function converge(
  service: ServiceView,
  containers: readonly ContainerView[],
  nowMs: number,
  draft: PlanDraft,
): void {
  const slots = groupBy(containers.filter(holdsSlot), ({ slot }) => slot);
  if (hasRunItsCourse(service, slots)) {
    draft.steps.push({ kind: 'terminate' });
    return;
  }
  const missing = fitSlots(service, slots, draft);
  const next = service.sequential ? nextInTurn(service, containers, missing) : missing;
  new SlotPlanner({ service, containers, nowMs }, draft).converge(slots, next);
}

/** The next slot to add, once every container that is there has come to something. */
function nextInTurn(
  service: ServiceView,
  containers: readonly ContainerView[],
  missing: readonly MissingSlot[],
): readonly MissingSlot[] {
  const isOnItsWay = containers.some(
    (container) =>
      container.wanted === 'running' &&
      !container.arrived &&
      !container.lost &&
      (isAlive(container) || recover(container, service, 0).kind !== 'leave'),
  );
  return isOnItsWay ? [] : missing.slice(0, 1);
}
