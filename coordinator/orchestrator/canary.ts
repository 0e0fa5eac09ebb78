import type { RevisionSet } from '../model.ts';
import { serves, type Slots } from './standing.ts';
import type { ContainerView, ServiceView } from './views.ts';

// A revision that is tried: as many slots as there are canaries have a container of it, and everything else is of
// the base, until the rollout is promoted or goes back. Where new containers start first, a canary stands beside
// what its slot has, which is left as it is.

/** What decides whether a revision is tried, and what by. */
export type Trial = Pick<ServiceView, 'rollout' | 'base' | 'revision' | 'alike'>;

/** What is no canary while a revision is tried; null: none is. */
export function baseOfTrial({
  rollout,
  base,
}: Pick<Trial, 'rollout' | 'base'>): RevisionSet | null {
  return rollout !== null && rollout.canaries > 0 ? base : null;
}

/** Whether a container is of one of some revisions that are as good as one another. */
export function isOf(
  { revision, alike }: RevisionSet,
  container: Pick<ContainerView, 'revision'>,
): boolean {
  return container.revision === revision || alike.includes(container.revision);
}

/** Whether a container is of the revision that is tried. */
export function isCanary(trial: Trial, container: Pick<ContainerView, 'revision'>): boolean {
  return baseOfTrial(trial) !== null && isOf(trial, container);
}

/** The slots that have a canary, or are to get one now. */
export function canarySlots(service: ServiceView, slots: Slots): ReadonlySet<number> {
  const able = [...slots].filter(([, members]) => canHaveCanary(service, members));
  const begun = able.filter(([, members]) => members.some((c) => isCanary(service, c)));
  const others = able.filter((slot) => !begun.includes(slot));
  const next = others.sort(([a], [b]) => a - b);
  return new Set([...begun, ...next].slice(0, goal(service, begun)).map(([slot]) => slot));
}

/** How many slots may have a canary now: nothing begins in a pause, and one follows the other in sequence. */
function goal(service: ServiceView, begun: readonly Slot[]): number {
  const { rollout, sequential } = service;
  const wanted = rollout?.canaries ?? 0;
  if (rollout?.state === 'paused') return Math.min(wanted, begun.length);
  if (!sequential) return wanted;
  const arrived = begun.filter(([, members]) =>
    members.some((c) => isCanary(service, c) && c.arrived),
  );
  return Math.min(wanted, arrived.length + 1);
}

type Slot = readonly [slot: number, members: readonly ContainerView[]];

/** Not where a user holds what there is, nor on a node that is down. */
function canHaveCanary(trial: Trial, members: readonly ContainerView[]): boolean {
  return !members.some((c) => (c.held && !isCanary(trial, c)) || (c.lost && c.pinnedTo !== null));
}

/** How many canaries there are to be, and how many of them serve and have settled. */
export interface CanaryCount {
  readonly wanted: number;
  readonly present: number;
  readonly there: number;
}

/** Counts the canaries of a service by what stands for its slots. */
export function countCanaries(service: ServiceView, slots: Slots): CanaryCount {
  if (baseOfTrial(service) === null) return { wanted: 0, present: 0, there: 0 };
  const able = [...slots.values()].filter((members) => canHaveCanary(service, members));
  const canaries = able.map((members) => members.filter((c) => isCanary(service, c)));
  return {
    wanted: Math.min(service.rollout?.canaries ?? 0, able.length),
    present: canaries.filter((each) => each.length > 0).length,
    there: canaries.filter((each) => each.some((c) => c.arrived && serves(c))).length,
  };
}
