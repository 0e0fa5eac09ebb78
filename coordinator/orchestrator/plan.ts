import { countBy, groupBy } from '../../shared/collections.ts';
import type { ContainerId, NodeId } from '../../shared/ids.ts';
import { recover } from './restart.ts';
import { isAlive, type ContainerView, type RetireReason, type ServiceView } from './views.ts';

export type Step =
  | {
      readonly kind: 'create';
      readonly slot: number;
      readonly attempt: number;
      readonly pinnedTo: NodeId | null;
      /** The older container whose place it will take. */
      readonly replaces: ContainerId | null;
    }
  /** Takes it out of the load balancers; `stop` follows when that is done. */
  | {
      readonly kind: 'retire';
      readonly containerId: ContainerId;
      readonly reason: RetireReason;
      readonly then: 'stopped' | 'removed';
    }
  /** It is drained, or its deadline has passed. */
  | { readonly kind: 'stop'; readonly containerId: ContainerId; readonly cut: boolean }
  /** It takes traffic for the first time: the deadline of its rollout is met, whatever comes later. */
  | { readonly kind: 'arrive'; readonly containerId: ContainerId }
  /** It was to be replaced although its revision is current; that was tried and failed, so it stays. */
  | { readonly kind: 'keep'; readonly containerId: ContainerId }
  /** A stopped one that is not needed any more. */
  | { readonly kind: 'remove'; readonly containerId: ContainerId }
  /** Its engine container is gone: so is the record. */
  | { readonly kind: 'forget'; readonly containerId: ContainerId }
  /** Ends the rollout of the current revision; what ran stays. */
  | { readonly kind: 'halt'; readonly reason: string }
  | { readonly kind: 'delete-service' };

export interface Plan {
  readonly steps: readonly Step[];
  /** When to look again even if nothing happens; null: not needed. */
  readonly nextCheckAtMs: number | null;
}

/**
 * Compares a service with its containers and returns the steps that bring them together.
 *
 * Pure, and safe to repeat: with the steps applied and nothing else changed it returns none. A slot that
 * has a ready container keeps one throughout, unless the order is stop-first.
 *
 * What is lost with its node is replaced at once and kept until its successor serves: if the node comes back
 * before, it goes on and the successor goes; if it comes back later, it is removed. What is on a node that is
 * to be emptied is replaced as in a rollout, but nothing ends that early.
 */
export function planService(
  service: ServiceView,
  containers: readonly ContainerView[],
  nowMs: number,
): Plan {
  const planner = new Planner(service, containers, nowMs);
  planner.carryOnRetirements();
  if (service.terminating) planner.terminate();
  else if (service.started) planner.converge();
  else planner.stopAll();
  return { steps: planner.steps, nextCheckAtMs: planner.nextCheckAtMs };
}

class Planner {
  readonly steps: Step[] = [];
  nextCheckAtMs: number | null = null;
  readonly #service: ServiceView;
  readonly #containers: readonly ContainerView[];
  readonly #live: readonly ContainerView[];
  readonly #nowMs: number;
  #updateBudget = 0;
  /** Something of an older revision still runs. */
  #rolling = false;
  #halted = false;

  constructor(service: ServiceView, containers: readonly ContainerView[], nowMs: number) {
    this.#service = service;
    this.#containers = containers;
    this.#live = containers.filter((container) => container.wanted === 'running');
    this.#nowMs = nowMs;
  }

  carryOnRetirements(): void {
    for (const container of this.#containers) {
      const { id, wanted, retirement, phase, nodeId, held } = container;
      if (wanted === 'draining' && retirement !== null) {
        const cut = !container.drained && isAlive(container);
        if (!cut || this.#nowMs >= retirement.deadlineAtMs) {
          this.steps.push({ kind: 'stop', containerId: id, cut });
        } else {
          this.#checkAt(retirement.deadlineAtMs);
        }
      } else if (wanted === 'removed' && (phase === 'removed' || (nodeId === null && !held))) {
        this.steps.push({ kind: 'forget', containerId: id });
      }
    }
  }

