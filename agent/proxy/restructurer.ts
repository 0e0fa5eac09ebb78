import type { Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { BackendList, Structure } from './backend-list.ts';
import {
  portsOf,
  readDescription,
  type Configuration,
  type ConfigStore,
  type RunningConfiguration,
} from './config-store.ts';
import type { HaproxyProcess, WorkerConnection } from './haproxy-process.ts';
import { LiveHaproxy } from './live-haproxy.ts';
import { MapSync } from './map-sync.ts';
import { openFrontends } from './mended-limits.ts';
import { namesIn, pausesOf } from './pauses.ts';
import type { Outbox } from './outbox.ts';
import { reloadReason, unreachedBackends } from './plan-servers.ts';

/** Each reload leaves a worker behind for a while. */
const reloadEveryMs = 1_000;
/** What HAProxy refused may work later: a file that was missing, a port that was taken. */
const retryRefusedAfterMs = 30_000;
/** How long a HAProxy that just died may keep its ports, and one that is found may stay silent. */
const patienceMs = 1_000;
const pollMs = 25;

export interface RestructurerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly haproxy: HaproxyProcess;
  readonly configStore: ConfigStore;
  readonly outbox: Outbox;
  /** Is told what holds requests from now on. */
  readonly onPauses: (paused: ReadonlySet<string>) => void;
}

/**
 * Brings frontends, backends and settings into effect, by starting or reloading HAProxy. Targets are
 * none of its business, but for being in the file.
 */
export class Restructurer {
  readonly #deps: RestructurerDeps;
  readonly #maps = new MapSync();
  #configuration: Configuration | undefined;
  #running: RunningConfiguration = { revision: '', ports: new Set() };
  #refused: { readonly revision: string; readonly retryAt: number } | undefined;
  #changed = false;
  /** Why HAProxy has to reload though it has the structure that the list wants; undefined: it need not. */
  #reloadFor: string | undefined;
  #reopened = false;
  #notBefore = 0;

  constructor(deps: RestructurerDeps) {
    this.#deps = deps;
  }

  /** What HAProxy runs; undefined while only its revision is known. */
  get configuration(): Configuration | undefined {
    return this.#configuration;
  }

  /** True: what HAProxy runs may not be what the list wants. */
  get pending(): boolean {
    return this.#changed;
  }

  /** True: HAProxy runs what the list wants. */
  get inEffect(): boolean {
    return !this.#changed && this.#refused === undefined;
  }

  /** True: HAProxy runs all that the list wants, at every port of it. */
  get inFull(): boolean {
    return this.inEffect && this.#configuration?.problem === undefined;
  }

