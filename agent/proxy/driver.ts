import type { Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { keepRunning } from '../../shared/retry.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import { adoptServers } from './adopt-servers.ts';
import { BackendList, type ListChange, type ListDelta, type ListSnapshot } from './backend-list.ts';
import type { Configuration, ConfigStore } from './config-store.ts';
import { Drainer } from './drainer.ts';
import type { HaproxyProcess } from './haproxy-process.ts';
import type { ListFile } from './list-file.ts';
import { type LiveHaproxy } from './live-haproxy.ts';
import { liftLimits } from './mended-limits.ts';
import type { AppliedVersion, Outbox } from './outbox.ts';
import type { ProcessorPressure } from './processor-pressure.ts';
import { Restructurer } from './restructurer.ts';
import type { ServerCounters } from './server-state.ts';
import { TargetApplier } from './target-applier.ts';
import { TargetReports } from './target-reports.ts';
import { VanishedHosts } from './vanished-hosts.ts';

/** How often HAProxy's own state is read and differences are mended. */
const reconcileEveryMs = 5_000;
/** But no more often than so, for each server that it has: a change that meets a long reading waits for it. */
const refreshEveryMsPerServer = 2;
/** A HAProxy that ends sooner than that is started again after a wait. */
const shortLifeMs = 2_000;
/** How long a cold start waits for a list that is fresher than the one on disk. */
const freshListWaitMs = 1_000;
const restartBackoff = { minMs: 50, maxMs: 5_000 };

export interface DriverDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly haproxy: HaproxyProcess;
  readonly configStore: ConfigStore;
  readonly listFile: ListFile;
  readonly outbox: Outbox;
  readonly pressure: Pick<ProcessorPressure, 'isHigh'>;
  /** Called when another worker serves. */
  readonly onWorker: () => void;
  /** Called with what holds requests from now on. */
  readonly onPauses: (paused: ReadonlySet<string>) => void;
}

/**
 * Keeps one HAProxy running with the latest list.
 *
 * One loop does everything to HAProxy, one batch after the other; whatever arrives meanwhile is merged
 * into the next batch. A lost connection at any point is safe, because the next one starts from what
 * HAProxy really has.
 */
export class HaproxyDriver {
  /** Notified when the list or the configuration in effect changed and the disk should follow. */
  readonly saving = new Wakeup();
  readonly #deps: DriverDeps;
  readonly #wakeup = new Wakeup();
  readonly #listArrived = new Wakeup();
  readonly #drainer: Drainer;
  readonly #reports: TargetReports;
  readonly #applier: TargetApplier;
  readonly #restructurer: Restructurer;
  readonly #vanished: VanishedHosts;
  #list: BackendList | undefined;
  #live: LiveHaproxy | undefined;
  /** Counts the workers: a reading that began on an earlier one does not count. */
  #generation = 0;
  #reconcileAt = 0;
  #refreshAt = 0;
  #announceDue = false;
  #listIsWhole = true;
  /** The last version that was in effect with its structure. */
  #whole = { epoch: '', version: 0 };

