import { pathOf, type Backend } from './backend-list.ts';
import { ownPrefix } from './config-settings.ts';
import type { HaproxyProcess, WorkerConnection } from './haproxy-process.ts';
import { pathOfStep, type ServerStep } from './plan-servers.ts';
import type { Reply } from './runtime-client.ts';
import { commandsOf } from './server-commands.ts';
import { slotKey, slotOf, stickyOf } from './slots.ts';
import {
  parseBackends,
  parseCounters,
  parseInfo,
  parseServersState,
  parseStreams,
  type KnownServer,
  type Counters,
  type ServerCounters,
} from './server-state.ts';
import type { ServerHost } from './target-applier.ts';

/** Up to so many servers are asked for one by one; more by their whole backend. */
const maxSingleReadings = 16;

/**
 * The HAProxy that runs, over one connection to the worker that serves: a model of its servers, which
 * follows every command and is read anew now and then, and the workers before it that still finish.
 */
export class LiveHaproxy implements ServerHost {
  /** Else servers go with the worker that read them from its file. */
  readonly dynamicServers: boolean;
  readonly #connection: WorkerConnection;
  readonly #haproxy: HaproxyProcess;
  readonly #servers = new Map<string, KnownServer>();
  readonly #backendNumbers = new Map<string, number>();
  #backends: ReadonlySet<string> = new Set();
  #settings: ReadonlyMap<string, Backend> = new Map();
  #settingsOf: readonly Backend[] = [];
  #oldWorkers: ReadonlySet<number>;
  /** The server that each slot of sticky backends leads to; undefined: to be read. */
  #slots: Map<string, string> | undefined;

  private constructor(
    connection: WorkerConnection,
    haproxy: HaproxyProcess,
    oldWorkers: Iterable<number>,
  ) {
    this.dynamicServers = haproxy.capabilitiesOf(connection.info.version).dynamicServers;
    this.#connection = connection;
    this.#haproxy = haproxy;
    this.#oldWorkers = new Set(oldWorkers);
  }

  static async attach(
    connection: WorkerConnection,
    haproxy: HaproxyProcess,
    signal: AbortSignal,
  ): Promise<LiveHaproxy> {
    const { oldWorkers } = await haproxy.processesOnceLoaded(signal);
    const live = new LiveHaproxy(connection, haproxy, oldWorkers);
    live.#backends = new Set(parseBackends(await connection.client.query('show backend')));
    await live.refresh();
    return live;
  }

  get connection(): WorkerConnection {
    return this.#connection;
  }

  /** HAProxy's servers by path. */
  get servers(): ReadonlyMap<string, KnownServer> {
    return this.#servers;
  }

  get backends(): ReadonlySet<string> {
    return this.#backends;
  }

