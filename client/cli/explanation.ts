import type { Action } from '../../shared/gen/fairlead/v1/action.ts';
import { ContainerPhase, type Container } from '../../shared/gen/fairlead/v1/container.ts';
import type { ExplainResponse } from '../../shared/gen/fairlead/v1/control_service.ts';
import {
  RolloutStepState,
  type RolloutStep,
  type Wait,
} from '../../shared/gen/fairlead/v1/explanation.ts';
import { ServiceState, type Rollout, type Service } from '../../shared/gen/fairlead/v1/service.ts';
import { sorted, containerKind } from './kinds.ts';
import { age } from './table.ts';
import { containerPhaseWords, rolloutStateWords, serviceStateWords } from './words.ts';

/** What is explained in one go. */
type Explained = Pick<ExplainResponse, 'waits' | 'moreWaits' | 'steps' | 'containers' | 'actions'>;

/** Why a service is as it is, in lines: what it waits for, and each container that is not ready. */
export function explainService(
  service: Service,
  { waits, moreWaits, steps, containers, actions }: Explained,
  nowMs: number,
): string[] {
  const { name, state, message, readyContainers, currentContainers, rollout } = service;
  const counts = `${readyContainers} of ${currentContainers} containers ready`;
  const head = `service ${name} is ${serviceStateWords(state)}, ${counts}`;
  const unwell = sorted(containerKind, containers);
  const isCalm = message === '' && actions.length === 0 && unwell.length === 0;
  const isWell = isCalm && state === ServiceState.RUNNING;
  return [
    message === '' ? head : `${head}: ${message}`,
    ...(isWell ? ['all is as it was asked'] : []),
    ...indented(waitLines(waits, moreWaits, nowMs)),
    ...(rollout === undefined ? [] : indented(explainRollout(rollout, nowMs))),
    ...actions.flatMap((action) => indented(headOfAction(action, nowMs))),
    ...indented(steps.flatMap((step) => stepLines(step, nowMs))),
    ...unwell.flatMap((container) => indented(explainContainer(container, nowMs))),
  ];
}

/** What an action did and does, step by step. */
export function explainAction(
  action: Action,
  { waits, moreWaits, steps }: Pick<Explained, 'waits' | 'moreWaits' | 'steps'>,
  summary: string,
  nowMs: number,
): string[] {
  return [
    ...headOfAction(action, nowMs),
    `  ${summary}`,
    ...indented(waitLines(waits, moreWaits, nowMs)),
    ...indented(steps.flatMap((step) => [...stepLines(step, nowMs), ...entryLines(step)])),
  ];
}

/** What one container waits for, and why it is as it is. */
export function explainOne(
  container: Container,
  { waits, moreWaits }: Pick<Explained, 'waits' | 'moreWaits'>,
  nowMs: number,
): string[] {
  return [...explainContainer(container, nowMs), ...indented(waitLines(waits, moreWaits, nowMs))];
}

function waitLines(waits: readonly Wait[], more: number, nowMs: number): string[] {
  return [
    ...waits.map(({ message, since, until }) => {
      const started = since === undefined ? '' : `, for ${age(since, nowMs)}`;
      const ends = until === undefined ? '' : `, at most until ${until.toISOString()}`;
      return `${message.startsWith('waiting for') ? message : `waits for ${message}`}${started}${ends}`;
    }),
    ...(more === 0 ? [] : [`and for ${more} more`]),
  ];
}

/** How far a step is, and how long it takes or took. */
function stepLines({ container, state, beganAt, endedAt }: RolloutStep, nowMs: number): string[] {
  if (container === '' || state === RolloutStepState.UNSPECIFIED) return [];
  const words = stepWords[state];
  if (beganAt === undefined) return [`${container}: ${words}`];
  if (endedAt === undefined) return [`${container}: ${words}, for ${age(beganAt, nowMs)}`];
  const tookMs = endedAt.getTime() - beganAt.getTime();
  return [`${container}: ${words}, in ${(tookMs / 1_000).toFixed(1)}s`];
}

