import type { Clock } from '../../shared/clock.ts';
import type { ContainerId, NodeId, ServiceId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { ObservedPhase, Service } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { Routing } from '../routing/routing.ts';
import type { Settling } from '../routing/settling.ts';
import type { Store } from '../store/store.ts';
import { activityOf, endAction, noteAll, openActions } from './actions.ts';
import { applySteps } from './apply.ts';
import type { CanaryCount } from './canary.ts';
import type { FleetChange } from './node-views.ts';
import type { PlacedNow, Placement } from './placement.ts';
import { pieceOf, pieceSteps } from './pieces.ts';
import { planService } from './plan.ts';
import { canariesOf, progressOf, type Progress } from './progress.ts';
import { serviceState, type ServiceState } from './service-state.ts';
import { slotProgress, type SlotProgress } from './slot-progress.ts';
import type { Plan } from './steps.ts';
import { viewOf } from './view-of.ts';
import { viewService, type ContainerView } from './views.ts';
import { waitsOf, type Wait } from './waits.ts';

/** Rounds of planning for one service in one go. Each round does all it can, so a few suffice. */
const maxRounds = 16;

/** Takes in together what changes together. */
const gatherMs = 5;
/** After what an agent saw: the backend lists go out meanwhile, over all their hops. */
const standBackMs = 20;

/** After so much work in one go others have their turn, for as long: sessions, and what callers ask. */
const pieceMs = 20;

/** How often services that are not where they should be are looked at without any event. */
const recheckMs = 1_000;

export interface OrchestratorDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly routing: Routing;
  readonly settling: Settling;
  readonly placement: Placement;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface ServiceStatus {
  readonly state: ServiceState;
  readonly message: string;
  readonly containers: readonly ContainerView[];
}

/**
 * Brings every service to where it is wanted: a change marks it dirty, the loop plans and acts, and acts
 * again until nothing is left to do. The only writer of containers.
 */
export class Orchestrator {
  readonly #deps: OrchestratorDeps;
  readonly #dirty = new Set<ServiceId>();
  readonly #unfinished = new Set<ServiceId>();
  /** When to look at a service even if nothing happens. */
  readonly #checks = new Map<ServiceId, number>();
  readonly #failing = new Set<ServiceId>();
  readonly #lastSeen = new Map<ContainerId, string>();
  readonly #wakeup = new Wakeup();
  #pauseMs = gatherMs;

  constructor(deps: OrchestratorDeps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { store, observed, routing, settling, clock } = this.#deps;
    using _store = store.subscribe((changes) => {
      for (const { table, id } of changes) {
        if (table === 'services') this.#mark(id as ServiceId);
        if (table === 'containers') this.#markContainer(id as ContainerId);
        if (table === 'nodes' || table === 'clusters') this.#markAll();
      }
    });
    using _observed = observed.subscribe((observation) => {
      if (observation.kind === 'node') this.#markNode(observation.id);
      else this.#markContainer(observation.id);
      this.#pauseMs = standBackMs;
    });
    using _routing = routing.subscribe((services) => {
      for (const id of services) this.#mark(id);
    });
    for (const service of store.services.values()) {
      for (const container of this.#containerViews(service)) {
        this.#lastSeen.set(container.id, whatIsSeen(container));
      }
    }
    // What is missing can only be told once the agents have reported.
    while (!settling.settled && !signal.aborted) await clock.sleep(50, signal);
    this.#markAll();
    while (!signal.aborted) {
      await this.#reconcileAll(signal);
      const busy = this.#dirty.size > 0;
      if (!busy && !(await this.#somethingHappened(signal))) {
        for (const id of this.#unfinished) this.#mark(id);
      }
      await clock.sleep(this.#pauseMs, signal);
      this.#pauseMs = gatherMs;
    }
  }

  /** Where a service stands now. */
  status(service: Service): ServiceStatus {
    const containers = this.#containerViews(service);
    const view = this.#serviceView(service);
    const progress = this.#progress(service, containers);
    const activity = activityOf(this.#deps.store.actions.values(), service.id);
    return {
      state: serviceState(
        { ...view, everStarted: service.everStarted },
        containers,
        progress,
        activity,
      ),
      message: progress.kind === 'done' ? '' : sentenceOf(progress),
      containers,
    };
  }

  /** What a service waits for now, and how far each of its slots is. */
  waits(service: Service): { readonly waits: Wait[]; readonly slots: Map<number, SlotProgress> } {
    const { placement, clock } = this.#deps;
    const containers = this.#containerViews(service);
    const view = this.#serviceView(service);
    const progress = this.#progress(service, containers);
    const { unplaceable } = placement;
    return {
      waits: waitsOf({ service: view, containers, progress, unplaceable }, clock.now()),
      slots: slotProgress(view, containers),
    };
  }

  /** How many canaries a service is to have, and how many of them serve and have settled. */
  canaries(service: Service): CanaryCount {
    return canariesOf(this.#serviceView(service), this.#containerViews(service));
  }

  /** What would be done if a service were defined, or the fleet were, like this; nothing is. */
  preview(service: Service, change: FleetChange = {}): Plan {
    const everyNode = this.#deps.placement.coverage(service, change);
    const groups = this.#deps.placement.groups(service, change);
    const view = { ...viewService(service, everyNode, groups), parallelism: Infinity };
    return planService(view, this.#containerViews(service), this.#deps.clock.now());
  }

  async #reconcileAll(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    let restedAtMs = clock.monotonic();
    for (const id of dirty) {
      this.#tryReconcile(id);
      const workedMs = clock.monotonic() - restedAtMs;
      if (workedMs < pieceMs) continue;
      await clock.sleep(workedMs, signal);
      if (signal.aborted) return;
      restedAtMs = clock.monotonic();
    }
  }

  /** False: nothing did for as long as there is patience. While nothing is left to do, that is for ever. */
  async #somethingHappened(signal: AbortSignal): Promise<boolean> {
    if (this.#unfinished.size > 0 || this.#checks.size > 0) {
      return await this.#wakeup.waitFor(this.#patienceMs(), this.#deps.clock, signal);
    }
    await this.#wakeup.wait(signal);
    return true;
  }

  /** How long to wait for something to happen. */
  #patienceMs(): number {
    const nextMs = Math.min(...this.#checks.values()) - this.#deps.clock.now();
    return Math.max(0, Math.min(recheckMs, nextMs));
  }

  /** A service that cannot be worked on, because the disk is full say, must not stop the others. */
  #tryReconcile(id: ServiceId): void {
    const { log } = this.#deps;
    try {
      this.#reconcile(id);
      if (this.#failing.delete(id)) log.info({ service: id }, 'service reconciled again');
    } catch (error) {
      this.#unfinished.add(id);
      if (this.#failing.has(id)) return;
      this.#failing.add(id);
      log.error({ err: error, service: id }, 'service not reconciled; trying again');
    }
  }

  #reconcile(id: ServiceId): void {
    const { store, clock, log } = this.#deps;
    this.#checks.delete(id);
    for (let round = 0; round < maxRounds; round++) {
      const service = store.services.get(id);
      if (service === undefined) {
        this.#unfinished.delete(id);
        return;
      }
      const containers = this.#containerViews(service);
      const view = this.#serviceView(service);
      const { steps: all, nextCheckAtMs } = planService(view, containers, clock.now());
      if (all.length > 0) {
        const steps = pieceOf(all);
        store.transact((tx) => {
          applySteps(tx, service, steps, () => this.#deps.random.id());
        });
        this.#learn(steps);
        log.debug({ service: service.name, steps: steps.map(({ kind }) => kind) }, 'plan applied');
        if (steps.length === all.length) continue;
        this.#mark(id);
        return;
      }
      const placed = this.#place(service);
      if (placed === 'some') continue;
      if (placed === 'piece' || !this.#conclude(service, containers)) {
        this.#mark(id);
        return;
      }
      if (nextCheckAtMs !== null) this.#checks.set(id, nextCheckAtMs);
      return;
    }
    log.error({ service: id }, 'plan does not come to rest; looking again later');
    // Its own writes marked it: not at once again, or nobody else would have a turn.
    this.#dirty.delete(id);
    this.#unfinished.add(id);
  }

  #place(service: Service): PlacedNow {
    const pending = this.#deps.store
      .containersOf(service.id)
      .filter((container) => container.wanted === 'running' && container.nodeId === null);
    return this.#deps.placement.place(service, pending, pieceSteps);
  }

  /**
   * Nothing to do for now: notes what was seen, and ends actions that have come to an end. False: more was seen
   * than is noted in one go.
   */
  #conclude(service: Service, containers: readonly ContainerView[]): boolean {
    const { store, log } = this.#deps;
    const progress = this.#progress(service, containers);
    if (progress.kind === 'done') this.#unfinished.delete(service.id);
    else this.#unfinished.add(service.id);
    for (const { id, ready } of containers) {
      const record = ready ? store.containers.get(id) : undefined;
      if (record !== undefined) this.#deps.placement.succeeded(record);
    }
    const allNews = containers.filter((container) => this.#isNews(container));
    const news = allNews.slice(0, pieceSteps);
    const isAll = news.length === allNews.length;
    const open = openActions(store.actions.values(), service.id);
    // The end of an action comes after all that happened in it.
    const ending = progress.kind === 'working' || !isAll ? [] : open;
    if (news.length === 0 && ending.length === 0) return isAll;
    store.transact((tx) => {
      noteAll(
        tx,
        service.id,
        news.map((container) => ({ container: container.name, message: sentence(container) })),
      );
      for (const container of news) {
        const type = eventType(container);
        if (type !== null) {
          tx.event({
            type,
            objectId: container.id,
            objectName: container.name,
            actionId: open.at(-1)?.id ?? '',
            message: container.message,
          });
        }
      }
      for (const { id } of ending) {
        const action = tx.actions.get(id);
        if (action === undefined || progress.kind === 'working') continue;
        if (progress.kind === 'done') endAction(tx, action, 'succeeded', '');
        else if (progress.kind === 'resting') endAction(tx, action, 'succeeded', progress.reason);
        else endAction(tx, action, 'failed', progress.reason);
      }
    });
    for (const container of news) this.#lastSeen.set(container.id, whatIsSeen(container));
    for (const { method } of ending) {
      log.info({ service: service.name, method, result: progress.kind }, 'action ended');
    }
    return isAll;
  }

  #isNews(container: ContainerView): boolean {
    return (
      container.phase !== 'pending' && this.#lastSeen.get(container.id) !== whatIsSeen(container)
    );
  }

  /** What follows from steps outside of the store, once they are in it for good. */
  #learn(steps: Plan['steps']): void {
    for (const step of steps) {
      if (step.kind === 'retire' && step.reason === 'failed') {
        const container = this.#deps.store.containers.get(step.containerId);
        if (container !== undefined) this.#deps.placement.failedHere(container);
      }
      if (step.kind === 'forget') {
        this.#lastSeen.delete(step.containerId);
        this.#deps.placement.forget(step.containerId);
        this.#deps.observed.forget(step.containerId);
        // A place became free: others may be waiting for it.
        for (const id of this.#unfinished) this.#mark(id);
      }
    }
  }

  #serviceView(service: Service) {
    const { placement } = this.#deps;
    const view = viewService(service, placement.coverage(service), placement.groups(service));
    if (view.autodestroy === 'never' || !this.#isUsed(service)) return view;
    return { ...view, autodestroy: 'never' as const };
  }

  /** Others link to it or have volumes from it: it cannot be removed, by itself neither. */
  #isUsed({ id, name }: Service): boolean {
    return [...this.#deps.store.services.values()].some(
      ({ id: other, terminating, spec }) =>
        other !== id &&
        !terminating &&
        (spec.links.some(({ service }) => service === name) || spec.volumesFrom.includes(name)),
    );
  }

  #containerViews(service: Service): ContainerView[] {
    const containers = this.#deps.store.containersOf(service.id);
    return containers.map((container) => {
      const view = viewOf(container, this.#deps);
      if (view.nodeId !== null) return view;
      const whyNot = this.#deps.placement.unplaceable.get(container.id);
      return whyNot === undefined ? view : { ...view, message: whyNot };
    });
  }

  #progress(service: Service, containers: readonly ContainerView[]): Progress {
    const { placement, clock } = this.#deps;
    const view = this.#serviceView(service);
    return progressOf(view, containers, placement.unplaceable, clock.now());
  }

  #mark(id: ServiceId): void {
    this.#dirty.add(id);
    this.#wakeup.notify();
  }

  #markContainer(id: ContainerId): void {
    const container = this.#deps.store.containers.get(id);
    if (container !== undefined) this.#mark(container.serviceId);
  }

  /** What it has, and what may be waiting for a place. */
  #markNode(id: NodeId): void {
    for (const { serviceId } of this.#deps.store.containersOn(id)) this.#mark(serviceId);
    for (const serviceId of this.#unfinished) this.#mark(serviceId);
  }

  #markAll(): void {
    for (const { id } of this.#deps.store.services.values()) this.#mark(id);
  }
}

function sentenceOf(progress: Exclude<Progress, { kind: 'done' }>): string {
  return progress.kind === 'working' ? progress.waitingFor : progress.reason;
}

/** What makes a line of a timeline, and an event, when it changes. */
function whatIsSeen({ phase, ready }: ContainerView): string {
  // Only what runs is ready. A word that is there anyway: one is held of every container.
  return ready ? 'ready' : phase;
}

/** A line of a timeline. */
function sentence(container: ContainerView): string {
  const { phase, ready, message } = container;
  const state = ready ? 'ready' : phase;
  return message === '' ? state : `${state}: ${message}`;
}

function eventType(container: ContainerView): string | null {
  if (container.ready) return 'container.ready';
  switch (container.phase) {
    case 'pending':
      return null;
    case 'pulling':
    case 'starting':
    case 'running':
    case 'stopping':
    case 'stopped':
    case 'failed':
    case 'removed':
      return `container.${container.phase satisfies ObservedPhase}`;
  }
}
