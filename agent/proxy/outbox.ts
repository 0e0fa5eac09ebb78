import type { Clock } from '../../shared/clock.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { HeldCertificate } from './certificates/served-certificate.ts';

/** A version whose targets are in effect, but for those that could not be brought into it. */
export interface AppliedVersion {
  readonly epoch: string;
  readonly version: number;
  /** HAProxy's words by target id. */
  readonly errors: ReadonlyMap<string, string>;
  /** The last version that was in effect with its structure; 0: none of this epoch. */
  readonly structureVersion: number;
  /** Backends that some requests are to come to, and HAProxy has them go elsewhere still. */
  readonly unreachedBackends: readonly string[];
}

/** What HAProxy sees of one target. */
export interface TargetStatus {
  readonly targetId: string;
  readonly health: 'up' | 'down' | undefined;
  /** Why it is down; empty if it is not. */
  readonly healthMessage: string;
  readonly inFlight: number;
  readonly requests: number;
  /** In drain, with nothing in flight in two readings in a row, and in maintenance now. */
  readonly drained: boolean;
}

/** The state of HAProxy itself. */
export interface HaproxyStatus {
  readonly version: string;
  /** The worker that serves; 0 while none does. */
  readonly pid: number;
  /** What is wrong, in words. */
  readonly message: string;
  readonly history: HaproxyHistory;
}

/** How a HAProxy came to its configuration, and why. */
export interface Loading {
  readonly atMs: number;
  readonly kind: 'adopt' | 'start' | 'reload';
  readonly reason: string;
}

/** What became of HAProxy since the agent began. */
export interface HaproxyHistory {
  readonly reloads: number;
  /** Starts because it had ended. */
  readonly restarts: number;
  /** The newest first. */
  readonly loadings: readonly Loading[];
  /** The last thing that was wrong, whether it is well again or not. */
  readonly lastError: { readonly atMs: number; readonly words: string } | undefined;
}

const maxLoadings = 8;
/** So many are told in one message: all of a long list at once would be a big one. */
const targetsAtOnce = 500;
/**
 * Counts of requests, which nobody waits for, are told no more often: a message costs both sides as much as a change
 * of the list.
 */
const countsEveryMs = 500;

/** One thing to tell the coordinator. */
export type Outgoing =
  | { readonly kind: 'applied'; readonly applied: AppliedVersion }
  | {
      readonly kind: 'targets';
      readonly targets: readonly TargetStatus[];
      readonly clientConnections: number;
    }
  /** The coordinator is to send changes of the list no more often than that; 0: as they come. */
  | { readonly kind: 'pace'; readonly leastIntervalMs: number }
  | { readonly kind: 'certificates'; readonly held: readonly HeldCertificate[] }
  | { readonly kind: 'status'; readonly status: HaproxyStatus };

/**
 * What the coordinator has to be told: always the latest of each, never a queue, so that a slow or lost
 * session costs no memory and a new one starts from all that is known.
 */
