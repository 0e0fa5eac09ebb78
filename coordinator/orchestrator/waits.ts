import type { ContainerId } from '../../shared/ids.ts';
import { describe, isLeaving, isSettled, type Progress } from './progress.ts';
import { recover } from './restart.ts';
import { isActive } from './rollout.ts';
import { isAlive, type ContainerView, type ServiceView } from './views.ts';

/** Something that a service waits for. */
export interface Wait {
  /** Null: it is about the service as a whole. */
  readonly containerId: ContainerId | null;
  readonly message: string;
  /** Null: not known. */
  readonly sinceMs: number | null;
  /** When something happens by itself; null: never. */
  readonly untilMs: number | null;
}

export interface Waiting {
  readonly service: ServiceView;
  readonly containers: readonly ContainerView[];
  readonly progress: Progress;
  /** Why no node takes a container. */
  readonly unplaceable: ReadonlyMap<string, string>;
}

/** All that a service waits for now: what keeps it as a whole first. */
export function waitsOf(waiting: Waiting, nowMs: number): Wait[] {
  const { service, containers, progress } = waiting;
  const each = containers.flatMap((container) => waitsFor(container, waiting, nowMs));
  if (progress.kind === 'done') return each;
  // Then it is what one of the containers waits for, in other words.
  const isTold = progress.kind === 'working' || service.rollout === null;
  if (isTold && each.length > 0) return each;
  const message = progress.kind === 'working' ? progress.waitingFor : progress.reason;
  const sinceMs = service.rollout?.sinceMs ?? null;
  return [{ containerId: null, message, sinceMs, untilMs: null }, ...each];
}

/** What one container waits for. */
function waitsFor(container: ContainerView, waiting: Waiting, nowMs: number): Wait[] {
  const { service, unplaceable } = waiting;
  const { id, wanted, retirement, pinnedTo, lost, sinceMs } = container;
  const wait = (more: Partial<Wait>): Wait[] => {
    const message = describe(container, unplaceable);
    return [{ containerId: id, message, sinceMs, untilMs: null, ...more }];
  };
  if (wanted !== 'running') {
    if (!isLeaving(container)) return [];
    const untilMs = wanted === 'draining' ? (retirement?.deadlineAtMs ?? null) : null;
    return wait({ sinceMs: retirement?.startedAtMs ?? sinceMs, untilMs });
  }
  // Another takes its place, and waits by itself.
  if (lost)
    return pinnedTo === null ? [] : wait({ message: `${container.name}: its node is down` });
  if (isSettled(container, service)) return [];
  if (!isAlive(container)) return afterItsEnd(container, service, nowMs).flatMap(wait);
  return wait({ sinceMs: begunAtMs(container), untilMs: deadlineOf(container, service) });
}

/** It ended although it should run. */
function afterItsEnd(
  container: ContainerView,
  service: ServiceView,
  nowMs: number,
): Pick<Wait, 'message' | 'untilMs'>[] {
  const { name, attempt, message } = container;
  const detail = message === '' ? '' : `: ${message}`;
  const recovery = recover(container, service, nowMs);
  switch (recovery.kind) {
    case 'leave':
      return [];
    case 'now':
    case 'later': {
      const untilMs = recovery.kind === 'later' ? recovery.atMs : null;
      return [{ message: `${name} to be tried again, as it ended${detail}`, untilMs }];
    }
    case 'give-up':
      return [
        { message: `${name} was given up after ${attempt} attempts${detail}`, untilMs: null },
      ];
  }
}

/** What has no node yet waits since it was made. */
function begunAtMs({ nodeId, createdAtMs, sinceMs }: ContainerView): number {
  return nodeId === null ? createdAtMs : sinceMs;
}

/** When a rollout gives it up. */
function deadlineOf(container: ContainerView, service: ServiceView): number | null {
  const { rollout, deadlineMs } = service;
  if (rollout === null || !isActive(service)) return null;
  const fromMs = container.arrived ? container.sinceMs : container.createdAtMs;
  return Math.max(fromMs, rollout.sinceMs) + deadlineMs;
}
