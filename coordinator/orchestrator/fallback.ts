import type { RevisionSet } from '../model.ts';
import { isOf } from './canary.ts';
import type { ContainerView, ServiceView } from './views.ts';

/** What a failed rollout goes back to; null where that is nothing else. */
export function fallbackOf({
  base,
  revision,
  alike,
}: Pick<ServiceView, 'base' | 'revision' | 'alike'>): RevisionSet | null {
  const isSame = base === null || base.revision === revision || alike.includes(base.revision);
  return isSame ? null : base;
}

/** Of a service, what decides whether a container is tried. */
export type Tried = Pick<ServiceView, 'rollout' | 'base' | 'revision' | 'alike'>;

/**
 * A rollout brings its revision, and it did not serve yet. If it fails, what was there before stays or comes
 * back, so that it is better to know soon than to try for long.
 */
export function isTried(service: Tried, container: ContainerView): boolean {
  return (
    service.rollout?.state === 'going' &&
    !container.arrived &&
    isOf(service, container) &&
    fallbackOf(service) !== null
  );
}
