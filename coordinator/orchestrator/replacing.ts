import type { ContainerId, NodeId } from '../../shared/ids.ts';
import type { RetireReason } from '../model.ts';
import { isCanary } from './canary.ts';
import { fallbackOf } from './fallback.ts';
import { keepsEnding, recover } from './restart.ts';
import {
  aimsOf,
  isActive,
  reasonToTurnBack,
  tracksOf,
  verdictOn,
  type Aim,
  type Track,
} from './rollout.ts';
import type { MissingSlot } from './scaling.ts';
import {
  because,
  byUsefulness,
  hasPlace,
  isOver,
  reasonToReplace,
  serves,
  type Slots,
} from './standing.ts';
import type { PlanDraft } from './steps.ts';
import { isAlive, type ContainerView, type ServiceView } from './views.ts';

/** All that a plan is made from. */
export interface PlanInput {
  readonly service: ServiceView;
  readonly containers: readonly ContainerView[];
  readonly nowMs: number;
}

interface Creation {
  readonly slot: number;
  readonly revision: number;
  readonly pinnedTo: NodeId | null;
  readonly attempt?: number;
  readonly replaces?: ContainerId | null;
}

/** Where a slot stands: the right one, if it is there, and those that are to go for it. */
interface Succession {
  readonly kept: ContainerView;
  readonly old: readonly ContainerView[];
  readonly aim: Aim;
}

/** Brings every wanted slot to one container that serves, and is the right one. */
export class SlotPlanner {
  readonly #service: ServiceView;
  readonly #containers: readonly ContainerView[];
  readonly #nowMs: number;
  readonly #draft: PlanDraft;
  /** Slots that may begin; below zero: a node came back, and more of them have begun than may. */
  #updateBudget = 0;
  /** Something that the rollout is to replace still runs. */
  #rolling = false;

  constructor({ service, containers, nowMs }: PlanInput, draft: PlanDraft) {
    this.#service = service;
    this.#containers = containers;
    this.#nowMs = nowMs;
    this.#draft = draft;
  }

