import type { ContainerId, NodeId } from '../../shared/ids.ts';
import { recover } from './restart.ts';
import type { MissingSlot, Slots } from './scaling.ts';
import { because, byUsefulness, hasPlace, isOver, reasonToReplace, serves } from './standing.ts';
import type { PlanDraft } from './steps.ts';
import { isAlive, type ContainerView, type ServiceView } from './views.ts';

interface Creation {
  readonly slot: number;
  readonly pinnedTo: NodeId | null;
  readonly attempt?: number;
  readonly replaces?: ContainerId | null;
}

/** Brings every wanted slot to one container that serves, and is the right one. */
export class SlotPlanner {
  readonly #service: ServiceView;
  readonly #containers: readonly ContainerView[];
  readonly #nowMs: number;
  readonly #draft: PlanDraft;
  #updateBudget = 0;
  /** Something of an older revision still runs. */
  #rolling = false;
  #halted = false;

  constructor({ service, containers, nowMs }: PlanInput, draft: PlanDraft) {
    this.#service = service;
    this.#containers = containers;
    this.#nowMs = nowMs;
    this.#draft = draft;
  }

  converge(slots: Slots, missing: readonly MissingSlot[]): void {
    const kept = [...slots.values()];
    this.#rolling = kept.some((slot) => slot.some((c) => this.#isOutdated(c) && hasPlace(c)));
    this.#updateBudget =
      this.#service.parallelism - kept.filter((slot) => this.#inUpdate(slot)).length;
    for (const [slot, members] of slots) this.#convergeSlot(slot, members);
    for (const { slot, pinnedTo } of missing) this.#create({ slot, pinnedTo });
  }

  #convergeSlot(slot: number, members: readonly ContainerView[]): void {
    const live = members.filter((container) => container.wanted === 'running');
    if (live.length === 0) {
      if (members.every((container) => !container.held)) {
        this.#create({ slot, pinnedTo: members[0]?.pinnedTo ?? null });
      }
      return;
    }
    // A stopped one is kept only until its successor is there.
    for (const { id, wanted } of members) {
      if (wanted === 'stopped') this.#draft.steps.push({ kind: 'remove', containerId: id });
    }
    const old = live.filter((container) => this.#isOld(container));
    const [kept, ...duplicates] = live
      .filter((container) => !this.#isOld(container))
      .sort(byUsefulness);
    for (const duplicate of duplicates) this.#draft.retire(duplicate, 'duplicate', 'removed');
    if (kept !== undefined) {
      if (isAlive(kept)) this.#settle(kept, old);
      else this.#recover(kept, old);
      return;
    }
    const replaced = this.#supersede(old);
    if (replaced !== undefined) this.#replaceOld(replaced);
  }

  /** Of several old ones keeps the most useful; the others were to replace it in a rollout before this. */
  #supersede(old: readonly ContainerView[]): ContainerView | undefined {
    const [first, ...others] = old.toSorted(byUsefulness);
    for (const container of others) this.#draft.retire(container, 'superseded', 'removed');
    return first;
  }

  /** No container of the current revision yet. */
  #replaceOld(old: ContainerView): void {
    if (old.lost) {
      // Nobody else's node is its own: what belongs to one waits for it.
      if (old.pinnedTo === null) this.#create({ slot: old.slot, pinnedTo: null, replaces: old.id });
      return;
    }
    const runs = hasPlace(old);
    if (runs) {
      if (!this.#mayReplace(old)) return;
      this.#updateBudget--;
      if (this.#service.order === 'stop-first') {
        this.#draft.retire(old, reasonToReplace(old), 'removed');
        return;
      }
    }
    this.#create({ slot: old.slot, pinnedTo: old.pinnedTo, replaces: old.id });
    if (!runs) this.#draft.retire(old, 'replaced', 'removed');
  }