  /** Backends that some requests do not come to yet, for all that is known of what HAProxy runs. */
  unreached(wanted: Structure): readonly string[] {
    if (this.inFull || this.#configuration === undefined) return [];
    return unreachedBackends(this.#configuration, wanted);
  }

  /** When to look; undefined: nothing changed. */
  get dueAt(): number | undefined {
    return this.#changed ? this.#notBefore : undefined;
  }

  due(): boolean {
    return this.#changed && this.#deps.clock.monotonic() >= this.#notBefore;
  }

  noteChange(): void {
    this.#changed = true;
  }

  /** There is something that HAProxy can only have by loading its file. Not to be asked again while it takes none. */
  wantReload(reason: string): void {
    if (this.#refused !== undefined) return;
    this.#reloadFor = reason;
    this.#changed = true;
  }

  /** Ports and refusals are looked at anew from time to time. */
  noteTime(): void {
    const refused = this.#refused;
    if (refused !== undefined && refused.retryAt <= this.#deps.clock.monotonic()) {
      this.#refused = undefined;
      this.#changed = true;
    }
    if (this.#configuration?.problem !== undefined) this.#changed = true;
  }

  /** Reads the maps and frontends of HAProxy anew, and mends what somebody else changed in them. */
  async mend(live: LiveHaproxy): Promise<void> {
    const [shut] = await openFrontends(live.connection.client);
    // Once: a frontend that a new worker has shut too would have HAProxy reload for ever.
    if (shut !== undefined && !this.#reopened) {
      this.wantReload(`somebody else shut frontend "${shut}"`);
    }
    this.#reopened = shut !== undefined;
    if (this.#configuration === undefined || !this.inEffect) return;
    const { client } = live.connection;
    this.#maps.forget();
    await this.#maps.sync(client, this.#deps.configStore.mapsOf(this.#configuration));
  }

  /** Takes over the HAProxy that runs; throws if it does not answer or is not ours. */
  async adopt(signal: AbortSignal): Promise<LiveHaproxy> {
    const connection = await this.#connect(signal);
    const running = readDescription(connection.info.description);
    if (running === undefined) {
      connection.client.close();
      throw new DomainError(
        'precondition',
        'the HAProxy in the state directory was not started by a proxy agent: end it, or give the ' +
          'agent another state directory',
        { reason: 'HAPROXY_FOREIGN' },
      );
    }
    this.#noteRunning(running);
    return await this.#attach(connection, signal);
  }

  /**
   * Starts HAProxy with all of the list in its file; with the file that is there if none can be written, or HAProxy
   * refuses it.
   */
  async start(list: BackendList, signal: AbortSignal): Promise<LiveHaproxy> {
    const { configStore, haproxy } = this.#deps;
    const configuration = await this.#configurationToStart(list, signal);
    const onDisk = await configStore.revisionOnDisk();
    const content = { configuration, targets: list.targets.values() };
    try {
      // One that ran is not given up for one that does not.
      if (onDisk !== undefined && onDisk !== configuration.revision) {
        const refusal = await configStore.check(content, signal);
        if (refusal !== undefined) {
          this.#refuse(configuration, refusal);
          return await this.#startAsBefore(refusal, signal);
        }
      }
      await configStore.write(() => ({ configuration, targets: list.targets.values() }));
    } catch (error) {
      if (!isUnwritable(error) || onDisk === undefined) throw error;
      return await this.#startAsBefore(error.message, signal);
    }
    try {
      const connection = await haproxy.start(signal);
      this.#noteLoaded(configuration);
      return await this.#attach(connection, signal);
    } catch (error) {
      if (isRefusal(error)) this.#refuse(configuration, error.message);
      throw error;
    }
  }

  /** What has changed since the file was written is done to what runs: no request waits for what is wrong with it. */
  async #startAsBefore(reason: string, signal: AbortSignal): Promise<LiveHaproxy> {
    const { haproxy, log } = this.#deps;
    log.error({ reason }, 'starting HAProxy by the configuration that was written last');
    const connection = await haproxy.start(signal);
    const running = readDescription(connection.info.description);
    this.#noteRunning(running ?? { revision: '', ports: new Set() });
    return await this.#attach(connection, signal);
  }

  /**
   * Reloads HAProxy if the list wants another structure than it has, and returns the new worker;
   * undefined: the one that is goes on. `onSwap` is called before the first moment at which both serve.
   */
  async restructure(
    live: LiveHaproxy,
    list: BackendList,
    onSwap: () => void,
    signal: AbortSignal,
  ): Promise<LiveHaproxy | undefined> {
    const { configStore, outbox, clock, log } = this.#deps;
    const other = this.#reloadFor;
    this.#changed = false;
    this.#reloadFor = undefined;
    const wanted = await configStore.configure(list.structure, this.#running.ports);
    outbox.setProblem('ports', wanted.problem);
    const reason = reloadReason({ ...this.#configuration, ...this.#running }, wanted) ?? other;
    if (reason === undefined) {
      await this.#maps.sync(live.connection.client, configStore.mapsOf(wanted));
      this.#noteLoaded(wanted);
      return undefined;
    }
    if (wanted.revision === this.#refused?.revision) return undefined;
    try {
      const next = await this.#reload(live, list, { wanted, onSwap }, signal);
      if (next !== undefined) {
        outbox.noteLoading('reload', reason);
        log.info({ reason, haproxyPid: next.connection.info.pid }, 'reloaded HAProxy');
      }
      return next;
    } catch (error) {
      if (!isUnwritable(error)) throw error;
      // What runs goes on, and is looked after; there may be space soon.
      this.#refused = { revision: wanted.revision, retryAt: clock.monotonic() + reloadEveryMs };
      outbox.setProblem('configuration', error.message);
      log.error({ reason: error.message }, 'cannot write a configuration, the one before stays');
      return undefined;
    }
  }

  async #reload(
    live: LiveHaproxy,
    list: BackendList,
    { wanted, onSwap }: { readonly wanted: Configuration; readonly onSwap: () => void },
    signal: AbortSignal,
  ): Promise<LiveHaproxy | undefined> {
    const { configStore, clock } = this.#deps;
    const refusal = await configStore.check(
      { configuration: wanted, targets: list.targets.values() },
      signal,
    );
    if (refusal !== undefined) {
      this.#refuse(wanted, refusal);
      return undefined;
    }
    this.#notBefore = clock.monotonic() + reloadEveryMs;
    onSwap();
    return await this.#swap(live, list, wanted, signal);
  }

  async #swap(
    live: LiveHaproxy,
    list: BackendList,
    wanted: Configuration,
    signal: AbortSignal,
  ): Promise<LiveHaproxy | undefined> {
    const { configStore, haproxy } = this.#deps;
    const connection = await configStore.exclusively(async (write) => {
      await write({ configuration: wanted, targets: list.targets.values() });
      await haproxy.writeServerState(await live.dumpState(list.targets));
      try {
        const loaded = await haproxy.reload(live.connection, signal);
        this.#noteLoaded(wanted);
        return loaded;
      } catch (error) {
        if (!isRefusal(error)) throw error;
        this.#refuse(wanted, error.message);
        if (this.#configuration !== undefined) {
          await write({ configuration: this.#configuration, targets: list.targets.values() });
        }
        return undefined;
      }
    });
    if (connection === undefined) return undefined;
    await this.#handOver(live);
    live.close();
    return await this.#attach(connection, signal);
  }

  /** Without that it repeats requests at the servers that it had, of which most are there. */
  async #handOver(live: LiveHaproxy): Promise<void> {
    try {
      await live.handOver();
    } catch (error) {
      // It had nothing left to do, and ended.
      this.#deps.log.debug({ err: error }, 'the old worker takes no orders');
    }
  }

  async #attach(connection: WorkerConnection, signal: AbortSignal): Promise<LiveHaproxy> {
    try {
      return await LiveHaproxy.attach(connection, this.#deps.haproxy, signal);
    } catch (error) {
      connection.client.close();
      throw error;
    }
  }

  /** A HAProxy that serves is never ended for being silent: it is waited for. */
  async #connect(signal: AbortSignal): Promise<WorkerConnection> {
    const { clock, haproxy } = this.#deps;
    const until = clock.monotonic() + patienceMs;
    for (;;) {
      try {
        return await haproxy.connect(signal);
      } catch (error) {
        signal.throwIfAborted();
        if (clock.monotonic() >= until) {
          await haproxy.killIfWithoutWorkers();
          throw new DomainError(
            'unavailable',
            `HAProxy runs but does not answer on its socket: ${messageOf(error)}`,
            { reason: 'HAPROXY_UNREACHABLE', cause: error },
          );
        }
      }
      await clock.sleep(pollMs, signal);
    }
  }

  async #configurationToStart(list: BackendList, signal: AbortSignal): Promise<Configuration> {
    const { clock, configStore, outbox } = this.#deps;
    const until = clock.monotonic() + patienceMs;
    for (;;) {
      const wanted = await configStore.configure(list.structure, new Set());
      if (this.#configuration !== undefined && wanted.revision === this.#refused?.revision) {
        return this.#configuration;
      }
      if (wanted.problem === undefined || clock.monotonic() >= until) {
        outbox.setProblem('ports', wanted.problem);
        return wanted;
      }
      await clock.sleep(pollMs, signal);
      signal.throwIfAborted();
    }
  }

  /** Somebody else, or an earlier moment, gave HAProxy what it runs. */
  #noteRunning(running: RunningConfiguration): void {
    this.#running = running;
    if (this.#configuration?.revision !== running.revision) this.#configuration = undefined;
  }

  #noteLoaded(configuration: Configuration): void {
    this.#configuration = configuration;
    this.#running = { revision: configuration.revision, ports: new Set(portsOf(configuration)) };
    this.#refused = undefined;
    this.#deps.onPauses(namesIn(pausesOf(configuration)));
    this.#deps.outbox.setProblem('configuration', undefined);
  }

  #refuse({ revision }: Configuration, words: string): void {
    const { clock, log, outbox } = this.#deps;
    this.#refused = { revision, retryAt: clock.monotonic() + retryRefusedAfterMs };
    outbox.setProblem('configuration', `HAProxy refused its configuration: ${words}`);
    log.error({ refusal: words }, 'HAProxy refused a configuration, the one before stays');
  }
}

function isUnwritable(error: unknown): error is DomainError {
  return error instanceof DomainError && error.reason === 'STATE_DIR_NOT_WRITABLE';
}

function isRefusal(error: unknown): error is DomainError {
  return error instanceof DomainError && error.reason === 'HAPROXY_NOT_LOADED';
}
