import type { NodeId } from '../../shared/ids.ts';
import type { RetireReason, RevisionSet, Rollout } from '../model.ts';
import { baseOfTrial, canarySlots, countCanaries, isCanary, isOf, type Trial } from './canary.ts';
import { fallbackOf } from './fallback.ts';
import { recover } from './restart.ts';
import type { MissingSlot } from './scaling.ts';
import { hasPlace, serves, type Slots } from './standing.ts';
import type { Step } from './steps.ts';
import { isAlive, type ContainerView, type ServiceView } from './views.ts';

/** What a slot is to have, given where the rollout stands. */
export interface Aim {
  /** Of a container that is made for the slot now. */
  readonly revision: number;
  /** Whether a container may stay, as far as its revision goes. */
  readonly fits: (container: ContainerView) => boolean;
  /** The slot is being brought to that revision: what fails there, fails the rollout. */
  readonly strict: boolean;
}

/** What each slot is to have; a slot that nothing stands for has no members. */
export type Aims = (slot: number, members: readonly ContainerView[]) => Aim;

/** The revisions that slots are to have, by the state of the rollout. */
export function aimsOf(service: ServiceView): Aims {
  const { rollout, base } = service;
  const target = targetOf(service);
  const tried = baseOfTrial(service);
  if (tried !== null) return always({ ...strictly(tried), strict: false });
  switch (rollout?.state) {
    case undefined:
      return always(strictly(target));
    case 'going': {
      const going = strictly(target);
      return (slot, members) =>
        rollout.failedSlots.includes(slot) ? staying(service, members, () => false) : going;
    }
    case 'paused':
      return (_, members) => staying(service, members, () => true);
    case 'failed':
      return (slot, members) =>
        staying(service, members, (c) => c.arrived && !rollout.failedSlots.includes(slot));
    case 'rolling-back':
    case 'rolled-back':
      return always(strictly(base ?? target));
    case 'rollback-failed':
      return always({ revision: (base ?? target).revision, fits: () => true, strict: false });
  }
}

/** The same for every slot, made once: services have thousands. */
function always(aim: Aim): Aims {
  return () => aim;
}

/** What is brought to one container: what stands for a slot, but that a canary beside it is for itself. */
export interface Track {
  readonly slot: number;
  readonly members: readonly ContainerView[];
  readonly aim: Aim;
  readonly pinnedTo: NodeId | null;
  /** A canary, which takes nothing's place. */
  readonly beside: boolean;
}

/** What each slot is brought to: one right container, and where a canary stands beside it that as well. */
export function tracksOf(service: ServiceView, slots: Slots): Track[] {
  const aims = aimsOf(service);
  const chosen = canarySlots(service, slots);
  return [...slots].flatMap(([slot, members]): Track[] => {
    const pinnedTo = members[0]?.pinnedTo ?? null;
    const whole = { slot, members, aim: aims(slot, members), pinnedTo, beside: false };
    if (!chosen.has(slot)) return [whole];
    const canary = { ...whole, aim: strictly(targetOf(service)) };
    if (service.order === 'stop-first') return [canary];
    const canaries = members.filter((c) => isCanary(service, c));
    const others = members.filter((c) => !isCanary(service, c));
    return [
      { ...whole, members: others },
      { ...canary, members: canaries, beside: true },
    ];
  });
}

/** Whether a container may stay as far as its revision goes, by all that stand for its slot. */
export function fitnessOf(service: ServiceView): (container: ContainerView) => boolean {
  if (baseOfTrial(service) !== null) return (container) => mayStay(service, container);
  // Only slots that stay as they are depend on who else is there, and there every one of them may be right.
  const aims = aimsOf(service);
  return (container) => aims(container.slot, [container]).fits(container);
}

/** Whether a container is of a revision that the service keeps, wherever it is. */
export function mayStay(service: Trial, container: Pick<ContainerView, 'revision'>): boolean {
  const { rollout, base, ...target } = service;
  const tried = baseOfTrial(service);
  if (tried !== null) return isOf(tried, container) || isOf(target, container);
  switch (rollout?.state) {
    case undefined:
    case 'going':
      return isOf(target, container);
    case 'rolling-back':
    case 'rolled-back':
      return isOf(base ?? target, container);
    case 'paused':
    case 'failed':
    case 'rollback-failed':
      return true;
  }
}

function targetOf({ revision, alike }: ServiceView): RevisionSet {
  return { revision, alike };
}

function strictly(set: RevisionSet): Aim {
  return { revision: set.revision, fits: (container) => isOf(set, container), strict: true };
}

/**
 * The slot keeps what it has: the new revision where that has proven itself, else what is older. What is lost
 * there comes back as what was there, never as what just failed.
 */
