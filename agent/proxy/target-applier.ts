import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Target } from './backend-list.ts';
import type { Drainer } from './drainer.ts';
import {
  isAsWanted,
  pathOfStep,
  planServers,
  type ServerStep,
  type ServerView,
} from './plan-servers.ts';
import type { TargetReports } from './target-reports.ts';

/** HAProxy 2.6 may still point to a server that was just taken out of use. */
const deleteAfterMs = 5_000;
/** Those of so long go in a row, or each would wake us once more. */
const deleteEveryMs = 500;
/** Then whatever else is due has its turn. */
const maxDeletionsInRow = 8;

/** The HAProxy that servers are changed in. */
export interface ServerHost extends Pick<ServerView, 'servers' | 'backends' | 'dynamicServers'> {
  /** Reads `servers` anew. */
  refresh(): Promise<void>;
  /** Returns why steps were refused, by path; `servers` follows those that were not. */
  carryOut(steps: readonly ServerStep[]): Promise<ReadonlyMap<string, string>>;
}

export interface TargetApplierDeps {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly log: Logger;
  readonly drainer: Pick<Drainer, 'watch' | 'forget'>;
  readonly reports: Pick<TargetReports, 'setDrained' | 'drop'>;
}

type Targets = ReadonlyMap<string, Target>;

/** Brings the servers of HAProxy to what the list wants, looking only at what may differ. */
export class TargetApplier {
  readonly #deps: TargetApplierDeps;
  #dirty = new Set<string>();
  /** Why a path is not as it should be. */
  readonly #refused = new Map<string, string>();
  /** Paths with nothing in flight: what has drained, and what was cut because it is gone. */
  readonly #drained = new Set<string>();
  readonly #drainOrderedAt = new Map<string, number>();
  readonly #forFile = new Set<string>();
  /** When to delete servers that are in no list any more, the next first. */
  readonly #deletions = new Map<string, number>();

  constructor(deps: TargetApplierDeps) {
    this.#deps = deps;
  }

  get pending(): boolean {
    return this.#dirty.size > 0;
  }

  /** True: targets wait until HAProxy has read them from its file. */
  get waitsForReload(): boolean {
    return this.#forFile.size > 0;
  }

  /** When a deletion is due; undefined if there is none. */
  get nextDeletionAt(): number | undefined {
    const [first] = this.#deletions.values();
    return first;
  }

  /** Takes note of what a list changed; the time of a drain runs from here. */
  note(paths: Iterable<string>, targets: Targets): void {
    for (const path of paths) {
      const target = targets.get(path);
      if (target?.mode !== 'drain') this.#drainOrderedAt.delete(path);
      else if (!this.#drainOrderedAt.has(path)) {
        this.#drainOrderedAt.set(path, this.#deps.clock.monotonic());
      }
      if (target === undefined) this.#deps.reports.drop(path, idIn(path));
      this.#dirty.add(path);
    }
  }

  /** Has every server and target looked at that is not as it should be. */
  noteAll(targets: Targets, servers: ServerView['servers']): void {
    for (const [path, target] of targets) {
      const isSettled = isAsWanted(target, servers.get(path)) && !this.#isOpen(path);
      if (!isSettled) this.#dirty.add(path);
    }
    for (const [path, { mode }] of servers) {
      if (targets.has(path)) continue;
      const isSettled = mode === 'maint' && this.#deletions.has(path) && !this.#isOpen(path);
      if (!isSettled) this.#dirty.add(path);
    }
    for (const path of this.#drained) {
      if (!targets.has(path) && !servers.has(path)) this.#drained.delete(path);
    }
  }

  /** Nothing is in flight on a target in drain any more: it goes into maintenance. */
  noteDrained(path: string): void {
    this.#drained.add(path);
    this.#dirty.add(path);
  }