  converge(slots: Slots, missing: readonly MissingSlot[]): void {
    const verdict = verdictOn(this.#service, slots, missing);
    if (verdict !== null) {
      // What follows from it is for the next plan: this one was made for the state before.
      this.#draft.steps.push(verdict);
      return;
    }
    const tracks = tracksOf(this.#service, slots);
    this.#rolling = tracks.some(({ members, aim }) =>
      members.some((c) => c.wanted === 'running' && !aim.fits(c) && hasPlace(c)),
    );
    const inUpdate = tracks.filter((track) => this.#inUpdate(track));
    this.#updateBudget = this.#service.parallelism - inUpdate.length;
    for (const track of tracks) this.#convergeTrack(track);
    const aims = aimsOf(this.#service);
    for (const { slot, pinnedTo } of missing) {
      this.#create({ slot, pinnedTo, revision: aims(slot, []).revision });
    }
  }

  #convergeTrack({ slot, members, aim, pinnedTo }: Track): void {
    const live = members.filter((container) => container.wanted === 'running');
    if (live.length === 0) {
      if (members.every((container) => !container.held)) {
        this.#create({ slot, revision: aim.revision, pinnedTo });
      }
      return;
    }
    // A stopped one is kept only until its successor is there.
    for (const { id, wanted } of members) {
      if (wanted === 'stopped') this.#draft.steps.push({ kind: 'remove', containerId: id });
    }
    const replaced = this.#supersede(live.filter((container) => isOld(container, aim)));
    const old = replaced === undefined ? [] : [replaced];
    const [kept, ...duplicates] = live
      .filter((container) => !isOld(container, aim))
      .sort(byUsefulness);
    for (const duplicate of duplicates) this.#draft.retire(duplicate, 'duplicate', 'removed');
    if (kept !== undefined) {
      if (isAlive(kept) && !keepsEnding(kept, this.#service)) this.#settle({ kept, old, aim });
      else this.#recover({ kept, old, aim });
      return;
    }
    if (replaced !== undefined) this.#replaceOld(replaced, aim);
  }

  /** Of several old ones keeps the most useful; the others were to replace it in a rollout before this. */
  #supersede(old: readonly ContainerView[]): ContainerView | undefined {
    const [first, ...others] = old.toSorted(byUsefulness);
    for (const container of others) this.#draft.retire(container, 'superseded', 'removed');
    return first;
  }

  /** No right container yet. */
  #replaceOld(old: ContainerView, aim: Aim): void {
    const { slot, pinnedTo, id: replaces } = old;
    const { revision } = aim;
    if (old.lost) {
      // Nobody else's node is its own: what belongs to one waits for it.
      if (pinnedTo === null) this.#create({ slot, revision, pinnedTo: null, replaces });
      return;
    }
    const runs = hasPlace(old) && !old.forced;
    if (runs) {
      if (this.#updateBudget <= 0) return;
      this.#updateBudget--;
      if (this.#service.order === 'stop-first') {
        this.#draft.retire(old, this.#whyReplace(old, aim), 'removed');
        return;
      }
    }
    this.#create({ slot, revision, pinnedTo, replaces });
    if (!runs) this.#draft.retire(old, old.forced ? 'moved' : 'replaced', 'removed');
  }

  /** The right one is on its way, or there. */
  #settle(succession: Succession): void {
    const { kept, old, aim } = succession;
    const settledAtMs =
      kept.sinceMs + (this.#service.rollout === null ? 0 : this.#service.settleMs);
    const isServing = serves(kept);
    const isThere = isServing && (kept.arrived || this.#nowMs >= settledAtMs);
    for (const container of old.filter((each) => isThere || isDispensable(each))) {
      this.#draft.retire(container, this.#whyReplace(container, aim), 'removed');
    }
    if (isThere && !kept.arrived) this.#draft.steps.push({ kind: 'arrive', containerId: kept.id });
    if (isServing && !isThere) this.#draft.checkAt(settledAtMs);
    if (!isServing) this.#awaitDeadline(succession);
  }

  /** What is not there in its time is given up; what served has as long again to come back. */
  #awaitDeadline(succession: Succession): void {
    const { kept } = succession;
    const { rollout, deadlineMs } = this.#service;
    // That a proxy is away for a moment says nothing of the container.
    if (kept.arrived && (kept.ready || !isActive(this.#service))) return;
    if (rollout?.state === 'paused' || kept.away) return;
    const fromMs = kept.arrived ? kept.sinceMs : kept.createdAtMs;
    const deadlineAtMs = Math.max(fromMs, rollout?.sinceMs ?? 0) + deadlineMs;
    if (this.#nowMs < deadlineAtMs) {
      this.#draft.checkAt(deadlineAtMs);
      return;
    }
    const what = kept.arrived ? 'was not ready any more' : 'was not ready and admitted';
    this.#giveUp(succession, `${kept.name} ${what} within ${deadlineMs} ms${because(kept)}`);
  }

  /** Where the older one was to be replaced by name it stays, and the new one goes; else the rollout is told. */
  #giveUp({ kept, old, aim }: Succession, reason: string): void {
    const staying = old.filter((c) => c.outdated && aim.fits(c) && hasPlace(c));
    if (staying.length > 0) {
      this.#draft.retire(kept, 'failed', 'removed');
      for (const { id } of staying) {
        this.#draft.steps.push({ kind: 'keep', containerId: id, reason });
      }
      return;
    }
    if (!aim.strict || !isActive(this.#service)) return;
    // Where there is nothing to go back to, what failed is as good as anything.
    if (fallbackOf(this.#service) === null && !this.#rolling) return;
    this.#draft.steps.push({ kind: 'fail-slot', slot: kept.slot, reason });
  }

  /** The right one ended although it should run. */
  #recover(succession: Succession): void {
    const { kept, old, aim } = succession;
    const { slot, pinnedTo } = kept;
    const recovery = recover(kept, this.#service, this.#nowMs);
    switch (recovery.kind) {
      case 'leave':
        return;
      case 'later':
        this.#draft.checkAt(recovery.atMs);
        return;
      case 'now': {
        const { attempt } = recovery;
        this.#draft.retire(kept, 'failed', 'removed');
        if (this.#updateBudget < 0 && old.some(hasPlace)) this.#updateBudget++;
        else this.#create({ slot, revision: aim.revision, pinnedTo, attempt });
        return;
      }
      case 'give-up':
        this.#giveUp(succession, `${kept.name} ${howItFailed(kept)}${because(kept)}`);
        return;
    }
  }

  #create({ slot, revision, pinnedTo, attempt = 1, replaces = null }: Creation): void {
    if (this.#service.order === 'stop-first' && this.#isLeaving(slot)) return;
    const canary = isCanary(this.#service, { revision });
    this.#draft.steps.push({ kind: 'create', slot, revision, attempt, pinnedTo, replaces, canary });
  }

  /** What was in the slot is still on its way out. */
  #isLeaving(slot: number): boolean {
    return this.#containers.some(
      (container) =>
        container.slot === slot &&
        container.wanted !== 'running' &&
        container.wanted !== 'stopped' &&
        hasPlace(container),
    );
  }

  /** Why an old one goes: for where it is, for what it is, or because it is of the revision that failed. */
  #whyReplace(container: ContainerView, { fits }: Aim): RetireReason {
    const { lost, evicted, slot } = container;
    if (lost || evicted || fits(container)) return reasonToReplace(container);
    return reasonToTurnBack(this.#service, slot) ?? 'replaced';
  }

  /**
   * From the creation of the new container, or the drain of the old, until only a ready new one is left. What
   * was given up, or ended as it may, holds nothing up.
   */
  #inUpdate({ members, aim, beside }: Track): boolean {
    if (beside) return false;
    const live = members.filter((container) => container.wanted === 'running');
    const right = live.filter((container) => !isOld(container, aim));
    if (live.length === 0) return members.every((container) => !container.held);
    if (right.length === 0) return false;
    if (live.length > right.length) return true;
    return aim.strict && !right.some((c) => this.#isSettled(c) || this.#isLeft(c));
  }

  #isSettled(container: ContainerView): boolean {
    return serves(container) && (container.arrived || this.#service.rollout === null);
  }

  #isLeft(container: ContainerView): boolean {
    if (isAlive(container) && !keepsEnding(container, this.#service)) return false;
    const { kind } = recover(container, this.#service, this.#nowMs);
    return kind === 'leave' || kind === 'give-up';
  }
}

/** Why it is not tried again. */
function howItFailed({ attempt, phase }: ContainerView): string {
  if (attempt > 1) return `failed ${attempt} times`;
  return isAlive({ phase }) ? 'ended again and again' : 'failed for good';
}

/** It goes whatever becomes of its successor. */
function isDispensable(container: ContainerView): boolean {
  return container.forced || isOver(container);
}

/** Another is to take its place: for what it is, or for where it is. */
function isOld(container: ContainerView, { fits }: Aim): boolean {
  const { lost, evicted, outdated } = container;
  return lost || evicted || outdated || !fits(container);
}
