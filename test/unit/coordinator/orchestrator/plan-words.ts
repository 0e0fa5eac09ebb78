import { planService } from '../../../../coordinator/orchestrator/plan.ts';
import type { Step } from '../../../../coordinator/orchestrator/steps.ts';
import type { ContainerView, ServiceView } from '../../../../coordinator/orchestrator/views.ts';
import { aServiceView } from '../../../support/builders.ts';

/** The plan in short sentences, so that a table can be read. */
export function planned(
  service: Partial<ServiceView>,
  containers: readonly ContainerView[],
  nowMs = 0,
): string[] {
  return planService(aServiceView(service), containers, nowMs).steps.map(wordsOf);
}

/** When the plan wants to be asked again. */
export function nextCheck(
  service: Partial<ServiceView>,
  containers: readonly ContainerView[],
  nowMs = 0,
): number | null {
  return planService(aServiceView(service), containers, nowMs).nextCheckAtMs;
}

function wordsOf(step: Step): string {
  switch (step.kind) {
    case 'create':
      return wordsOfCreate(step);
    case 'retire':
      return `retire ${step.containerId}: ${step.reason}${step.then === 'stopped' ? ', keep' : ''}`;
    case 'stop':
      return `${step.cut ? 'cut' : 'stop'} ${step.containerId}`;
    case 'arrive':
    case 'keep':
    case 'remove':
    case 'forget':
      return `${step.kind} ${step.containerId}`;
    case 'halt':
      return `halt: ${step.reason}`;
    case 'delete-service':
      return 'delete the service';
  }
}

function wordsOfCreate({
  slot,
  attempt,
  pinnedTo,
  replaces,
}: Extract<Step, { kind: 'create' }>): string {
  const again = attempt === 1 ? '' : ` attempt ${attempt}`;
  const pin = pinnedTo === null ? '' : ` on ${pinnedTo}`;
  return `create ${slot}${again}${pin}${replaces === null ? '' : ` for ${replaces}`}`;
}
