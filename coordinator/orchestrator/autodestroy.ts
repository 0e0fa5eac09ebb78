import { recover } from './restart.ts';
import type { Slots } from './standing.ts';
import { isAlive, type ContainerView, type ServiceView } from './views.ts';

/**
 * Whether a service has run its course, so that it removes itself: every slot is filled, and what fills it has
 * ended by itself, in the way that its `autodestroy` asks for, and is not started again.
 */
export function hasRunItsCourse(service: ServiceView, slots: Slots): boolean {
  const { autodestroy, rollout, everyNode, replicas } = service;
  if (autodestroy === 'never') return false;
  // One that goes on may yet fail, and one that somebody is to judge is waited for.
  if (rollout !== null && (autodestroy !== 'always' || rollout.state !== 'failed')) return false;
  const wanted = everyNode?.length ?? replicas;
  if (wanted === 0 || slots.size !== wanted) return false;
  return [...slots.values()].every((members) => {
    const live = members.filter(({ wanted: where }) => where === 'running');
    return live.length === 1 && members.length === 1 && live.every((c) => hasEnded(c, service));
  });
}

function hasEnded(container: ContainerView, service: ServiceView): boolean {
  if (isAlive(container) || !container.everRan || container.lost) return false;
  const { kind } = recover(container, service, 0);
  if (service.autodestroy === 'on-success') return kind === 'leave' && container.exitCode === 0;
  return kind === 'leave' || kind === 'give-up';
}