  /** Says how servers of these backends are added. */
  useSettings(backends: readonly Backend[]): void {
    if (this.#settingsOf === backends) return;
    this.#settingsOf = backends;
    this.#settings = new Map(backends.map((backend) => [backend.name, backend]));
  }

  /** Reads the servers anew. */
  async refresh(): Promise<void> {
    const state = parseServersState(await this.#connection.client.query('show servers state'));
    this.#servers.clear();
    this.#slots = undefined;
    for (const server of state) {
      if (server.numbers !== undefined) {
        this.#backendNumbers.set(server.backend, server.numbers.backend);
      }
      if (!server.backend.startsWith(ownPrefix)) this.#servers.set(pathOf(server), server);
    }
  }

  /** False: somebody else reloaded HAProxy, and this worker is not the one that serves any more. */
  async serves(): Promise<boolean> {
    return !parseInfo(await this.#connection.client.query('show info')).stopping;
  }

  async refreshOldWorkers(signal: AbortSignal): Promise<void> {
    const { oldWorkers } = await this.#haproxy.processes(signal);
    this.#oldWorkers = new Set(oldWorkers);
  }

  /**
   * Sends the commands of all steps in one write, and returns HAProxy's words on the steps that it
   * refused, by path.
   */
  async carryOut(steps: readonly ServerStep[]): Promise<Map<string, string>> {
    await this.#readSlots(steps);
    const commands = steps.map((step) => this.#commandsOf(step));
    const replies = await this.#connection.client.sendAll(commands.flat());
    const refusals = new Map<string, string>();
    let next = 0;
    for (const [index, step] of steps.entries()) {
      const count = commands[index]?.length ?? 0;
      const refusal = refusalIn(replies.slice(next, next + count));
      next += count;
      if (refusal === undefined) this.#follow(step);
      else refusals.set(pathOfStep(step), refusal);
    }
    if (refusals.size > 0) this.#slots = undefined;
    return refusals;
  }

  /** Of sticky backends alone: for all others it costs nothing. */
  async #readSlots(steps: readonly ServerStep[]): Promise<void> {
    if (this.#slots !== undefined) return;
    if (!steps.some((step) => stickyOf(this.#settings.get(backendOf(step))) !== undefined)) return;
    const text = await this.#connection.client.query(`show map ${this.#haproxy.slotsPath}`);
    const lines = text.split('\n').filter((line) => line.startsWith('0x'));
    this.#slots = new Map(
      lines.map((line): [string, string] => {
        const [, key = '', id = ''] = line.split(' ');
        return [key, id];
      }),
    );
  }

  /** A slot leads to its server as soon as that is ready, and before the one that had it goes. */
  #commandsOf(step: ServerStep): string[] {
    const settings = this.#settings.get(backendOf(step));
    const commands = commandsOf(step, settings);
    const sticky = stickyOf(settings);
    if (sticky === undefined || this.#slots === undefined) return commands;
    const server = step.kind === 'add' ? step.target : step.server;
    const key = slotKey(server, sticky);
    if (step.kind === 'add' || step.kind === 'ready') {
      return [...commands, ...this.#leadTo(this.#slots, key, server.id)];
    }
    if (this.#slots.get(key) !== server.id) return commands;
    const other = [...this.#servers.values()].find(
      ({ backend, id, mode }) =>
        mode === 'ready' &&
        backend === server.backend &&
        id !== server.id &&
        slotOf(id) === slotOf(server.id),
    );
    return other === undefined
      ? commands
      : [...this.#leadTo(this.#slots, key, other.id), ...commands];
  }

  #leadTo(slots: Map<string, string>, key: string, id: string): string[] {
    const before = slots.get(key);
    if (before === id) return [];
    slots.set(key, id);
    return [`${before === undefined ? 'add' : 'set'} map ${this.#haproxy.slotsPath} ${key} ${id}`];
  }

  /** Counters of all frontends and servers of the worker that serves. */
  async counters(): Promise<Counters> {
    return parseCounters(await this.#connection.client.query('show stat -1 5 -1'));
  }

  /** For the next worker: which servers are down, or in drain. */
  async dumpState(): Promise<string> {
    return await this.#connection.client.query('show servers state');
  }

  /**
   * Requests and connections in flight on each path, over all workers. A server that should have been
   * counted and was not is left out: nothing is known of it, and that is not zero.
   */
  async readInFlight(paths: readonly string[], signal: AbortSignal): Promise<Map<string, number>> {
    const known = paths.flatMap((path) => this.#servers.get(path) ?? []);
    const replies = await this.#connection.client.sendAll(this.#readingCommands(known));
    const counters = new Map(
      replies
        .flatMap(({ text }) => parseCounters(text).servers)
        .map((row) => [pathOf(row), row.inFlight]),
    );
    const unknown = new Set(known.map(pathOf).filter((path) => !counters.has(path)));
    const sums = new Map(
      paths.filter((path) => !unknown.has(path)).map((path) => [path, counters.get(path) ?? 0]),
    );
    for (const pid of this.#oldWorkers) {
      for (const row of await this.#oldCounters(pid, signal)) {
        const sum = sums.get(pathOf(row));
        if (sum !== undefined) sums.set(pathOf(row), sum + row.inFlight);
      }
    }
    return sums;
  }

  /** Ends what is in flight on each path, in all workers. */
  async cut(paths: readonly string[], signal: AbortSignal): Promise<void> {
    const known = paths.filter((path) => this.#servers.has(path));
    await this.#connection.client.sendAll(known.map((path) => `shutdown sessions server ${path}`));
    for (const pid of this.#oldWorkers) {
      // An old worker refuses commands on servers, but not on streams.
      const streams = await this.#haproxy.askMaster(`@!${pid} show sess`, signal);
      for (const path of paths) {
        const [backend = '', id = ''] = path.split('/');
        for (const stream of parseStreams(streams, backend, id)) {
          await this.#haproxy.askMaster(`@!${pid} shutdown session ${stream}`, signal);
        }
      }
    }
  }

  /** After this a stop does not wait for a successor that never comes. */
  async endHandoffs(ports: Iterable<number>): Promise<void> {
    await this.#connection.client.sendAll(
      [...ports].map((port) => `set server ${ownPrefix}handoff-${port}/next state maint`),
    );
  }

  close(): void {
    this.#connection.client.close();
  }

  /** A worker that ended meanwhile has nothing in flight. */
  async #oldCounters(pid: number, signal: AbortSignal): Promise<readonly ServerCounters[]> {
    const text = await this.#haproxy.askMaster(`@!${pid} show stat -1 4 -1`, signal);
    if (text.startsWith('# pxname')) return parseCounters(text).servers;
    await this.refreshOldWorkers(signal);
    if (this.#oldWorkers.has(pid)) throw new Error(`old worker ${pid} said "${text.trim()}"`);
    return [];
  }

  /** Reading a whole backend of a thousand servers takes HAProxy 12 ms, so few are read one by one. */
  #readingCommands(servers: readonly KnownServer[]): string[] {
    const single = servers.length <= maxSingleReadings;
    const commands = servers.map(({ backend, numbers }) =>
      single && numbers !== undefined
        ? `show stat ${numbers.backend} 4 ${numbers.server}`
        : `show stat ${this.#backendNumbers.get(backend) ?? -1} 4 -1`,
    );
    return [...new Set(commands)];
  }

  #follow(step: ServerStep): void {
    const path = pathOfStep(step);
    if (step.kind === 'delete') {
      this.#servers.delete(path);
    } else if (step.kind === 'add') {
      const { backend, id, address, port } = step.target;
      this.#servers.set(path, { backend, id, address, port, mode: 'ready', numbers: undefined });
    } else {
      const server = this.#servers.get(path);
      const mode = step.kind === 'cut' ? 'maint' : step.kind;
      if (server !== undefined) this.#servers.set(path, { ...server, mode });
    }
  }
}

function backendOf(step: ServerStep): string {
  return step.kind === 'add' ? step.target.backend : step.server.backend;
}

function refusalIn(replies: readonly Reply[]): string | undefined {
  return replies.find(({ refusal }) => refusal !== undefined)?.refusal?.message;
}