  constructor(deps: DriverDeps) {
    this.#deps = deps;
    const { clock, log, outbox } = deps;
    this.#drainer = new Drainer({
      ...{ clock, log, pressure: deps.pressure },
      read: (paths, signal) => this.#readInFlight(paths, signal),
      cut: async (paths, signal) => this.#live?.cut(paths, signal),
      onReading: (path, inFlight) => {
        this.#reports.observeInFlight(path, inFlight);
      },
      onDrained: (path) => {
        this.#applier.noteDrained(path);
        this.#wakeup.notify();
      },
    });
    this.#reports = new TargetReports({
      outbox,
      targetAt: (path) => this.#list?.targets.get(path),
      drains: (path) => this.#drainer.watches(path),
    });
    this.#applier = new TargetApplier({
      clock,
      log,
      drainer: this.#drainer,
      reports: this.#reports,
    });
    this.#restructurer = new Restructurer(deps);
    this.#vanished = new VanishedHosts({ log });
  }

  /** The list to serve; undefined until one is known. */
  get list(): BackendList | undefined {
    return this.#list;
  }

  /** The configuration that HAProxy runs; undefined while that is not known. */
  get configuration(): Configuration | undefined {
    return this.#restructurer.configuration;
  }

  get drainer(): Drainer {
    return this.#drainer;
  }

  /** Takes the coordinator's whole list, or what of it can be used. */
  replaceList(snapshot: ListSnapshot, isWhole = true): void {
    this.#listIsWhole = isWhole;
    this.#list ??= new BackendList();
    this.#take(this.#list.replace(snapshot));
    this.#announceDue = true;
    this.#listArrived.notify();
  }

  /** Takes what changed; false if a version is missing before it. */
  changeList(delta: ListDelta): boolean {
    const change = this.#list?.apply(delta) ?? 'gap';
    if (change === 'gap') return false;
    this.#take(change);
    return true;
  }

  /** The clock of the host was set while requests are held. */
  noteClockSet(): void {
    this.#deps.configStore.renamePauses();
    this.#restructurer.noteChange();
    this.#wakeup.notify();
  }

  /** Runs until the signal aborts; HAProxy goes on then. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log, outbox } = this.#deps;
    await keepRunning(
      (attempt) => this.#runOnce(attempt),
      restartBackoff,
      {
        clock,
        random,
        onFailure: (error, retryInMs) => {
          outbox.setProblem('haproxy', messageOf(error));
          log.error({ err: error, retryInMs }, 'HAProxy is not under control');
        },
      },
      signal,
    );
  }

  /**
   * Reads health and counters of all servers, lifts limits that are not ours, and ends what hangs on hosts that
   * vanished; false while there is no HAProxy to read from.
   */
  async report(signal: AbortSignal): Promise<boolean> {
    const live = this.#live;
    if (live === undefined) return false;
    const isCurrent = () => live === this.#live;
    const down: ServerCounters[] = [];
    const limited: ServerCounters[] = [];
    const frontends = await live.readCounters((counters) => {
      if (isCurrent()) this.#reports.observeServer(counters);
      const mayHang = counters.inFlight > 0 || live.hasOldWorkers;
      if (counters.health === 'down' && mayHang) down.push(counters);
      if (counters.limit > 0) limited.push(counters);
    });
    if (limited.length > 0 && isCurrent()) await liftLimits(live.connection.client, limited);
    if (isCurrent()) this.#reports.observeFrontends(frontends);
    if (down.length > 0 && isCurrent()) await this.#vanished.look(live, down, signal);
    return true;
  }

  #take(change: ListChange): void {
    if (this.#list === undefined) return;
    this.#applier.note(change.paths, this.#list.targets);
    if (change.structure) this.#restructurer.noteChange();
    this.saving.notify();
    this.#wakeup.notify();
  }

  /** From finding or starting a HAProxy until it or its connection is lost. */
  async #runOnce(signal: AbortSignal): Promise<void> {
    const { clock, outbox, haproxy } = this.#deps;
    const live = await this.#bringUp(signal);
    const startedAt = clock.monotonic();
    outbox.setProblem('haproxy', undefined);
    this.#become(live);
    let lost = false;
    try {
      lost = (await this.#serve(signal)) === 'lost';
    } finally {
      this.#live?.close();
      this.#live = undefined;
    }
    if (signal.aborted || !lost) return;
    if (!(await haproxy.gone(1_000, signal))) {
      await this.#mendHeadless(signal);
      return;
    }
    outbox.setHaproxy({ version: outbox.status.version, pid: 0 });
    outbox.setProblem('haproxy', 'HAProxy died and is started again');
    this.#deps.log.error('HAProxy died, starting it again');
    if (clock.monotonic() - startedAt < shortLifeMs) {
      throw new DomainError('unavailable', 'HAProxy died soon after its start', {
        reason: 'HAPROXY_UNREACHABLE',
      });
    }
  }

  async #mendHeadless(signal: AbortSignal): Promise<void> {
    if (!signal.aborted && (await this.#deps.haproxy.killIfWithoutWorkers())) {
      this.#deps.log.error('ended a HAProxy master that had lost its worker');
    }
  }

  async #bringUp(signal: AbortSignal): Promise<LiveHaproxy> {
    if ((await this.#deps.haproxy.find()) === undefined) return await this.#start(signal);
    const live = await this.#restructurer.adopt(signal);
    try {
      const stored = this.#list === undefined ? await this.#deps.listFile.read() : undefined;
      if (stored !== undefined && this.#list === undefined) {
        this.#useStored(adoptServers(stored, live.servers, live.backends));
      }
      await this.#untilList(signal);
      const { log, outbox } = this.#deps;
      const isFirst = outbox.status.history.loadings.length === 0;
      const reason = isFirst
        ? 'it ran when the agent began'
        : 'somebody else made another worker serve, or its socket was lost';
      outbox.noteLoading('adopt', reason);
      log.info({ haproxyPid: live.connection.info.pid }, 'adopted the HAProxy that runs');
      return live;
    } catch (error) {
      live.close();
      throw error;
    }
  }

  /** Starts HAProxy with all servers in the file: it is right from its first request on. */
  async #start(signal: AbortSignal): Promise<LiveHaproxy> {
    if (this.#list === undefined) {
      const stored = await this.#deps.listFile.read();
      if (stored !== undefined) {
        await this.#listArrived.waitFor(freshListWaitMs, this.#deps.clock, signal);
        if (this.#list === undefined) this.#useStored(stored);
      }
    }
    const list = await this.#untilList(signal);
    const live = await this.#restructurer.start(list, signal);
    const { log, outbox } = this.#deps;
    const isFirst = outbox.status.history.loadings.length === 0;
    outbox.noteLoading('start', isFirst ? 'none ran' : 'the one before ended');
    log.info({ haproxyPid: live.connection.info.pid }, 'started HAProxy');
    return live;
  }

  #useStored(snapshot: ListSnapshot): void {
    this.#deps.log.info({ version: snapshot.version }, 'serving by the list on disk');
    this.#list = new BackendList(snapshot);
    this.#applier.note(this.#list.targets.keys(), this.#list.targets);
  }

  async #untilList(signal: AbortSignal): Promise<BackendList> {
    while (this.#list === undefined) {
      signal.throwIfAborted();
      await this.#listArrived.wait(signal);
    }
    return this.#list;
  }

  #become(live: LiveHaproxy): void {
    this.#live = live;
    this.#generation++;
    this.#drainer.startOver();
    this.#reconcileAt = 0;
    this.#refreshAt = 0;
    this.#restructurer.noteChange();
    const { pid, version } = live.connection.info;
    this.#deps.outbox.setHaproxy({ pid, version });
    live.connection.client.onClose(() => {
      this.#wakeup.notify();
    });
    this.#deps.onWorker();
    this.saving.notify();
  }

  /** Until aborted, or the connection is lost, or somebody else made another worker serve. */
  async #serve(signal: AbortSignal): Promise<'lost' | 'replaced' | 'aborted'> {
    while (!signal.aborted && this.#list !== undefined && this.#live !== undefined) {
      const { client } = this.#live.connection;
      if (client.closed) return 'lost';
      try {
        if (!(await this.#round(this.#live, this.#list, signal))) return 'replaced';
      } catch (error) {
        // What was in flight on it may be done or not: the next connection starts from what is.
        if (client.closed) return 'lost';
        throw error;
      }
      await this.#wakeup.waitFor(this.#idleMs(), this.#deps.clock, signal);
    }
    return 'aborted';
  }

  /** Does all that is due now; false if this worker is not the one that serves any more. */
  async #round(live: LiveHaproxy, list: BackendList, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#deps;
    if (clock.monotonic() >= this.#reconcileAt) {
      if (!(await live.serves())) return false;
      await this.#reconcile(live, list, signal);
    }
    await this.#applyTargets(live, list);
    if (this.#restructurer.due()) {
      await this.#restructure(live, list, signal);
      return true;
    }
    await this.#applier.deleteDue(live, list.targets);
    return true;
  }

  async #reconcile(live: LiveHaproxy, list: BackendList, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    if (clock.monotonic() >= this.#refreshAt) {
      await live.refresh();
      live.useSettings(list.structure.backends);
      await live.mendSlots(list.targets);
      this.#refreshAt = clock.monotonic() + live.servers.size * refreshEveryMsPerServer;
    }
    await live.refreshOldWorkers(signal);
    await this.#deps.haproxy.trimLog();
    this.#applier.noteAll(list.targets, live.servers);
    this.#restructurer.noteTime();
    await this.#restructurer.mend(live);
    this.#reconcileAt = this.#deps.clock.monotonic() + reconcileEveryMs;
  }

  async #applyTargets(live: LiveHaproxy, list: BackendList): Promise<void> {
    // The version is that of now: what arrives while HAProxy answers is not in effect yet.
    const { epoch, version } = list;
    const { pending } = this.#restructurer;
    const isWhole = this.#listIsWhole && this.#restructurer.inFull;
    const unreached = this.#restructurer.unreached(list.structure);
    live.useSettings(list.structure.backends);
    await this.#applier.apply(live, list.targets);
    if (this.#applier.waitsForReload) this.#restructurer.wantReload('there are new servers');
    if (pending) return;
    if (isWhole) this.#whole = { epoch, version };
    this.#announce({
      ...{ epoch, version },
      errors: new Map([...list.rejected, ...this.#applier.errors()]),
      structureVersion: this.#whole.epoch === epoch ? this.#whole.version : 0,
      unreachedBackends: unreached,
    });
  }

  #announce(applied: AppliedVersion): void {
    const { outbox } = this.#deps;
    if (!this.#announceDue && outbox.applied !== undefined && same(outbox.applied, applied)) return;
    this.#announceDue = false;
    outbox.setApplied(applied);
  }

  /** During a swap no reading counts: what is in flight moves from one worker to another. */
  async #restructure(live: LiveHaproxy, list: BackendList, signal: AbortSignal): Promise<void> {
    const onSwap = () => {
      this.#live = undefined;
      this.#generation++;
      this.#drainer.startOver();
      live.forgetReadings();
    };
    try {
      const next = await this.#restructurer.restructure(live, list, onSwap, signal);
      if (next !== undefined) this.#become(next);
      if (this.#restructurer.inEffect) this.#releaseHeld(list);
    } finally {
      this.#live ??= live;
    }
    this.#wakeup.notify();
  }

  /** What was held because requests came to it by the structure before drains now. */
  #releaseHeld(list: BackendList): void {
    this.#applier.note(list.structureTookEffect(), list.targets);
    this.saving.notify();
  }

  async #readInFlight(
    paths: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, number> | undefined> {
    const generation = this.#generation;
    const readings = await this.#live?.readInFlight(paths, signal);
    return generation === this.#generation ? readings : undefined;
  }

  #idleMs(): number {
    if (this.#applier.pending) return 0;
    const dueAt = Math.min(
      this.#reconcileAt,
      this.#restructurer.dueAt ?? Infinity,
      this.#applier.nextDeletionAt ?? Infinity,
    );
    return Math.max(0, dueAt - this.#deps.clock.monotonic());
  }
}

function same(a: AppliedVersion, b: AppliedVersion): boolean {
  return (
    a.epoch === b.epoch &&
    a.version === b.version &&
    a.structureVersion === b.structureVersion &&
    a.unreachedBackends.join() === b.unreachedBackends.join() &&
    sameEntries(a.errors, b.errors)
  );
}

function sameEntries(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}