function entryLines({ container, state, entries }: RolloutStep): string[] {
  const isNamed = container !== '' && state === RolloutStepState.UNSPECIFIED;
  return [
    ...(isNamed ? [`${container}:`] : []),
    ...entries.map(({ time, message }) => `  ${time?.toISOString() ?? ''}  ${message}`),
  ];
}

const stepWords = {
  [RolloutStepState.WAITING]: 'its turn has not come',
  [RolloutStepState.GOING]: 'under way',
  [RolloutStepState.DONE]: 'done',
  [RolloutStepState.FAILED]: 'given up',
} as const;

/** Where a rollout stands and since when, what failed in it, and what it would go back to. */
function explainRollout(rollout: Rollout, nowMs: number): string[] {
  const { revision, baseRevision, state, reason, failedSlots, since, canaries } = rollout;
  const head = `the rollout of revision ${revision} is ${rolloutStateWords(state)}`;
  return [
    `${head}, for ${age(since, nowMs)}${reason === '' ? '' : `: ${reason}`}`,
    ...(canaries === 0 ? [] : [`  ${canaries} containers try it until it is promoted`]),
    ...(failedSlots.length === 0 ? [] : [`  given up in slot ${failedSlots.join(', ')}`]),
    ...(baseRevision === 0 ? [] : [`  rolled out to the end last: revision ${baseRevision}`]),
  ];
}

function headOfAction({ method, id, principal, startedAt, endedAt }: Action, nowMs: number) {
  const goesOn = `has gone on for ${age(startedAt, nowMs)}`;
  const hasEnded = `ended ${age(endedAt, nowMs)} ago`;
  return [`${method} by ${principal} ${endedAt === undefined ? goesOn : hasEnded} (action ${id})`];
}

/** Why a container is as it is, in lines: where it could not be placed, what its drain waits for. */
function explainContainer(container: Container, nowMs: number): string[] {
  const { name, node, message, stale, exitCode, restarts, placement, canary } = container;
  const head = `container ${name}${canary ? ' (canary)' : ''} is ${phaseOf(container)}${node === '' ? '' : ` on ${node}`}`;
  return [
    message === '' ? head : `${head}: ${message}`,
    ...(stale ? [`  ${node} is away; this is what was last known`] : []),
    ...(exitCode === undefined ? [] : [`  its process ended with status ${exitCode}`]),
    ...(restarts === 0 ? [] : [`  the engine restarted it ${restarts} times`]),
    ...placement.map(({ node: refusing, reason }) => `  not on ${refusing}: ${reason}`),
    ...failureLines(container, nowMs),
    ...drainLines(container, nowMs),
  ];
}

function failureLines({ failure }: Container, nowMs: number): string[] {
  if (failure === undefined) return [];
  const { exitCode, endedAt, lines } = failure;
  const end =
    exitCode === undefined
      ? 'it was given up without having been ready'
      : `it failed with status ${exitCode} ${age(endedAt, nowMs)} ago`;
  return [
    `  ${end}; ${lines.length === 0 ? 'it wrote nothing' : 'it wrote last:'}`,
    ...lines.map((line) => `    | ${line}`),
  ];
}

function phaseOf({ phase, ready }: Container): string {
  if (phase !== ContainerPhase.RUNNING) return containerPhaseWords(phase);
  return ready ? 'running and ready' : 'running, not ready';
}

function drainLines({ drain }: Container, nowMs: number): string[] {
  if (drain === undefined) return [];
  const { startedAt, deadlineAt, inFlight, waitingFor } = drain;
  const waits = waitingFor.length === 0 ? '' : `; waits for ${waitingFor.join(', ')}`;
  const until = deadlineAt === undefined ? '' : `, at most until ${deadlineAt.toISOString()}`;
  return [
    `  draining for ${age(startedAt, nowMs)}${until}: ${inFlight} requests in flight${waits}`,
  ];
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}