function staying(
  service: ServiceView,
  members: readonly ContainerView[],
  proves: (container: ContainerView) => boolean,
): Aim {
  const target = targetOf(service);
  const fallback = fallbackOf(service);
  const live = members.filter(({ wanted }) => wanted === 'running');
  const isNew = (container: ContainerView) => isOf(target, container);
  const isProven = live.some((container) => isNew(container) && proves(container));
  // Where nothing was everywhere yet, what the slot has is made again as it is.
  const older = fallback ?? live.find((c) => !isNew(c) && hasPlace(c)) ?? null;
  if (isProven || older === null) return { ...strictly(target), strict: false };
  return {
    revision: older.revision,
    fits: (container) => !isNew(container),
    strict: false,
  };
}

/** Why what is new in a slot makes place for what is older; null: it does not. */
export function reasonToTurnBack({ rollout }: ServiceView, slot: number): RetireReason | null {
  switch (rollout?.state) {
    case 'rolling-back':
    case 'rolled-back':
      return 'rolled-back';
    case 'failed':
      return 'failed';
    case 'going':
      return rollout.failedSlots.includes(slot) ? 'failed' : null;
    case undefined:
    case 'paused':
    case 'rollback-failed':
      return null;
  }
}

/** A rollout whose canaries have proven themselves, going everywhere. */
export function promoted(rollout: Rollout, nowMs: number): Rollout {
  return { ...rollout, state: 'going', canaries: 0, sinceMs: nowMs };
}

/** The rollout goes on by itself, so that what fails may fail it. */
export function isActive({ rollout }: ServiceView): boolean {
  return rollout?.state === 'going' || rollout?.state === 'rolling-back';
}

type Turn = Extract<Step, { kind: 'turn' }>;

/** Whether a rollout comes to its end, or turns: it ends always. */
export function verdictOn(
  service: ServiceView,
  slots: Slots,
  missing: readonly MissingSlot[],
): Turn | null {
  const { rollout } = service;
  if (rollout === null || !isActive(service)) return null;
  if (rollout.canaries > 0) return verdictOnTrial(service, slots, rollout);
  const isDone = isEverywhere(service, slots, missing);
  return rollout.state === 'rolling-back'
    ? verdictOnReturn(rollout, isDone)
    : verdictOnUpdate(service, rollout, isDone);
}

function verdictOnUpdate(service: ServiceView, rollout: Rollout, isDone: boolean): Turn | null {
  const { failureBudget, onFailure } = service;
  const { failedSlots, reason } = rollout;
  if (failedSlots.length > failureBudget && onFailure !== 'continue') {
    const back = onFailure === 'roll-back' && fallbackOf(service) !== null;
    return { kind: 'turn', to: back ? 'rolling-back' : 'failed', reason };
  }
  if (!isDone) return null;
  return failedSlots.length === 0
    ? { kind: 'turn', to: 'finished', reason: '' }
    : { kind: 'turn', to: 'failed', reason };
}

function verdictOnReturn({ failedSlots, reason }: Rollout, isDone: boolean): Turn | null {
  if (failedSlots.length > 0) return { kind: 'turn', to: 'rollback-failed', reason };
  return isDone ? { kind: 'turn', to: 'rolled-back', reason } : null;
}

/** Canaries are there to fail: one that does is enough, and nothing is lost by going back. */
function verdictOnTrial(
  service: ServiceView,
  slots: Slots,
  { failedSlots, reason }: Rollout,
): Turn | null {
  if (failedSlots.length > 0) return { kind: 'turn', to: 'rolling-back', reason };
  const { wanted, there } = countCanaries(service, slots);
  const isProven = service.autoPromote && wanted > 0 && there >= wanted;
  return isProven ? { kind: 'turn', to: 'promoted', reason: '' } : null;
}

/** Every slot that did not fail has a container that is right and serves, or ended as it may. */
function isEverywhere(
  service: ServiceView,
  slots: Slots,
  missing: readonly MissingSlot[],
): boolean {
  const aims = aimsOf(service);
  const failed = service.rollout?.failedSlots ?? [];
  if (missing.some(({ slot }) => !failed.includes(slot))) return false;
  return [...slots].every(([slot, members]) => {
    if (failed.includes(slot)) return true;
    const live = members.filter(({ wanted }) => wanted === 'running');
    if (live.length === 0) return members.some(({ held }) => held);
    // What belongs to a node that is down waits for it; the rollout does not.
    if (live.every(({ lost, pinnedTo }) => lost && pinnedTo !== null)) return true;
    const { fits } = aims(slot, members);
    return live.every((c) => fits(c) && !c.outdated) && live.some((c) => isThere(c, service));
  });
}

function isThere(container: ContainerView, service: ServiceView): boolean {
  if (isAlive(container)) return container.arrived && serves(container);
  return recover(container, service, 0).kind === 'leave';
}
