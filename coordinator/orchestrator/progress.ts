import { groupBy } from '../../shared/collections.ts';
import { baseOfTrial, countCanaries, isCanary, type CanaryCount } from './canary.ts';
import { maxAttempts, recover } from './restart.ts';
import { fitnessOf } from './rollout.ts';
import { holdsSlot } from './standing.ts';
import { isAlive, type ContainerView, type ServiceView } from './views.ts';

/** Whether a service is where it is wanted. */
export type Progress =
  | { readonly kind: 'done' }
  /** As the user wanted it for now: a rollout that they paused. */
  | { readonly kind: 'resting'; readonly reason: string }
  /** Something is being done, or waited for. */
  | { readonly kind: 'working'; readonly waitingFor: string }
  /** Nothing more will be done until somebody changes something. */
  | { readonly kind: 'stuck'; readonly reason: string };

/**
 * Says where a service stands, given that its plan has no more steps to take now.
 *
 * `unplaceable` holds, for pending containers, why no node takes them.
 */
export function progressOf(
  service: ServiceView,
  containers: readonly ContainerView[],
  unplaceable: ReadonlyMap<string, string>,
  nowMs: number,
): Progress {
  if (service.terminating) return working(`${containers.length} containers to be removed`);
  const leaving = containers.filter(isLeaving);
  const live = containers.filter(({ wanted }) => wanted === 'running');
  if (!service.started) return stopped([...live, ...leaving]);
  if (service.rollout?.state === 'paused') return { kind: 'resting', reason: 'it is paused' };
  const progress = convergence(service, containers, unplaceable, nowMs);
  if (progress.kind === 'working') return progress;
  return baseOfTrial(service) === null
    ? endOfRollout(service, progress)
    : endOfTrial(service, progress, canariesOf(service, containers));
}

/** Where the slots stand, whatever becomes of the rollout. */
function convergence(
  service: ServiceView,
  containers: readonly ContainerView[],
  unplaceable: ReadonlyMap<string, string>,
  nowMs: number,
): Progress {
  const leaving = containers.filter(isLeaving);
  const live = containers.filter(({ wanted }) => wanted === 'running');
  const failures = live.flatMap((container) => failureOf(container, service, unplaceable, nowMs));
  const [failure] = failures;
  const unfinished = live.filter((c) => !isSettled(c, service) && !isGivenUp(c));
  if (unfinished.length > 0 && unfinished.length === failures.length && failure !== undefined) {
    return { kind: 'stuck', reason: failure };
  }
  const [waiting] = unfinished;
  if (waiting !== undefined) return working(describe(waiting, unplaceable));
  const fits = fitnessOf(service);
  const old = live.filter((c) => !fits(c) || c.outdated || c.lost || c.evicted);
  if (old.length > 0) return working(`${old.length} containers to be replaced`);
  const missing = missingContainers(service, containers);
  if (missing > 0) return working(`${missing} containers to be created`);
  const [gone] = leaving;
  if (gone !== undefined) return working(describe(gone, unplaceable));
  return { kind: 'done' };
}

/** When nothing is under way any more, what the rollout came to. */
function endOfRollout(service: ServiceView, progress: Progress): Progress {
  const { rollout, revision, base } = service;
  if (rollout === null) return progress;
  const { state, reason } = rollout;
  switch (state) {
    case 'going':
    case 'rolling-back':
      return progress.kind === 'done' ? working('the rollout to end') : progress;
    case 'paused':
      return progress;
    case 'failed':
      return { kind: 'stuck', reason: `the rollout of revision ${revision} stopped: ${reason}` };
    case 'rolled-back': {
      const to = `revision ${base?.revision ?? 0}`;
      return { kind: 'stuck', reason: `revision ${revision} was rolled back to ${to}: ${reason}` };
    }
    case 'rollback-failed':
      return {
        kind: 'stuck',
        reason: `revision ${revision} failed, and so did going back: ${reason}`,
      };
  }
}

/** What a revision on trial came to: that is for somebody to judge, unless it promotes itself. */
function endOfTrial(
  { revision, autoPromote }: ServiceView,
  progress: Progress,
  { wanted, there }: CanaryCount,
): Progress {
  if (progress.kind !== 'done') return progress;
  if (there < wanted) return working('the canaries to have served for their settle time');
  if (autoPromote && wanted > 0) return working('the canaries to be promoted');
  const what = wanted === 1 ? '1 canary' : `${wanted} canaries`;
  const serve = wanted === 1 ? 'serves' : 'serve';
  const reason = `${what} of revision ${revision} ${serve}: promote it, or roll it back`;
  return { kind: 'resting', reason };
}