  /** What stays from a rollout that ended early has no successor: that would be of the revision that failed. */
  #mayReplace({ outdated, evicted, revision }: ContainerView): boolean {
    const { halted, revision: current } = this.#service;
    return (
      this.#updateBudget > 0 && (halted === null || outdated || (evicted && revision === current))
    );
  }

  /** The new one is on its way, or there. */
  #settle(kept: ContainerView, old: readonly ContainerView[]): void {
    const there = serves(kept);
    for (const container of old) {
      if (there || isOver(container)) {
        this.#draft.retire(container, reasonToReplace(container), 'removed');
      }
    }
    if (there && !kept.arrived) this.#draft.steps.push({ kind: 'arrive', containerId: kept.id });
    if (there || kept.arrived) return;
    const deadlineAtMs = kept.createdAtMs + this.#service.deadlineMs;
    if (this.#nowMs < deadlineAtMs) {
      this.#draft.checkAt(deadlineAtMs);
      return;
    }
    const withinMs = `within ${this.#service.deadlineMs} ms`;
    this.#giveUp(kept, old, `${kept.name} was not ready and admitted ${withinMs}${because(kept)}`);
  }

  /** Ends the rollout: where something older runs, that stays, and the new one goes. */
  #giveUp(kept: ContainerView, old: readonly ContainerView[], reason: string): void {
    if (!this.#rolling) return;
    this.#halt(reason);
    const staying = old.filter((container) => hasPlace(container) && this.#isOutdated(container));
    if (staying.length > 0) this.#draft.retire(kept, 'failed', 'removed');
    for (const { id, outdated } of staying) {
      if (outdated) this.#draft.steps.push({ kind: 'keep', containerId: id });
    }
  }

  /** The new one ended although it should run. */
  #recover(kept: ContainerView, old: readonly ContainerView[]): void {
    const recovery = recover(kept, this.#service.restart, this.#nowMs);
    switch (recovery.kind) {
      case 'leave':
        return;
      case 'later':
        this.#draft.checkAt(recovery.atMs);
        return;
      case 'now':
        this.#draft.retire(kept, 'failed', 'removed');
        this.#create({ slot: kept.slot, pinnedTo: kept.pinnedTo, attempt: recovery.attempt });
        return;
      case 'give-up':
        this.#giveUp(kept, old, `${kept.name} failed ${kept.attempt} times${because(kept)}`);
        return;
    }
  }

  #create({ slot, pinnedTo, attempt = 1, replaces = null }: Creation): void {
    const leaving = this.#containers.some(
      (container) =>
        container.slot === slot &&
        container.wanted !== 'running' &&
        container.wanted !== 'stopped' &&
        hasPlace(container),
    );
    if (leaving && this.#service.order === 'stop-first') return;
    this.#draft.steps.push({ kind: 'create', slot, attempt, pinnedTo, replaces });
  }

  #halt(reason: string): void {
    if (this.#halted || this.#service.halted !== null) return;
    this.#halted = true;
    this.#draft.steps.push({ kind: 'halt', reason });
  }

  /** Another is to take its place: for what it is, or for where it is. */
  #isOld(container: ContainerView): boolean {
    const { wanted, lost, evicted } = container;
    return wanted === 'running' && (this.#isOutdated(container) || lost || evicted);
  }

  #isOutdated({ wanted, revision, outdated }: ContainerView): boolean {
    return wanted === 'running' && (revision !== this.#service.revision || outdated);
  }

  /** From the creation of the new container, or the drain of the old, until only a ready new one is left. */
  #inUpdate(members: readonly ContainerView[]): boolean {
    const live = members.filter((container) => container.wanted === 'running');
    const current = live.filter((container) => !this.#isOld(container));
    if (live.length === 0) return members.every((container) => !container.held);
    if (current.length === 0) return false;
    return live.length > current.length || !current.some(serves);
  }
}

/** All that a plan is made from. */
export interface PlanInput {
  readonly service: ServiceView;
  readonly containers: readonly ContainerView[];
  readonly nowMs: number;
}
