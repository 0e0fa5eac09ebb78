import { pieceOf } from '../../../../coordinator/orchestrator/pieces.ts';
import { planService } from '../../../../coordinator/orchestrator/plan.ts';
import { serves } from '../../../../coordinator/orchestrator/standing.ts';
import type { Step } from '../../../../coordinator/orchestrator/steps.ts';
import type { ContainerView, ServiceView } from '../../../../coordinator/orchestrator/views.ts';
import type { ContainerId, NodeId } from '../../../../shared/ids.ts';
import { aContainerView, aServiceView, containerId, nodeId } from '../../../support/builders.ts';

/** What containers of a revision do: serve, end at once, run and never get ready, or end again and again. */
export type Kind = 'good' | 'broken' | 'mute' | 'looping';

/** As many plans in a row, carried out to their end, as the orchestrator makes before it gives up. */
const maxRounds = 16;
const drainTimeoutMs = 6_000;

/** What a plan is made for, before it is carried out. */
export interface Moment {
  readonly service: ServiceView;
  readonly containers: readonly ContainerView[];
  readonly steps: readonly Step[];
}

/**
 * All that planning sees of a service, and nothing else: its steps are carried out at once, and containers go
 * one phase further each time that they are told to. Everything else is up to the test.
 */
export class PlanWorld {
  service: ServiceView;
  nowMs = 1_000_000;
  readonly nodes: readonly NodeId[];
  readonly down = new Set<NodeId>();
  readonly #containers = new Map<ContainerId, ContainerView>();
  readonly #kinds = new Map<number, Kind>([[1, 'good']]);
  readonly #watch: (moment: Moment) => void;
  readonly #pieceSize: number;
  #ids = 0;

  /** `watch` sees every plan that has steps; so many of them are carried out in one go. */
  constructor(
    service: Partial<ServiceView>,
    watch: (moment: Moment) => void,
    pieceSize = Infinity,
  ) {
    this.nodes = [1, 2, 3].map((n) => nodeId(`node-${n}`));
    this.service = aServiceView({ ...service, rollout: this.#going() });
    this.#watch = watch;
    this.#pieceSize = pieceSize;
  }

  get containers(): ContainerView[] {
    return [...this.#containers.values()];
  }

  get live(): ContainerView[] {
    return this.containers.filter(({ wanted }) => wanted === 'running');
  }

  /** Plans and carries out until nothing is left to do now; how many plans had steps. */
  converge(): number {
    for (let round = 0; round < maxRounds;) {
      const { service, containers } = this;
      const { steps } = planService(service, containers, this.nowMs);
      if (steps.length === 0) {
        if (!this.#place()) return round;
        round++;
        continue;
      }
      this.#watch({ service, containers, steps });
      const piece = pieceOf(steps, this.#pieceSize);
      for (const step of piece) this.#apply(step);
      if (piece.length === steps.length) round++;
    }
    throw new Error('the plan does not come to rest');
  }

  /** Time passes, every container goes one phase further, and what follows is done. */
  tick(ms: number): void {
    this.nowMs += ms;
    for (const container of this.containers) this.#advance(container);
    this.converge();
  }

  update(kind: Kind): void {
    const revision = this.service.revision + 1;
    this.#kinds.set(revision, kind);
    this.set({ revision, alike: [], rollout: this.#going() });
  }

  set(change: Partial<ServiceView>): void {
    this.service = { ...this.service, ...change };
  }

  pause(): void {
    const { rollout } = this.service;
    if (rollout?.state === 'going') this.set({ rollout: { ...rollout, state: 'paused' } });
  }

  resume(): void {
    const { rollout } = this.service;
    const stands = ['paused', 'failed'].includes(rollout?.state ?? '');
    if (stands) this.set({ rollout: this.#going() });
  }

  /** Changes one of those that are to run, if there is any. */
  change(pick: number, change: Partial<ContainerView>): void {
    const { live } = this;
    const container = live[pick % Math.max(1, live.length)];
    if (container !== undefined) this.#put({ ...container, ...change });
  }

  /** It ended by itself. */
  crash(pick: number): void {
    this.change(pick, {
      ...{ phase: 'failed', ready: false, admitted: false, exitCode: 1 },
      sinceMs: this.nowMs,
    });
  }

  setDown(node: NodeId, isDown: boolean): void {
    if (isDown) this.down.add(node);
    else this.down.delete(node);
    for (const container of this.containers) {
      if (container.nodeId !== node) continue;
      this.#put({ ...container, lost: isDown, ...(isDown && { ready: false, evicted: false }) });
    }
  }

  #going() {
    const state = 'going' as const;
    return { state, reason: '', failedSlots: [], sinceMs: this.nowMs, canaries: 0 };
  }

  #put(container: ContainerView): void {
    this.#containers.set(container.id, container);
  }

  /** Gives what has no node the emptiest one that is up; true if there was any. */
  #place(): boolean {
    const up = this.nodes.filter((node) => !this.down.has(node));
    const homeless = this.live.filter(({ nodeId: on }) => on === null);
    if (up.length === 0 || homeless.length === 0) return false;
    for (const container of homeless) {
      const crowd = (node: NodeId) => this.live.filter(({ nodeId: on }) => on === node).length;
      const [node] = up.toSorted((a, b) => crowd(a) - crowd(b));
      this.#put({ ...container, nodeId: node! });
    }
    return true;
  }

  #advance(container: ContainerView): void {
    if (container.lost) return;
    if (container.wanted === 'running') this.#run(container);
    else if (container.wanted === 'draining') this.#put({ ...container, drained: true });
    else this.#end(container);
  }

  #run(container: ContainerView): void {
    const { nodeId: on, phase } = container;
    if (on === null) return;
    const kind = this.#kinds.get(container.revision) ?? 'good';
    if (phase === 'pending') this.#put({ ...container, phase: 'starting', sinceMs: this.nowMs });
    else if (phase === 'starting') this.#start(container, kind);
    else if (phase === 'running' && kind === 'looping') {
      this.#put({ ...container, phase: 'starting', exitCode: 1, sinceMs: this.nowMs });
    } else if (phase === 'running' && kind !== 'mute') this.#serve(container);
  }

  #start(container: ContainerView, kind: Kind): void {
    const begun = { ...container, sinceMs: this.nowMs };
    if (kind === 'broken') this.#put({ ...begun, phase: 'failed', exitCode: 1 });
    else {
      const restarts = container.restarts + (container.exitCode === null ? 0 : 1);
      this.#put({ ...begun, phase: 'running', everRan: true, restarts, exitCode: null });
    }
  }

  /** Proxies take in what is ready one step later. */
  #serve(container: ContainerView): void {
    const { ready: admitted, sinceMs } = container;
    this.#put({ ...container, ready: true, admitted, sinceMs: admitted ? sinceMs : this.nowMs });
  }

  #end(container: ContainerView): void {
    const gone = container.phase === 'stopped' || container.phase === 'failed';
    const wantsGone = container.wanted === 'removed';
    if (gone && !wantsGone) return;
    const phase = gone ? ('removed' as const) : ('stopped' as const);
    this.#put({ ...container, phase, ready: false, admitted: false, exitCode: 0 });
  }

  #apply(step: Step): void {
    switch (step.kind) {
      case 'create':
        this.#create(step);
        return;
      case 'retire':
        this.#retire(step);
        return;
      case 'stop':
        this.#edit(step.containerId, ({ retirement }) => ({ wanted: retirement!.then }));
        return;
      case 'arrive':
        this.#edit(step.containerId, () => ({ arrived: true }));
        return;
      case 'keep':
        this.#edit(step.containerId, () => ({ outdated: false }));
        return;
      case 'remove':
        this.#edit(step.containerId, () => ({ wanted: 'removed', held: false }));
        return;
      case 'forget':
        this.#containers.delete(step.containerId);
        return;
      case 'terminate':
        throw new Error('no service of this world is to remove itself');
      case 'fail-slot':
        this.#failSlot(step);
        return;
      case 'turn':
        this.#turn(step);
        return;
      case 'delete-service':
        throw new Error('nobody asked for that');
    }
  }

