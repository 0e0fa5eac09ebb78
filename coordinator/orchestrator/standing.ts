import { isAlive, type ContainerView, type RetireReason } from './views.ts';

// What a container is worth to its slot.

/** What stands for each slot. */
export type Slots = Map<number, ContainerView[]>;

/** It is on a node, and its process exists or is being brought about: worth keeping until its successor is. */
export function hasPlace(container: ContainerView): boolean {
  return container.nodeId !== null && isAlive(container) && !container.lost;
}

/** Nothing of it can be kept: it has ended, or never got anywhere. */
export function isOver(container: ContainerView): boolean {
  return !container.lost && !hasPlace(container);
}

/** It takes traffic. */
export function serves({ ready, admitted }: ContainerView): boolean {
  return ready && admitted;
}

/** It stands for its slot: it runs, is kept stopped, or was stopped or replaced and awaits a successor. */
export function holdsSlot({ wanted, retirement }: ContainerView): boolean {
  if (wanted === 'running' || wanted === 'stopped') return true;
  if (retirement === null) return false;
  const { then, reason } = retirement;
  return then === 'stopped' || reason === 'replaced' || reason === 'moved';
}

/** Why an old one goes when its successor is there. */
export function reasonToReplace({ lost, evicted }: ContainerView): RetireReason {
  if (lost) return 'lost';
  return evicted ? 'moved' : 'replaced';
}

/** The one to keep first. */
export function byUsefulness(a: ContainerView, b: ContainerView): number {
  return (
    Number(a.lost) - Number(b.lost) ||
    Number(b.ready) - Number(a.ready) ||
    Number(b.admitted) - Number(a.admitted) ||
    Number(isAlive(b)) - Number(isAlive(a)) ||
    a.createdAtMs - b.createdAtMs ||
    a.id.localeCompare(b.id)
  );
}

/** What it says of itself, as the end of a sentence. */
export function because({ message }: ContainerView): string {
  return message === '' ? '' : `: ${message}`;
}
