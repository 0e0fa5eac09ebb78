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
  const view = aServiceView(service);
  return planService(view, containers, nowMs).steps.map((step) => wordsOf(step, view.revision));
}

/** When the plan wants to be asked again. */
export function nextCheck(
  service: Partial<ServiceView>,
  containers: readonly ContainerView[],
  nowMs = 0,
): number | null {
  return planService(aServiceView(service), containers, nowMs).nextCheckAtMs;
}

/** What is made of another revision than the current one says so. */
function wordsOf(step: Step, current: number): string {
  switch (step.kind) {
    case 'create':
      return wordsOfCreate(step, current);
    case 'retire':
      return wordsOfRetirement(step);
    case 'stop':
      return `${wordOfStop(step)} ${step.containerId}`;
    case 'arrive':
    case 'remove':
    case 'forget':
      return `${step.kind} ${step.containerId}`;
    case 'keep':
    case 'fail-slot':
    case 'turn':
      return wordsOfFailure(step);
    case 'terminate':
      return 'remove the service';
    case 'delete-service':
      return 'delete the service';
  }
}

const wordsOfRetirement = ({ containerId, reason, then }: Extract<Step, { kind: 'retire' }>) =>
  `retire ${containerId}: ${reason}${then === 'stopped' ? ', keep' : ''}`;

const wordOfStop = ({ cut }: Extract<Step, { kind: 'stop' }>) => (cut ? 'cut' : 'stop');

function wordsOfCreate(
  { slot, revision, attempt, pinnedTo, replaces, canary }: Extract<Step, { kind: 'create' }>,
  current: number,
): string {
  const again = attempt === 1 ? '' : ` attempt ${attempt}`;
  const pin = pinnedTo === null ? '' : ` on ${pinnedTo}`;
  const older = revision === current ? '' : ` of revision ${revision}`;
  const trial = canary ? ' as a canary' : '';
  return `create ${slot}${older}${trial}${again}${pin}${replaces === null ? '' : ` for ${replaces}`}`;
}

function wordsOfFailure(step: Extract<Step, { kind: 'keep' | 'fail-slot' | 'turn' }>): string {
  const because = step.reason === '' ? '' : `: ${step.reason}`;
  switch (step.kind) {
    case 'keep':
      return `keep ${step.containerId}${because}`;
    case 'fail-slot':
      return `fail ${step.slot}${because}`;
    case 'turn':
      return `${step.to}${because}`;
  }
}