  #edit(id: ContainerId, change: (container: ContainerView) => Partial<ContainerView>): void {
    const container = this.#containers.get(id);
    if (container === undefined) throw new Error(`a step for ${id}, which is gone`);
    this.#put({ ...container, ...change(container) });
  }

  #create({ slot, revision, attempt, pinnedTo }: Extract<Step, { kind: 'create' }>): void {
    this.#put(
      aContainerView({
        ...{ id: containerId(String(++this.#ids).padStart(4, '0')), slot, revision, attempt },
        ...{ pinnedTo, nodeId: null, phase: 'pending', ready: false, admitted: false },
        ...{ arrived: false, everRan: false, createdAtMs: this.nowMs, sinceMs: this.nowMs },
      }),
    );
  }

  #retire({ containerId: id, reason, then }: Extract<Step, { kind: 'retire' }>): void {
    const startedAtMs = this.nowMs;
    if (reason === 'failed') this.#blame(id);
    this.#edit(id, ({ nodeId: on }) => ({
      wanted: on === null ? 'removed' : 'draining',
      retirement: { reason, then, startedAtMs, deadlineAtMs: startedAtMs + drainTimeoutMs },
    }));
  }

  #blame(id: ContainerId): void {
    const { nodeId: on = null, revision = 0 } = this.#containers.get(id) ?? {};
    if (on === null) return;
    const failure = { nodeId: on, revision, count: 1, lastAtMs: this.nowMs };
    this.set({ failures: [...this.service.failures, failure] });
  }

  #failSlot({ slot, reason }: Extract<Step, { kind: 'fail-slot' }>): void {
    const { rollout } = this.service;
    if (rollout === null) throw new Error('a slot fails in no rollout');
    this.set({ rollout: { ...rollout, reason, failedSlots: [...rollout.failedSlots, slot] } });
  }

  #turn({ to, reason }: Extract<Step, { kind: 'turn' }>): void {
    const { rollout, revision, alike } = this.service;
    if (rollout === null || to === 'promoted') throw new Error(`no rollout to turn to ${to}`);
    if (to === 'finished') {
      this.set({ rollout: null, base: { revision, alike } });
      return;
    }
    const failedSlots = to === 'rolling-back' ? [] : rollout.failedSlots;
    this.set({ rollout: { ...rollout, state: to, reason, failedSlots, sinceMs: this.nowMs } });
  }
}

/** Containers of a slot that requests go to, and that are to go on. */
export function servingIn(slot: number, containers: readonly ContainerView[]): ContainerView[] {
  return containers.filter((c) => c.slot === slot && c.wanted === 'running' && serves(c));
}