export class Outbox {
  /** Notified when there is something to take. */
  readonly wakeup = new Wakeup();
  #applied: AppliedVersion | undefined;
  #appliedPending = false;
  #status: HaproxyStatus = {
    version: '',
    pid: 0,
    message: '',
    history: { reloads: 0, restarts: 0, loadings: [], lastError: undefined },
  };
  #statusPending = false;
  #held: readonly HeldCertificate[] = [];
  #heldPending = false;
  #paceMs = 0;
  #pacePending = false;
  #clientConnections = 0;
  #clientConnectionsPending = false;
  readonly #problems = new Map<string, string>();
  readonly #targets = new Map<string, TargetStatus>();
  readonly #targetsPending = new Set<string>();
  /** Among what is pending is something that somebody waits for. */
  #targetsUrgent = false;
  #countsDueAt = 0;
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>;

  constructor(clock: Pick<Clock, 'now' | 'monotonic'>) {
    this.#clock = clock;
  }

  get status(): HaproxyStatus {
    return this.#status;
  }

  /** The version in effect; undefined while none is. */
  get applied(): AppliedVersion | undefined {
    return this.#applied;
  }

  get targets(): ReadonlyMap<string, TargetStatus> {
    return this.#targets;
  }

  setApplied(applied: AppliedVersion): void {
    this.#applied = applied;
    this.#appliedPending = true;
    this.wakeup.notify();
  }

  /** Told only if it differs from what was told before; at once if more than its counts does. */
  setTarget(status: TargetStatus): void {
    const before = this.#targets.get(status.targetId);
    if (before !== undefined && sameStatus(before, status)) return;
    this.#targets.set(status.targetId, status);
    this.#targetsPending.add(status.targetId);
    this.#targetsUrgent ||= !sameState(before ?? unknown, status);
    if (this.#targetsDue) this.wakeup.notify();
  }

  dropTarget(targetId: string): void {
    this.#targets.delete(targetId);
    this.#targetsPending.delete(targetId);
  }

  /** Least time from one change of the list to the next; 0: none. */
  setPace(leastIntervalMs: number): void {
    if (leastIntervalMs === this.#paceMs) return;
    this.#paceMs = leastIntervalMs;
    this.#pacePending = true;
    this.wakeup.notify();
  }

  setCertificates(held: readonly HeldCertificate[]): void {
    if (JSON.stringify(held) === JSON.stringify(this.#held)) return;
    this.#held = held;
    this.#heldPending = true;
    this.wakeup.notify();
  }

  setClientConnections(count: number): void {
    if (count === this.#clientConnections) return;
    this.#clientConnections = count;
    this.#clientConnectionsPending = true;
    this.wakeup.notify();
  }

  /** HAProxy came to another configuration, or to life. */
  noteLoading(kind: Loading['kind'], reason: string): void {
    const { history } = this.#status;
    const { reloads, restarts, loadings } = history;
    // The first start is none that anybody has to ask about.
    const isRestart = kind === 'start' && loadings.length > 0;
    this.#setStatus({
      ...this.#status,
      history: {
        ...history,
        reloads: reloads + (kind === 'reload' ? 1 : 0),
        restarts: restarts + (isRestart ? 1 : 0),
        loadings: [{ atMs: this.#clock.now(), kind, reason }, ...loadings].slice(0, maxLoadings),
      },
    });
  }

  setHaproxy(haproxy: { readonly version: string; readonly pid: number }): void {
    this.#setStatus({ ...this.#status, ...haproxy });
  }

  /** Says what is wrong with one matter, or with undefined that it is well again. */
  setProblem(matter: string, words: string | undefined): void {
    const isNews = words !== undefined && words !== this.#problems.get(matter);
    if (words === undefined) this.#problems.delete(matter);
    else this.#problems.set(matter, words);
    const { history } = this.#status;
    this.#setStatus({
      ...this.#status,
      message: [...this.#problems.values()].join('; '),
      history: isNews ? { ...history, lastError: { atMs: this.#clock.now(), words } } : history,
    });
  }

  /** To be called when a session opens: the new peer knows what the hello says, and nothing else. */
  startOver(): void {
    this.#appliedPending = false;
    for (const id of this.#targets.keys()) this.#targetsPending.add(id);
    this.#countsDueAt = 0;
    this.#clientConnectionsPending = this.#clientConnections > 0;
    this.#heldPending = this.#held.length > 0;
    this.#pacePending = this.#paceMs > 0;
    this.#statusPending = false;
    this.wakeup.notify();
  }

  /** The next thing to tell. A version goes before the targets that drained by it. */
  take(): Outgoing | undefined {
    if (this.#appliedPending && this.#applied !== undefined) {
      this.#appliedPending = false;
      return { kind: 'applied', applied: this.#applied };
    }
    if ((this.#targetsPending.size > 0 && this.#targetsDue) || this.#clientConnectionsPending) {
      const targets = this.#takeTargets();
      this.#clientConnectionsPending = false;
      return { kind: 'targets', targets, clientConnections: this.#clientConnections };
    }
    if (this.#pacePending) {
      this.#pacePending = false;
      return { kind: 'pace', leastIntervalMs: this.#paceMs };
    }
    if (this.#heldPending) {
      this.#heldPending = false;
      return { kind: 'certificates', held: this.#held };
    }
    if (!this.#statusPending) return undefined;
    this.#statusPending = false;
    return { kind: 'status', status: this.#status };
  }

  get #targetsDue(): boolean {
    return this.#targetsUrgent || this.#clock.monotonic() >= this.#countsDueAt;
  }

  #takeTargets(): TargetStatus[] {
    const targets: TargetStatus[] = [];
    for (const id of this.#targetsPending) {
      if (targets.length === targetsAtOnce) break;
      this.#targetsPending.delete(id);
      const target = this.#targets.get(id);
      if (target !== undefined) targets.push(target);
    }
    if (this.#targetsPending.size === 0) {
      this.#targetsUrgent = false;
      this.#countsDueAt = this.#clock.monotonic() + countsEveryMs;
    }
    return targets;
  }

  #setStatus(status: HaproxyStatus): void {
    const before = this.#status;
    this.#status = status;
    if (
      before.version === status.version &&
      before.pid === status.pid &&
      before.message === status.message &&
      before.history === status.history
    ) {
      return;
    }
    this.#statusPending = true;
    this.wakeup.notify();
  }
}

function sameStatus(a: TargetStatus, b: TargetStatus): boolean {
  return sameState(a, b) && a.inFlight === b.inFlight && a.requests === b.requests;
}

type TargetState = Pick<TargetStatus, 'health' | 'healthMessage' | 'drained'>;

const unknown: TargetState = { health: undefined, healthMessage: '', drained: false };

/** They differ in their counts at the most. */
function sameState(a: TargetState, b: TargetState): boolean {
  return a.health === b.health && a.healthMessage === b.healthMessage && a.drained === b.drained;
}
