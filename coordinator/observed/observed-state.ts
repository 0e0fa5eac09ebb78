import type { ContainerId, NodeId } from '../../shared/ids.ts';
import type { Clock } from '../../shared/clock.ts';
import type { ContainerFailure, NodeObservation, Observed, PortBinding } from '../model.ts';
import { shiftedObserved } from '../time-shift.ts';

/** What changed; each listener looks at what it is now. */
export type Observation =
  | { readonly kind: 'container'; readonly id: ContainerId }
  | { readonly kind: 'node'; readonly id: NodeId };

/** A report of an agent: `ready` null means not checked since that agent started. */
export type ReportedContainer = Omit<Observed, 'ready' | 'sinceMs'> & {
  readonly ready: boolean | null;
};

const unheardOf: NodeObservation = {
  state: 'unknown',
  message: 'not heard of since the coordinator started',
  warnings: [],
  lastSeenAtMs: null,
  orphans: [],
};

/**
 * What the agents report, in memory. Only sessions write it; nothing on the path from a report to its
 * listeners waits for a disk.
 */
export class ObservedState {
  readonly #clock: Clock;
  readonly #containers: Map<ContainerId, Observed>;
  readonly #failures = new Map<ContainerId, ContainerFailure>();
  readonly #nodes = new Map<NodeId, NodeObservation>();
  /** Those with orphans: hardly ever any. */
  readonly #orphaned = new Set<NodeId>();
  readonly #listeners = new Set<(observation: Observation) => void>();
  #unsaved = new Set<ContainerId>();
  #nodeChanges = 0;

  /** `known`: the picture that the last run left behind; it is taken over, not copied. */
  constructor(known: Map<ContainerId, Observed>, { clock }: { readonly clock: Clock }) {
    this.#containers = known;
    this.#clock = clock;
  }

  container(id: ContainerId): Observed | undefined {
    return this.#containers.get(id);
  }

  /** The last failure that was heard of since the coordinator started. */
  failure(id: ContainerId): ContainerFailure | undefined {
    return this.#failures.get(id);
  }

  node(id: NodeId): NodeObservation {
    return this.#nodes.get(id) ?? unheardOf;
  }

  /** The nodes that have orphans. */
  get orphaned(): ReadonlySet<NodeId> {
    return this.#orphaned;
  }

  /** Grows with every change of a node that listeners are told of. */
  get nodeChanges(): number {
    return this.#nodeChanges;
  }

  report(id: ContainerId, reported: ReportedContainer): void {
    const before = this.#containers.get(id);
    const ready = reported.ready ?? stillReady(before, reported);
    const isAsReady = before?.ready === ready;
    // Nearly all that an agent says when it is back is known: nothing is made of it.
    if (isAsReady && saysTheSame(before, reported)) return;
    const isSame = isAsReady && before.phase === reported.phase;
    const sinceMs = isSame ? before.sinceMs : this.#clock.now();
    this.#containers.set(id, { ...reported, ready, sinceMs });
    this.#changed(id);
  }

  /** How a container failed; that it did was reported before. */
  hearFailure(id: ContainerId, failure: ContainerFailure): void {
    this.#failures.set(id, failure);
    this.#publish({ kind: 'container', id });
  }

  /** Its record is gone. */
  forget(id: ContainerId): void {
    this.#failures.delete(id);
    if (this.#containers.delete(id)) this.#changed(id);
  }

  reportNode(id: NodeId, observation: NodeObservation): void {
    const before = this.node(id);
    this.#nodes.set(id, observation);
    if (observation.orphans.length > 0) this.#orphaned.add(id);
    else this.#orphaned.delete(id);
    if (
      before.state === observation.state &&
      before.message === observation.message &&
      before.warnings.join() === observation.warnings.join() &&
      JSON.stringify(before.orphans) === JSON.stringify(observation.orphans)
    ) {
      return;
    }
    this.#publish({ kind: 'node', id });
  }

  forgetNode(id: NodeId): void {
    this.#orphaned.delete(id);
    if (this.#nodes.delete(id)) this.#publish({ kind: 'node', id });
  }

  /** What changed since the last call; null: forgotten. */
  takeUnsaved(): Map<ContainerId, Observed | null> {
    const unsaved = this.#unsaved;
    this.#unsaved = new Set();
    return new Map([...unsaved].map((id) => [id, this.#containers.get(id) ?? null]));
  }

  /** Gives back what could not be saved. */
  returnUnsaved(ids: Iterable<ContainerId>): void {
    for (const id of ids) this.#unsaved.add(id);
  }

  /** The clock was set; nobody is told, as nothing was observed. */
  shift(byMs: number): void {
    for (const [id, observed] of this.#containers) {
      this.#containers.set(id, shiftedObserved(observed, byMs));
      this.#unsaved.add(id);
    }
  }

  /** Calls `listener` at once after every change. */
  subscribe(listener: (observation: Observation) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #changed(id: ContainerId): void {
    this.#unsaved.add(id);
    this.#publish({ kind: 'container', id });
  }

  #publish(observation: Observation): void {
    if (observation.kind === 'node') this.#nodeChanges++;
    for (const listener of this.#listeners) listener(observation);
  }
}

/** An agent that restarted has not checked yet: what was known of the same process still holds. */
function stillReady(before: Observed | undefined, now: ReportedContainer): boolean {
  return (
    before !== undefined &&
    before.ready &&
    now.phase === 'running' &&
    before.engineId === now.engineId &&
    before.startedAtMs === now.startedAtMs
  );
}

function saysTheSame(a: Observed, b: ReportedContainer): boolean {
  return (
    a.phase === b.phase &&
    a.message === b.message &&
    a.engineId === b.engineId &&
    a.restarts === b.restarts &&
    a.awaitsDrain === b.awaitsDrain &&
    a.exitCode === b.exitCode &&
    a.startedAtMs === b.startedAtMs &&
    a.endedAtMs === b.endedAtMs &&
    a.ports.length === b.ports.length &&
    a.ports.every((port, at) => isSamePort(port, b.ports[at]))
  );
}

function isSamePort(a: PortBinding, b: PortBinding | undefined): boolean {
  return (
    a.containerPort === b?.containerPort &&
    a.protocol === b.protocol &&
    a.hostAddress === b.hostAddress &&
    a.hostPort === b.hostPort &&
    a.published === b.published
  );
}
