import { pathOf, type Backend, type Target } from './backend-list.ts';
import { isOwnName, ownPrefix } from './config-settings.ts';
import type { HaproxyProcess, WorkerConnection } from './haproxy-process.ts';
import { pathOfStep, type ServerStep } from './plan-servers.ts';
import type { Reply } from './runtime-client.ts';
import { commandsOf } from './server-commands.ts';
import { slotKey, slotOf, stickyOf } from './slots.ts';
import {
  CountersReader,
  localAddressOf,
  parseBackends,
  parseCounters,
  parseInfo,
  parseStreams,
  ServersStateReader,
  type KnownServer,
  type ServerCounters,
  type ServerNumbers,
} from './server-state.ts';
import { handOverCommand, successorName } from './successor.ts';
import type { ServerHost } from './target-applier.ts';

/** Up to so many servers are asked for one by one, and more while that is a part of all; else by backends. */
const maxSingleReadings = 16;
const partReadSingly = 1 / 2;
/**
 * So many steps are the first write, few enough to have HAProxy at work at once; each that follows is put into words
 * meanwhile and has four times as many, as each costs a call of the system and may wake HAProxy.
 */
const firstSteps = 8;
const maxSteps = 512;

/** What a step is to HAProxy. */
interface Order {
  readonly step: ServerStep;
  /** Of a server that it adds. */
  readonly numbers: ServerNumbers | undefined;
  readonly commands: readonly string[];
  /** The last command reads what is in flight. */
  readonly reads: boolean;
}

/**
 * The HAProxy that runs, over one connection to the worker that serves: a model of its servers, which
 * follows every command and is read anew now and then, and the workers before it that still finish.
 */
export class LiveHaproxy implements ServerHost {
  /** Else servers go with the worker that read them from its file. */
  readonly dynamicServers: boolean;
  /** Else a request whose stream is ended fails. */
  readonly repeatsEnded: boolean;
  readonly #connection: WorkerConnection;
  readonly #haproxy: HaproxyProcess;
  readonly #servers = new Map<string, KnownServer>();
  readonly #backendNumbers = new Map<string, number>();
  /** The highest number of a server in each backend. */
  readonly #lastNumbers = new Map<string, number>();
  #backends: ReadonlySet<string> = new Set();
  #settings: ReadonlyMap<string, Backend> = new Map();
  #settingsOf: readonly Backend[] = [];
  #oldWorkers: ReadonlySet<number>;
  /** What was in flight in this worker when the order to drain had just taken effect; taken by the first to ask. */
  readonly #firstReadings = new Map<string, number>();
  /** The server that each slot of sticky backends leads to; undefined: to be read. */
  #slots: Map<string, string> | undefined;

