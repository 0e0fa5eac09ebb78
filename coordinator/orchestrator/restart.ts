import { isTried, type Tried } from './fallback.ts';
import { isAlive, type ContainerView, type ServiceView } from './views.ts';

/** Attempts to fill a slot with one revision before it is given up. */
export const maxAttempts = 3;

/** A container that lived this long was no failure of its definition: counting starts anew. */
const provenMs = 60_000;

/** Waits before the second and the third attempt. */
const waitsMs = [1_000, 5_000];
/** The same for what a rollout tries. */
const waitsOfTriedMs = [0, 1_000];

/** A process that ended once more often than this without ever having served is none that only starts slowly. */
const maxRestarts = 2;

export type Recovery =
  | { readonly kind: 'now'; readonly attempt: number }
  | { readonly kind: 'later'; readonly atMs: number }
  /** The user wanted it so: a job that ended, or the policy 'never'. */
  | { readonly kind: 'leave' }
  | { readonly kind: 'give-up' };

/** Of a service, what decides whether what ended is tried again. */
export type Policy = Tried & Pick<ServiceView, 'restart' | 'restartLimit' | 'order' | 'failures'>;

/** What to do about a container that ended although it should run. */
export function recover(container: ContainerView, policy: Policy, nowMs: number): Recovery {
  if (keepsEnding(container, policy)) return recoverTried(container, policy);
  if (isAlive(container) || hasEndedAsAllowed(container, policy)) return { kind: 'leave' };
  const proven = container.everRan && container.sinceMs - container.createdAtMs >= provenMs;
  const attempt = proven ? 0 : container.attempt;
  if (attempt >= maxAttempts || isGivenUpByEngine(container, policy)) return { kind: 'give-up' };
  if (isRefusedAllOver(container, policy)) return { kind: 'give-up' };
  const atMs = container.sinceMs + (proven ? 0 : waitMs(container, policy));
  return nowMs >= atMs ? { kind: 'now', attempt: attempt + 1 } : { kind: 'later', atMs };
}

/**
 * A rollout tries it, and its process ended again and again: what the engine does about that, with longer and
 * longer waits, is for services that have nothing else.
 */
export function keepsEnding(container: ContainerView, policy: Tried): boolean {
  const { restarts, exitCode, ready, away } = container;
  const hasJustEnded = exitCode !== null;
  const isLooping = restarts > maxRestarts || (restarts === maxRestarts && hasJustEnded);
  return isLooping && !ready && !away && isAlive(container) && isTried(policy, container);
}

/** It may not be there beside another with stop-first, and nothing serves until the slot has what it had. */
function recoverTried({ attempt }: ContainerView, { order }: Policy): Recovery {
  return attempt < maxAttempts && order === 'start-first'
    ? { kind: 'now', attempt: attempt + 1 }
    : { kind: 'give-up' };
}

/** What served is wanted back at once, and what a rollout tries is to show soon what it is. */
function waitMs(container: ContainerView, policy: Policy): number {
  const { attempt, arrived } = container;
  if (attempt === 1 && arrived) return 0;
  return (isTried(policy, container) ? waitsOfTriedMs : waitsMs)[attempt - 1] ?? 0;
}

/** The engines of two nodes would not even start what a rollout tries: a third will not either. */
function isRefusedAllOver(container: ContainerView, policy: Policy): boolean {
  const { attempt, everRan, nodeId, revision } = container;
  if (attempt < 2 || everRan || !isTried(policy, container)) return false;
  return policy.failures.some((each) => each.revision === revision && each.nodeId !== nodeId);
}

function hasEndedAsAllowed({ everRan, exitCode }: ContainerView, { restart }: Policy): boolean {
  return everRan && (restart === 'never' || (restart === 'on-failure' && exitCode === 0));
}

/** The engine has tried as often as it may; one whose process never was is another matter. */
function isGivenUpByEngine({ everRan }: ContainerView, { restart, restartLimit }: Policy): boolean {
  return everRan && restart === 'on-failure' && restartLimit > 0;
}