/** How many canaries a service has, and is to have. */
export function canariesOf(
  service: ServiceView,
  containers: readonly ContainerView[],
): CanaryCount {
  return countCanaries(
    service,
    groupBy(containers.filter(holdsSlot), ({ slot }) => slot),
  );
}

/** What a user holds stopped is not missing; canaries are besides. */
function missingContainers(service: ServiceView, containers: readonly ContainerView[]): number {
  const isBeside = (c: ContainerView) => service.order === 'start-first' && isCanary(service, c);
  const there = containers.filter((c) => !isBeside(c) && (c.held || c.wanted === 'running'));
  const { wanted, present } = canariesOf(service, containers);
  const missing = (service.everyNode?.length ?? service.replicas) - there.length;
  return Math.max(0, missing) + Math.max(0, wanted - present);
}

/** Something is still to happen to it before it is gone, or stopped to stay. */
export function isLeaving(container: ContainerView): boolean {
  // It goes when its node comes back, if ever: nobody waits for that.
  if (container.lost) return false;
  if (container.wanted === 'stopped') return isAlive(container);
  // One that is held before it got a node is as stopped as it can be.
  return container.wanted === 'draining' || (container.wanted === 'removed' && !container.held);
}

function stopped([waiting]: readonly ContainerView[]): Progress {
  return waiting === undefined ? { kind: 'done' } : working(describe(waiting, new Map()));
}

/**
 * It takes traffic, or ended as its restart policy allows. Once it did, a proxy that is new or away for a
 * moment does not take that back.
 */
export function isSettled(container: ContainerView, service: ServiceView): boolean {
  if (container.ready && (container.admitted || container.arrived)) return true;
  return !isAlive(container) && recover(container, service, 0).kind === 'leave';
}

/** Lost with its node, and another takes its place. */
function isGivenUp({ lost, pinnedTo }: ContainerView): boolean {
  return lost && pinnedTo === null;
}

/** Why a container will not get there by itself, if so. */
function failureOf(
  container: ContainerView,
  service: ServiceView,
  unplaceable: ReadonlyMap<string, string>,
  nowMs: number,
): string[] {
  if (container.lost)
    return isGivenUp(container) ? [] : [`${container.name}: ${container.message}`];
  if (!isAlive(container)) {
    if (recover(container, service, nowMs).kind !== 'give-up') return [];
    const often = container.attempt < maxAttempts ? 'for good' : `${maxAttempts} times`;
    return [`${container.name} failed ${often}: ${container.message}`];
  }
  // Of what is on a node that is not heard of, nothing is known: that comes back, or counts as lost.
  if (isSettled(container, service) || container.away) return [];
  // What served has as long to come back as it had to come.
  const sinceMs = container.arrived ? container.sinceMs : container.createdAtMs;
  if (nowMs < Math.max(sinceMs, service.rollout?.sinceMs ?? 0) + service.deadlineMs) return [];
  return [`not within ${service.deadlineMs} ms: ${describe(container, unplaceable)}`];
}

/** What one container is waiting for, in words. */
export function describe(
  container: ContainerView,
  unplaceable: ReadonlyMap<string, string>,
): string {
  const { name, message } = container;
  const detail = message === '' ? '' : ` (${message})`;
  switch (container.wanted) {
    case 'draining':
      return `${name} to finish what is in flight`;
    case 'stopped':
      return `${name} to stop`;
    case 'removed':
      return `${name} to be removed${detail}`;
    case 'running':
      if (container.nodeId === null) {
        return `${name} to be placed: ${unplaceable.get(container.id) ?? 'not tried yet'}`;
      }
      if (container.phase === 'running' && container.ready) {
        return `${name} to be admitted by the load balancers`;
      }
      if (container.phase === 'running') return `${name} to be ready${detail}`;
      return `${name}, which is ${container.phase}${detail}`;
  }
}

function working(waitingFor: string): Progress {
  return { kind: 'working', waitingFor: `waiting for ${waitingFor}` };
}