  terminate(): void {
    if (this.#containers.length === 0) this.steps.push({ kind: 'delete-service' });
    for (const container of this.#containers) this.#discard(container, 'terminated');
  }

  stopAll(): void {
    for (const container of this.#live) {
      // What never ran has nothing to keep.
      this.#retire(container, 'stopped', container.everRan ? 'stopped' : 'removed');
    }
  }

  converge(): void {
    const slots = groupBy(
      this.#containers.filter((container) => holdsSlot(container)),
      (container) => container.slot,
    );
    const missing =
      this.#service.everyNode === null
        ? this.#fitReplicas(slots)
        : this.#fitNodes(slots, this.#service.everyNode);

    const kept = [...slots.values()];
    this.#rolling = kept.some((slot) => slot.some((c) => this.#isOutdated(c) && hasPlace(c)));
    this.#updateBudget =
      this.#service.parallelism - kept.filter((slot) => this.#inUpdate(slot)).length;
    for (const [slot, members] of slots) this.#convergeSlot(slot, members);
    for (const { slot, pinnedTo } of missing) this.#create({ slot, pinnedTo });
  }

  /** Takes surplus slots out of `slots`; returns the slots to add. */
  #fitReplicas(slots: Map<number, ContainerView[]>): { slot: number; pinnedTo: null }[] {
    const surplus = slots.size - this.#service.replicas;
    if (surplus > 0) this.#scaleDown(slots, surplus);
    const missing = [];
    for (let slot = 1; slots.size + missing.length < this.#service.replicas; slot++) {
      if (!slots.has(slot)) missing.push({ slot, pinnedTo: null });
    }
    return missing;
  }

  /** Not running first, then the fullest node, then the highest number. */
  #scaleDown(slots: Map<number, ContainerView[]>, surplus: number): void {
    const perNode = countBy(this.#live, (container) => container.nodeId);
    for (let i = 0; i < surplus; i++) {
      const [victim] = [...slots.entries()].sort(
        ([slotA, a], [slotB, b]) =>
          rank(a) - rank(b) ||
          Number(isEvicted(b)) - Number(isEvicted(a)) ||
          crowd(b, perNode) - crowd(a, perNode) ||
          slotB - slotA,
      );
      if (victim === undefined) return;
      const [slot, members] = victim;
      slots.delete(slot);
      for (const container of members) {
        this.#discard(container, 'scaled-down');
        const count = perNode.get(container.nodeId);
        if (count !== undefined) perNode.set(container.nodeId, count - 1);
      }
    }
  }

  #fitNodes(
    slots: Map<number, ContainerView[]>,
    nodes: readonly NodeId[],
  ): { slot: number; pinnedTo: NodeId }[] {
    const covered = new Set<NodeId>();
    for (const [slot, members] of slots) {
      const home = members[0]?.pinnedTo ?? null;
      if (home !== null && nodes.includes(home) && !covered.has(home)) {
        covered.add(home);
      } else {
        slots.delete(slot);
        for (const container of members) this.#discard(container, 'not-eligible');
      }
    }
    const missing: { slot: number; pinnedTo: NodeId }[] = [];
    let slot = 1;
    for (const node of nodes.filter((id) => !covered.has(id))) {
      while (slots.has(slot)) slot++;
      missing.push({ slot, pinnedTo: node });
      slot++;
    }
    return missing;
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
      if (wanted === 'stopped') this.steps.push({ kind: 'remove', containerId: id });
    }
    const old = live.filter((container) => this.#isOld(container));
    const [kept, ...duplicates] = live
      .filter((container) => !this.#isOld(container))
      .sort(byUsefulness);
    for (const duplicate of duplicates) this.#retire(duplicate, 'duplicate', 'removed');
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
    for (const container of others) this.#retire(container, 'superseded', 'removed');
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
        this.#retire(old, reasonToReplace(old), 'removed');
        return;
      }
    }
    this.#create({ slot: old.slot, pinnedTo: old.pinnedTo, replaces: old.id });
    if (!runs) this.#retire(old, 'replaced', 'removed');
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
    const serves = kept.ready && kept.admitted;
    for (const container of old) {
      if (serves || isOver(container)) {
        this.#retire(container, reasonToReplace(container), 'removed');
      }
    }
    if (serves && !kept.arrived) this.steps.push({ kind: 'arrive', containerId: kept.id });
    if (serves || kept.arrived) return;
    const deadlineAtMs = kept.createdAtMs + this.#service.deadlineMs;
    if (this.#nowMs < deadlineAtMs) {
      this.#checkAt(deadlineAtMs);
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
    if (staying.length > 0) this.#retire(kept, 'failed', 'removed');
    for (const { id, outdated } of staying) {
      if (outdated) this.steps.push({ kind: 'keep', containerId: id });
    }
  }

