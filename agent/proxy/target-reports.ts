import { pathOf, type Target } from './backend-list.ts';
import type { Outbox, TargetStatus } from './outbox.ts';
import type { ServerCounters } from './server-state.ts';
import { isOwnName } from './config-settings.ts';

export interface TargetReportsDeps {
  readonly outbox: Outbox;
  readonly targetAt: (path: string) => Target | undefined;
  /** True: what is in flight there is read elsewhere, over all workers. */
  readonly drains: (path: string) => boolean;
}

interface Count {
  /** Of workers that are gone. */
  base: number;
  /** Of the worker that serves. */
  last: number;
}

/** Turns HAProxy's counters into reports of the targets in the list. */
export class TargetReports {
  readonly #deps: TargetReportsDeps;
  readonly #requests = new Map<string, Count>();

  constructor(deps: TargetReportsDeps) {
    this.#deps = deps;
  }

  /** Takes connections of clients by frontend. */
  observeFrontends(frontends: ReadonlyMap<string, number>): void {
    let clientConnections = 0;
    for (const [name, count] of frontends) {
      if (!isOwnName(name)) clientConnections += count;
    }
    this.#deps.outbox.setClientConnections(clientConnections);
  }

  observeServer(row: ServerCounters): void {
    const path = pathOf(row);
    const target = this.#deps.targetAt(path);
    if (target === undefined) return;
    this.#update(target, {
      health: row.health,
      healthMessage: row.healthMessage,
      requests: this.#countRequests(path, row.requests),
      ...(this.#deps.drains(path) ? {} : { inFlight: row.inFlight }),
    });
  }

  observeInFlight(path: string, inFlight: number): void {
    const target = this.#deps.targetAt(path);
    if (target !== undefined) this.#update(target, { inFlight });
  }

  setDrained(path: string, drained: boolean): void {
    const target = this.#deps.targetAt(path);
    if (target === undefined) return;
    if (drained) this.#update(target, { drained, inFlight: 0 });
    else if (this.#deps.outbox.targets.get(target.id)?.drained === true) {
      this.#update(target, { drained });
    }
  }

  drop(path: string, targetId: string): void {
    this.#requests.delete(path);
    this.#deps.outbox.dropTarget(targetId);
  }

  #update(target: Target, change: Partial<TargetStatus>): void {
    const before = this.#deps.outbox.targets.get(target.id) ?? {
      targetId: target.id,
      health: undefined,
      healthMessage: '',
      inFlight: 0,
      requests: 0,
      drained: false,
    };
    this.#deps.outbox.setTarget({ ...before, ...change });
  }

  /** A new worker counts from zero; users see one number that only grows. */
  #countRequests(path: string, requests: number): number {
    const count = this.#requests.get(path) ?? { base: 0, last: 0 };
    if (requests < count.last) count.base += count.last;
    count.last = requests;
    this.#requests.set(path, count);
    return count.base + requests;
  }
}