  private constructor(
    connection: WorkerConnection,
    haproxy: HaproxyProcess,
    oldWorkers: Iterable<number>,
  ) {
    const { dynamicServers, repeatsEnded } = haproxy.capabilitiesOf(connection.info.version);
    this.dynamicServers = dynamicServers;
    this.repeatsEnded = repeatsEnded;
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

  /** Reads the servers anew; what is as it was stays the same object. */
  async refresh(): Promise<void> {
    this.#slots = undefined;
    this.forgetReadings();
    const reader = new ServersStateReader();
    const found = new Set<KnownServer>();
    await this.#connection.client.readLines('show servers state', (line) => {
      const server = reader.read(line);
      if (server !== undefined) found.add(this.#keep(server));
    });
    reader.finish();
    for (const [path, server] of this.#servers) if (!found.has(server)) this.#servers.delete(path);
  }

  /** False: somebody else reloaded HAProxy, and this worker is not the one that serves any more. */
  async serves(): Promise<boolean> {
    return !parseInfo(await this.#connection.client.query('show info')).stopping;
  }

  /** Has every slot of sticky backends lead to a target that has it and is ready, as far as there is one. */
  async mendSlots(targets: ReadonlyMap<string, Target>): Promise<void> {
    if (this.#settingsOf.every((backend) => stickyOf(backend) === undefined)) return;
    const slots = (this.#slots ??= await this.#readSlots());
    const wrong = new Map<string, string>();
    const right = new Set<string>();
    for (const [path, { backend, id, mode }] of targets) {
      const sticky = stickyOf(this.#settings.get(backend));
      if (sticky === undefined || mode !== 'ready') continue;
      if (this.#servers.get(path)?.mode !== 'ready') continue;
      const key = slotKey({ backend, id }, sticky);
      if (slots.get(key) === id) right.add(key);
      else wrong.set(key, id);
    }
    for (const key of right) wrong.delete(key);
    const commands = [...wrong].flatMap(([key, id]) => this.#leadTo(slots, key, id));
    await this.#connection.client.sendAll(commands);
  }

  /** Whether there are workers that were replaced and have not ended, as far as is known. */
  get hasOldWorkers(): boolean {
    return this.#oldWorkers.size > 0;
  }

  async refreshOldWorkers(signal: AbortSignal): Promise<void> {
    const { oldWorkers } = await this.#haproxy.processes(signal);
    this.#oldWorkers = new Set(oldWorkers);
  }

  /**
   * Sends the commands of all steps without waiting for answers in between, and returns HAProxy's words on the
   * steps that it refused, by path. It works on the first while the next are put into words.
   */
  async carryOut(steps: readonly ServerStep[]): Promise<Map<string, string>> {
    // Of sticky backends alone: for all others it costs nothing.
    if (steps.some((step) => stickyOf(this.#settings.get(backendOf(step))) !== undefined)) {
      this.#slots ??= await this.#readSlots();
    }
    const refusals = new Map<string, string>();
    const sent: Promise<void>[] = [];
    const reads = steps.filter(({ kind }) => kind === 'drain').length <= maxSingleReadings;
    for (let from = 0, count = firstSteps; from < steps.length; from += count) {
      if (from > 0) count = Math.min(count * 4, maxSteps);
      const orders = steps.slice(from, from + count).map((step) => this.#orderOf(step, reads));
      sent.push(this.#carryOutSome(orders, refusals));
    }
    await Promise.all(sent);
    if (refusals.size > 0) this.#slots = undefined;
    return refusals;
  }

  async #carryOutSome(orders: readonly Order[], refusals: Map<string, string>): Promise<void> {
    const replies = await this.#connection.client.sendAll(orders.flatMap((each) => each.commands));
    let next = 0;
    for (const { step, numbers, commands, reads } of orders) {
      const end = next + commands.length;
      const refusal = refusalIn(replies, next, end);
      next = end;
      if (refusal === undefined) {
        this.#follow(step, numbers);
        if (reads) this.#noteFirstReading(pathOfStep(step), replies[end - 1]);
      } else {
        refusals.set(pathOfStep(step), refusal);
      }
    }
  }

  /** What drains is read at once: in the same write it wakes neither HAProxy nor us once more. */
  #orderOf(step: ServerStep, withReading: boolean): Order {
    const numbers = this.#numberFor(step);
    const commands = this.#commandsOf(step, numbers?.server);
    const known =
      withReading && step.kind === 'drain' ? this.#servers.get(pathOfStep(step)) : undefined;
    if (known?.numbers === undefined) return { step, numbers, commands, reads: false };
    return { step, numbers, commands: [...commands, readingCommand(known.numbers)], reads: true };
  }

  #noteFirstReading(path: string, reply: Reply | undefined): void {
    const [row] = parseCounters(reply?.text ?? '').servers;
    if (row !== undefined && pathOf(row) === path) this.#firstReadings.set(path, row.inFlight);
  }

  async #readSlots(): Promise<Map<string, string>> {
    const text = await this.#connection.client.query(`show map ${this.#haproxy.slotsPath}`);
    const lines = text.split('\n').filter((line) => line.startsWith('0x'));
    return new Map(
      lines.map((line): [string, string] => {
        const [, key = '', id = ''] = line.split(' ');
        return [key, id];
      }),
    );
  }

  /** A slot leads to its server as soon as that is ready, and before the one that had it goes. */
  #commandsOf(step: ServerStep, number: number | undefined): string[] {
    const settings = this.#settings.get(backendOf(step));
    const commands = commandsOf(step, settings, number);
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

  /**
   * Hands over the counters of all servers of the worker that serves; returns connections of clients by
   * frontend.
   */
  async readCounters(
    onServer: (counters: ServerCounters) => void,
  ): Promise<ReadonlyMap<string, number>> {
    const reader = new CountersReader();
    const frontends = new Map<string, number>();
    await this.#connection.client.readLines('show stat -1 5 -1', (line) => {
      const row = reader.read(line);
      if (row?.kind === 'server') onServer(row.server);
      else if (row?.kind === 'frontend') frontends.set(row.frontend.name, row.frontend.connections);
    });
    return frontends;
  }

  /**
   * For the next worker: which servers are down, or in drain. Those that have moved are left out: they would go back
   * to the port of before.
   */
  async dumpState(targets: ReadonlyMap<string, Target>): Promise<string> {
    const reader = new ServersStateReader();
    const lines: string[] = [];
    await this.#connection.client.readLines('show servers state', (line) => {
      const server = reader.read(line);
      const target = server === undefined ? undefined : targets.get(pathOf(server));
      const stays = target?.port === server?.port && target?.address === server?.address;
      if (target === undefined || stays) lines.push(line);
    });
    // Of a last line without an end HAProxy says that it is corrupted, and its server is as if nothing was known.
    return `${lines.join('\n')}\n`;
  }

  /**
   * Requests and connections in flight on each path, over all workers. A server that should have been
   * counted and was not is left out: nothing is known of it, and that is not zero.
   */
  async readInFlight(paths: readonly string[], signal: AbortSignal): Promise<Map<string, number>> {
    const counters = this.#takeFirstReadings(paths);
    const known = paths.flatMap((path) =>
      counters.has(path) ? [] : (this.#servers.get(path) ?? []),
    );
    const replies = await this.#connection.client.sendAll(this.#readingCommands(known));
    for (const row of replies.flatMap(({ text }) => parseCounters(text).servers)) {
      counters.set(pathOf(row), row.inFlight);
    }
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

  /** To be called when readings from before do not count any more. */
  forgetReadings(): void {
    this.#firstReadings.clear();
  }

  #takeFirstReadings(paths: readonly string[]): Map<string, number> {
    const taken = new Map<string, number>();
    for (const path of paths) {
      const inFlight = this.#firstReadings.get(path);
      if (inFlight !== undefined) taken.set(path, inFlight);
    }
    this.forgetReadings();
    return taken;
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

  /** Ends what is in flight on a server over connections from these addresses; returns how much that was. */
  async endStreams(
    { backend, id }: Pick<KnownServer, 'backend' | 'id'>,
    local: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<number> {
    const { client } = this.#connection;
    const streams = parseStreams(await client.query('show sess'), backend, id);
    const details = await client.sendAll(streams.map((stream) => `show sess ${stream}`));
    const ended = streams.filter((_, at) => local.has(localAddressOf(details[at]?.text ?? '')));
    await client.sendAll(ended.map((stream) => `shutdown session ${stream}`));
    let count = ended.length;
    for (const pid of this.#oldWorkers) {
      const ask = (command: string) => this.#haproxy.askMaster(`@!${pid} ${command}`, signal);
      for (const stream of parseStreams(await ask('show sess'), backend, id)) {
        if (!local.has(localAddressOf(await ask(`show sess ${stream}`)))) continue;
        await ask(`shutdown session ${stream}`);
        count++;
      }
    }
    return count;
  }

  /** After this a stop does not wait for a successor that never comes. */
  async endHandoffs(ports: Iterable<number>): Promise<void> {
    await this.#connection.client.sendAll(
      [...ports].map((port) => `set server ${ownPrefix}handoff-${port}/next state maint`),
    );
  }

  /** Has it, once it was replaced, repeat requests at its successor. One without the script does not know how. */
  async handOver(): Promise<void> {
    await this.#connection.client.sendAll([handOverCommand]);
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
    const single =
      servers.length <= Math.max(maxSingleReadings, this.#servers.size * partReadSingly);
    const commands = servers.map(({ backend, numbers }) =>
      single && numbers !== undefined
        ? readingCommand(numbers)
        : `show stat ${this.#backendNumbers.get(backend) ?? -1} 4 -1`,
    );
    return [...new Set(commands)];
  }

  /** The numbers of a server that is to be added; undefined: HAProxy chooses them, or it is known already. */
  #numberFor(step: ServerStep): ServerNumbers | undefined {
    const backend = this.#backendNumbers.get(backendOf(step));
    if (step.kind !== 'add' || backend === undefined) return undefined;
    const server = (this.#lastNumbers.get(step.target.backend) ?? 0) + 1;
    this.#lastNumbers.set(step.target.backend, server);
    return { backend, server };
  }

  #keep(server: KnownServer): KnownServer {
    if (server.numbers !== undefined) {
      this.#backendNumbers.set(server.backend, server.numbers.backend);
      if (server.id === successorName) return server;
      const { server: number } = server.numbers;
      const last = this.#lastNumbers.get(server.backend) ?? 0;
      if (number > last) this.#lastNumbers.set(server.backend, number);
    }
    if (isOwnName(server.backend)) return server;
    const known = this.#servers.get(pathOf(server));
    if (known !== undefined && sameServer(known, server)) return known;
    const kept = detached(server);
    this.#servers.set(pathOf(kept), kept);
    return kept;
  }

  #follow(step: ServerStep, numbers: ServerNumbers | undefined): void {
    const path = pathOfStep(step);
    this.#firstReadings.delete(path);
    if (step.kind === 'delete') {
      this.#servers.delete(path);
    } else if (step.kind === 'add') {
      const { backend, id, address, port } = step.target;
      const added = { backend, id, address, port, altered: false, numbers };
      this.#servers.set(path, { ...added, mode: 'ready' });
    } else {
      const server = this.#servers.get(path);
      const mode = step.kind === 'cut' ? 'maint' : step.kind;
      const altered = step.kind !== 'ready' && server?.altered === true;
      if (server !== undefined) this.#servers.set(path, { ...server, mode, altered });
    }
  }
}

function sameServer(a: KnownServer, b: KnownServer): boolean {
  return (
    a.mode === b.mode &&
    a.altered === b.altered &&
    a.port === b.port &&
    a.address === b.address &&
    a.numbers?.server === b.numbers?.server &&
    a.numbers?.backend === b.numbers?.backend
  );
}

/** With words of its own: those that were read are parts of all that came with them, and would keep it. */
function detached(server: KnownServer): KnownServer {
  const copy = (text: string) => Buffer.from(text, 'latin1').toString('latin1');
  return {
    ...server,
    backend: copy(server.backend),
    id: copy(server.id),
    address: copy(server.address),
  };
}

function readingCommand({ backend, server }: ServerNumbers): string {
  return `show stat ${backend} 4 ${server}`;
}

function backendOf(step: ServerStep): string {
  return step.kind === 'add' ? step.target.backend : step.server.backend;
}

function refusalIn(replies: readonly Reply[], from: number, to: number): string | undefined {
  for (let index = from; index < to; index++) {
    const refusal = replies[index]?.refusal;
    if (refusal !== undefined) return refusal.message;
  }
  return undefined;
}