  /** The new one ended although it should run. */
  #recover(kept: ContainerView, old: readonly ContainerView[]): void {
    const recovery = recover(kept, this.#service.restart, this.#nowMs);
    switch (recovery.kind) {
      case 'leave':
        return;
      case 'later':
        this.#checkAt(recovery.atMs);
        return;
      case 'now':
        this.#retire(kept, 'failed', 'removed');
        this.#create({ slot: kept.slot, pinnedTo: kept.pinnedTo, attempt: recovery.attempt });
        return;
      case 'give-up':
        this.#giveUp(kept, old, `${kept.name} failed ${kept.attempt} times${because(kept)}`);
        return;
    }
  }

  #create(options: {
    slot: number;
    pinnedTo: NodeId | null;
    attempt?: number;
    replaces?: ContainerId | null;
  }): void {
    const { slot, pinnedTo, attempt = 1, replaces = null } = options;
    const leaving = this.#containers.some(
      (container) =>
        container.slot === slot &&
        container.wanted !== 'running' &&
        container.wanted !== 'stopped' &&
        hasPlace(container),
    );
    if (leaving && this.#service.order === 'stop-first') return;
    this.steps.push({ kind: 'create', slot, attempt, pinnedTo, replaces });
  }

  #retire(container: ContainerView, reason: RetireReason, then: 'stopped' | 'removed'): void {
    this.steps.push({ kind: 'retire', containerId: container.id, reason, then });
  }

  /** Out with it, whatever it is: live, kept stopped, or held before it got a node. */
  #discard(container: ContainerView, reason: RetireReason): void {
    const { id, wanted, held } = container;
    if (wanted === 'running') this.#retire(container, reason, 'removed');
    else if (wanted === 'stopped' || (wanted === 'removed' && held)) {
      this.steps.push({ kind: 'remove', containerId: id });
    }
  }

  #halt(reason: string): void {
    if (this.#halted || this.#service.halted !== null) return;
    this.#halted = true;
    this.steps.push({ kind: 'halt', reason });
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
    return live.length > current.length || !current.some((c) => c.ready && c.admitted);
  }

  #checkAt(atMs: number): void {
    this.nextCheckAtMs = Math.min(this.nextCheckAtMs ?? Infinity, atMs);
  }
}

/** It is on a node, and its process exists or is being brought about: worth keeping until its successor is. */
function hasPlace(container: ContainerView): boolean {
  return container.nodeId !== null && isAlive(container) && !container.lost;
}

/** Nothing of it can be kept: it has ended, or never got anywhere. */
function isOver(container: ContainerView): boolean {
  return !container.lost && !hasPlace(container);
}

/** It stands for its slot: it runs, is kept stopped, or was stopped or replaced and awaits a successor. */
function holdsSlot({ wanted, retirement }: ContainerView): boolean {
  if (wanted === 'running' || wanted === 'stopped') return true;
  if (retirement === null) return false;
  const { then, reason } = retirement;
  return then === 'stopped' || reason === 'replaced' || reason === 'moved';
}

function reasonToReplace({ lost, evicted }: ContainerView): RetireReason {
  if (lost) return 'lost';
  return evicted ? 'moved' : 'replaced';
}

function isEvicted(members: readonly ContainerView[]): boolean {
  return members.some(({ wanted, evicted }) => wanted === 'running' && evicted);
}

function byUsefulness(a: ContainerView, b: ContainerView): number {
  return (
    Number(a.lost) - Number(b.lost) ||
    Number(b.ready) - Number(a.ready) ||
    Number(b.admitted) - Number(a.admitted) ||
    Number(isAlive(b)) - Number(isAlive(a)) ||
    a.createdAtMs - b.createdAtMs ||
    a.id.localeCompare(b.id)
  );
}

/** How much a slot is worth keeping in a scale-down. One that only empties goes first, or it would go again. */
function rank(members: readonly ContainerView[]): number {
  const live = members.filter((container) => container.wanted === 'running');
  const present = live.filter((container) => !container.lost);
  if (present.some((container) => container.ready)) return 3;
  if (present.some((container) => container.phase === 'running')) return 2;
  return live.length > 0 || members.some((container) => container.held) ? 1 : 0;
}

function crowd(
  members: readonly ContainerView[],
  perNode: ReadonlyMap<NodeId | null, number>,
): number {
  return Math.max(0, ...members.map(({ nodeId }) => perNode.get(nodeId) ?? 0));
}

function because({ message }: ContainerView): string {
  return message === '' ? '' : `: ${message}`;
}
