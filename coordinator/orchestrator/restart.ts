import { isAlive, type ContainerView, type ServiceView } from './views.ts';

/** Attempts to fill a slot with one revision before it is given up. */
export const maxAttempts = 3;

/** A container that lived this long was no failure of its definition: counting starts anew. */
const provenMs = 60_000;

/** Waits before the second and the third attempt. */
const waitsMs = [1_000, 5_000];

export type Recovery =
  | { readonly kind: 'now'; readonly attempt: number }
  | { readonly kind: 'later'; readonly atMs: number }
  /** The user wanted it so: a job that ended, or the policy 'never'. */
  | { readonly kind: 'leave' }
  | { readonly kind: 'give-up' };

type Policy = Pick<ServiceView, 'restart' | 'restartLimit'>;

/** What to do about a container that ended although it should run. */
export function recover(container: ContainerView, policy: Policy, nowMs: number): Recovery {
  if (isAlive(container) || hasEndedAsAllowed(container, policy)) return { kind: 'leave' };
  const proven = container.everRan && container.sinceMs - container.createdAtMs >= provenMs;
  const attempt = proven ? 0 : container.attempt;
  if (attempt >= maxAttempts || isGivenUpByEngine(container, policy)) return { kind: 'give-up' };
  const atMs = container.sinceMs + (proven ? 0 : (waitsMs[attempt - 1] ?? 0));
  return nowMs >= atMs ? { kind: 'now', attempt: attempt + 1 } : { kind: 'later', atMs };
}

function hasEndedAsAllowed({ everRan, exitCode }: ContainerView, { restart }: Policy): boolean {
  return everRan && (restart === 'never' || (restart === 'on-failure' && exitCode === 0));
}

/** The engine has tried as often as it may; one whose process never was is another matter. */
function isGivenUpByEngine({ everRan }: ContainerView, { restart, restartLimit }: Policy): boolean {
  return everRan && restart === 'on-failure' && restartLimit > 0;
}
