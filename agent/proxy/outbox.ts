import { Wakeup } from '../../shared/wakeup.ts';

/** A version that took effect, and the targets that could not be brought into it. */
export interface AppliedVersion {
  readonly epoch: string;
  readonly version: number;
  /** HAProxy's words by target id. */
  readonly errors: ReadonlyMap<string, string>;
}

/** What HAProxy sees of one target. */
export interface TargetStatus {
  readonly targetId: string;
  readonly health: 'up' | 'down' | undefined;
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
}

/** One thing to tell the coordinator. */
export type Outgoing =
  | { readonly kind: 'applied'; readonly applied: AppliedVersion }
  | { readonly kind: 'targets'; readonly targets: readonly TargetStatus[] }
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
  #status: HaproxyStatus = { version: '', pid: 0, message: '' };
  #statusPending = false;
  readonly #problems = new Map<string, string>();
  readonly #targets = new Map<string, TargetStatus>();
  readonly #targetsPending = new Set<string>();

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

  /** Told only if it differs from what was told before. */
  setTarget(status: TargetStatus): void {
    const before = this.#targets.get(status.targetId);
    if (before !== undefined && sameStatus(before, status)) return;
    this.#targets.set(status.targetId, status);
    this.#targetsPending.add(status.targetId);
    this.wakeup.notify();
  }

  dropTarget(targetId: string): void {
    this.#targets.delete(targetId);
    this.#targetsPending.delete(targetId);
  }

  setHaproxy(haproxy: { readonly version: string; readonly pid: number }): void {
    this.#setStatus({ ...this.#status, ...haproxy });
  }

  /** Says what is wrong with one matter, or with undefined that it is well again. */
  setProblem(matter: string, words: string | undefined): void {
    if (words === undefined) this.#problems.delete(matter);
    else this.#problems.set(matter, words);
    this.#setStatus({ ...this.#status, message: [...this.#problems.values()].join('; ') });
  }

  /** To be called when a session opens: the new peer knows what the hello says, and nothing else. */
  startOver(): void {
    this.#appliedPending = false;
    for (const id of this.#targets.keys()) this.#targetsPending.add(id);
    this.#statusPending = false;
    this.wakeup.notify();
  }

  /** The next thing to tell. A version goes before the targets that drained by it. */
  take(): Outgoing | undefined {
    if (this.#appliedPending && this.#applied !== undefined) {
      this.#appliedPending = false;
      return { kind: 'applied', applied: this.#applied };
    }
    if (this.#targetsPending.size > 0) {
      const targets = [...this.#targetsPending].flatMap((id) => this.#targets.get(id) ?? []);
      this.#targetsPending.clear();
      return { kind: 'targets', targets };
    }
    if (!this.#statusPending) return undefined;
    this.#statusPending = false;
    return { kind: 'status', status: this.#status };
  }

  #setStatus(status: HaproxyStatus): void {
    const before = this.#status;
    this.#status = status;
    if (
      before.version === status.version &&
      before.pid === status.pid &&
      before.message === status.message
    ) {
      return;
    }
    this.#statusPending = true;
    this.wakeup.notify();
  }
}

function sameStatus(a: TargetStatus, b: TargetStatus): boolean {
  return (
    a.health === b.health &&
    a.inFlight === b.inFlight &&
    a.requests === b.requests &&
    a.drained === b.drained
  );
}
