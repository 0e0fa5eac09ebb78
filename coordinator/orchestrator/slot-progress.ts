import { groupBy } from '../../shared/collections.ts';
import { isLeaving, isSettled } from './progress.ts';
import { fitnessOf } from './rollout.ts';
import { hasPlace } from './standing.ts';
import type { ContainerView, ServiceView } from './views.ts';

/** How far what is to become of a slot is. */
export type SlotProgress = 'waiting' | 'going' | 'done' | 'failed';

/** How far each slot of a service is on its way to what it is to have; those that are to go included. */
export function slotProgress(
  service: ServiceView,
  containers: readonly ContainerView[],
): Map<number, SlotProgress> {
  const slots = groupBy(containers, ({ slot }) => slot);
  const fits = fitnessOf(service);
  const failed = service.rollout?.failedSlots ?? [];
  const progress = new Map<number, SlotProgress>();
  for (const [slot, members] of slots) {
    progress.set(slot, failed.includes(slot) ? 'failed' : progressOfSlot(service, members, fits));
  }
  if (service.everyNode !== null || service.terminating || !service.started) return progress;
  for (let slot = 1; progress.size < service.replicas; slot++) {
    if (!progress.has(slot)) progress.set(slot, 'waiting');
  }
  return progress;
}

function progressOfSlot(
  service: ServiceView,
  members: readonly ContainerView[],
  fits: (container: ContainerView) => boolean,
): SlotProgress {
  const live = members.filter(({ wanted }) => wanted === 'running');
  const right = live.filter((c) => fits(c) && !c.outdated && !c.evicted && !c.lost);
  const isLeft = members.some(isLeaving);
  if (!isLeft && right.length === live.length && right.every((c) => isSettled(c, service))) {
    return 'done';
  }
  // What is to be replaced, and serves until then.
  return !isLeft && right.length === 0 && live.every(hasPlace) ? 'waiting' : 'going';
}
