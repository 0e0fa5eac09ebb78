import type { Action } from '../../shared/gen/fairlead/v1/action.ts';
import { ContainerPhase, type Container } from '../../shared/gen/fairlead/v1/container.ts';
import { ServiceState, type Rollout, type Service } from '../../shared/gen/fairlead/v1/service.ts';
import { sorted, containerKind } from './kinds.ts';
import { age } from './table.ts';
import { containerPhaseWords, rolloutStateWords, serviceStateWords } from './words.ts';

/** Why a service is as it is, in lines: what it waits for, and each container that is not ready. */
export function explainService(
  {
    service,
    containers,
    actions,
  }: {
    readonly service: Service;
    readonly containers: readonly Container[];
    readonly actions: readonly Action[];
  },
  nowMs: number,
): string[] {
  const { name, state, message, readyContainers, currentContainers, rollout } = service;
  const counts = `${readyContainers} of ${currentContainers} containers ready`;
  const head = `service ${name} is ${serviceStateWords(state)}, ${counts}`;
  const unwell = sorted(containerKind, containers).filter(({ ready }) => !ready);
  const isCalm = message === '' && actions.length === 0 && unwell.length === 0;
  const isWell = isCalm && state === ServiceState.RUNNING;
  return [
    message === '' ? head : `${head}: ${message}`,
    ...(isWell ? ['all is as it was asked'] : []),
    ...(rollout === undefined ? [] : indented(explainRollout(rollout, nowMs))),
    ...actions.flatMap((action) => indented(explainAction(action, nowMs))),
    ...unwell.flatMap((container) => indented(explainContainer(container, nowMs))),
  ];
}

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

function explainAction({ method, id, principal, startedAt, timeline }: Action, nowMs: number) {
  const last = timeline.at(-1);
  return [
    `${method} by ${principal} has gone on for ${age(startedAt, nowMs)} (action ${id})`,
    ...(last === undefined ? [] : [`  last: ${[last.container, last.message].join(' ').trim()}`]),
  ];
}

/** Why a container is as it is, in lines: where it could not be placed, what its drain waits for. */
export function explainContainer(container: Container, nowMs: number): string[] {
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