  /** HAProxy's words on targets that are not as they should be, by target id. */
  errors(): Map<string, string> {
    return new Map([...this.#refused].map(([path, message]) => [idIn(path), message]));
  }

  /** Carries out all that is noted. What is noted meanwhile is left for the next time. */
  async apply(live: ServerHost, targets: Targets): Promise<void> {
    const paths = this.#dirty;
    if (paths.size === 0) return;
    this.#dirty = new Set();
    try {
      // What changes while HAProxy answers is in the next batch; this one is settled by what it was
      // planned from.
      const wanted = new Map([...paths].map((path) => [path, targets.get(path)]));
      const refusals = await this.#carryOut(live, wanted);
      for (const [path, target] of wanted) this.#settle(path, target, live, refusals.get(path));
    } catch (error) {
      for (const path of paths) this.#dirty.add(path);
      throw error;
    }
  }

  /**
   * Deletes servers that have been out of use for long enough: one at least, more while there is nothing to apply.
   *
   * One by one: HAProxy frees a server later, on any thread, and until its issue 2733 was mended, which in Debian 12 it
   * is not, takes it out of a list of all servers without a lock. Of two that were made one after the other and are
   * deleted in one write, two threads may do so at the same moment, which spoils its memory. Until it reads the next
   * command the one before is gone.
   */
  async deleteDue(live: ServerHost, targets: Targets): Promise<void> {
    for (let count = 0; count < maxDeletionsInRow; count++) {
      // Each stops all threads of HAProxy for a moment: a change waits for one at most.
      if (count > 0 && this.pending) return;
      const step = this.#nextDeletion(live, targets);
      if (step === undefined) return;
      const path = pathOfStep(step);
      const refusals = await live.carryOut([step]);
      if (!live.servers.has(path)) this.#deletions.delete(path);
      if (refusals.size > 0) {
        this.#deps.log.debug({ target: path }, 'a server is not free to delete yet');
      }
    }
  }

  /** Until it is seen to be gone it is tried again, later. */
  #nextDeletion(live: ServerHost, targets: Targets): ServerStep | undefined {
    const now = this.#deps.clock.monotonic();
    for (const [path, dueAt] of this.#deletions) {
      if (dueAt > now) return undefined;
      this.#deletions.delete(path);
      const server = live.servers.get(path);
      if (server === undefined || targets.has(path)) continue;
      this.#deletions.set(path, deletionAfter(now));
      // What takes requests again has to be taken out first.
      if (server.mode !== 'maint') continue;
      return { kind: 'delete', server: { backend: server.backend, id: server.id } };
    }
    return undefined;
  }

  /** Returns why paths are not as they should be. After a refusal HAProxy is read anew and asked once more. */
  async #carryOut(
    live: ServerHost,
    wanted: ReadonlyMap<string, Target | undefined>,
  ): Promise<Map<string, string>> {
    const first = this.#plan(live, wanted, wanted.keys());
    for (const path of wanted.keys()) {
      if (first.forFile.has(path)) this.#forFile.add(path);
      else this.#forFile.delete(path);
    }
    const refusals = await live.carryOut(first.steps);
    if (refusals.size === 0) return new Map(first.needReload);
    await live.refresh();
    const second = this.#plan(live, wanted, refusals.keys());
    return new Map([...first.needReload, ...(await live.carryOut(second.steps))]);
  }

  #plan(
    live: ServerHost,
    wanted: ReadonlyMap<string, Target | undefined>,
    paths: Iterable<string>,
  ) {
    return planServers(
      {
        targets: wanted,
        drained: this.#drained,
        servers: live.servers,
        backends: live.backends,
        dynamicServers: live.dynamicServers,
      },
      paths,
    );
  }

  #settle(
    path: string,
    target: Target | undefined,
    live: ServerHost,
    refusal: string | undefined,
  ): void {
    const { drainer, reports, clock } = this.#deps;
    this.#noteRefusal(path, refusal);
    if (target === undefined && live.servers.has(path) && live.dynamicServers) {
      if (!this.#deletions.has(path)) this.#deletions.set(path, deletionAfter(clock.monotonic()));
    } else {
      this.#deletions.delete(path);
    }
    if (target?.mode !== 'drain') {
      if (target === undefined && refusal === undefined) this.#drained.add(path);
      else this.#drained.delete(path);
      drainer.forget(path);
      reports.setDrained(path, false);
    } else if (refusal !== undefined) {
      // It may still be given requests, so that nothing could be told from readings.
      drainer.forget(path);
    } else if (this.#drained.has(path)) {
      reports.setDrained(path, true);
    } else {
      const orderedAt = this.#drainOrderedAt.get(path) ?? clock.monotonic();
      drainer.watch(path, orderedAt + target.drainTimeoutMs);
    }
  }

  /** Something of it waits for another look. */
  #isOpen(path: string): boolean {
    return this.#refused.has(path) || this.#forFile.has(path);
  }

  #noteRefusal(path: string, refusal: string | undefined): void {
    if (refusal === undefined) {
      this.#refused.delete(path);
    } else if (this.#refused.get(path) !== refusal) {
      this.#refused.set(path, refusal);
      this.#deps.log.warn({ target: path, refusal }, 'HAProxy refused a target');
    }
  }
}

/** When to delete what is out of use now. */
function deletionAfter(now: number): number {
  return Math.ceil((now + deleteAfterMs) / deleteEveryMs) * deleteEveryMs;
}

function idIn(path: string): string {
  return path.slice(path.indexOf('/') + 1);
}
