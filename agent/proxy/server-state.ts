import { socketAddress } from './addresses.ts';

/** What HAProxy does with new requests for a server. */
export type ServerMode = 'ready' | 'drain' | 'maint';

/** A server as `show servers state` has it. */
export interface KnownServer {
  readonly backend: string;
  /** Its name: the id of its target. */
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly mode: ServerMode;
  /** True: somebody gave it another weight, or stopped its checks. */
  readonly altered: boolean;
  /** Undefined until it was read back. */
  readonly numbers: ServerNumbers | undefined;
}

/**
 * HAProxy's numbers of a server and of its backend: the only sure way to ask for one, because a
 * frontend may have the name of a backend.
 */
export interface ServerNumbers {
  readonly backend: number;
  readonly server: number;
}

/** The counters of a server, as `show stat` has them. */
export interface ServerCounters {
  readonly backend: string;
  readonly id: string;
  /** Requests and connections that it works on, and those that wait for it. */
  readonly inFlight: number;
  /** Requests that it was given since its worker knows it. */
  readonly requests: number;
  /** By its checks; undefined while they say nothing. */
  readonly health: 'up' | 'down' | undefined;
  /** Why it is down, in HAProxy's words. */
  readonly healthMessage: string;
  /** How much may be in flight there; 0: anything. */
  readonly limit: number;
}

/** What `show info` says of the worker that answers. */
export interface WorkerInfo {
  readonly pid: number;
  readonly version: string;
  /** The `description` of its configuration. */
  readonly description: string;
  /** True: it has given its ports away and ends when its last connection does. */
  readonly stopping: boolean;
  readonly limits: WorkerLimits;
}

/** What a worker takes from all clients together. */
export interface WorkerLimits {
  /** Connections, now and by its configuration. */
  readonly connections: number;
  readonly configured: number;
  /** What is limited by the second besides, by the words of `set rate-limit`. No configuration of ours does that. */
  readonly rates: readonly string[];
}

const rateLimits = {
  ConnRateLimit: 'connections',
  SessRateLimit: 'sessions',
  SslRateLimit: 'ssl-sessions',
} as const;

/** What the master's `show proc` says. */
export interface ProcessList {
  /** How often loading failed since it last succeeded. */
  readonly failedReloads: number;
  readonly workers: readonly number[];
  /** Workers of earlier configurations that still have connections. */
  readonly oldWorkers: readonly number[];
}

/** What `show stat` says. */
export interface Counters {
  readonly servers: readonly ServerCounters[];
  readonly frontends: readonly FrontendCounters[];
}

const stateColumns = [
  ...['be_name', 'srv_name', 'srv_addr', 'srv_port', 'srv_admin_state'],
  ...['be_id', 'srv_id', 'srv_uweight', 'srv_iweight', 'srv_check_state'],
];
const counterColumns = [
  ...['pxname', 'svname', 'qcur', 'scur', 'slim', 'stot', 'status', 'type', 'check_status'],
];

/** Bits of `srv_admin_state`. */
const maintenanceBits = 1 | 2 | 4 | 32 | 64;
const drainBits = 8 | 16;
/** Bits of `srv_check_state`. */
const checkConfigured = 2;
const checkEnabled = 4;

/** Reads `show servers state` line by line; throws on a format other than 1. */
export class ServersStateReader {
  #format = '';
  #columns: Columns | undefined;

  /** The server of a line; undefined: the line is part of the head. */
  read(line: string): KnownServer | undefined {
    if (this.#columns === undefined) {
      this.#readHead(line);
      return undefined;
    }
    const [backend, id, address, port, admin, backendNumber, serverNumber, ...more] = pick(
      line,
      this.#columns,
    );
    const [weight, initialWeight, checks] = more;
    return {
      backend: backend ?? '',
      id: id ?? '',
      address: address ?? '',
      port: Number(port),
      mode: modeOf(Number(admin)),
      altered: weight !== initialWeight || isUnchecked(Number(checks)),
      numbers: { backend: Number(backendNumber), server: Number(serverNumber) },
    };
  }

  /** To be called after the last line: what has no head says nothing of servers, not that there are none. */
  finish(): void {
    if (this.#columns === undefined) throw this.#unknown();
  }

  #readHead(line: string): void {
    if (this.#format === '') this.#format = line.trim();
    else this.#columns = columnsOf(line.replace(/^# */, ''), ' ', stateColumns);
    if (this.#format !== '1') throw this.#unknown();
  }

  #unknown(): Error {
    return new Error(`HAProxy's server state has the unknown format "${this.#format}"`);
  }
}

/** Reads the whole of `show servers state`. */
export function parseServersState(text: string): KnownServer[] {
  const reader = new ServersStateReader();
  const servers = linesOf(text).flatMap((line) => reader.read(line) ?? []);
  reader.finish();
  return servers;
}

/** What a line of `show stat` says. */
export type CounterRow =
  | { readonly kind: 'server'; readonly server: ServerCounters }
  | { readonly kind: 'frontend'; readonly frontend: FrontendCounters };

/** What a line of `show stat` says of a frontend. */
export interface FrontendCounters {
  readonly name: string;
  readonly connections: number;
  /** HAProxy's word: OPEN, PAUSED or STOP. */
  readonly status: string;
  /** How many connections clients may have. */
  readonly limit: number;
}

/** Reads the servers and frontends of `show stat` line by line; rows of backends are left out. */
export class CountersReader {
  #columns: Columns | undefined;
  #words: Columns | undefined;

  read(line: string): CounterRow | undefined {
    if (this.#columns === undefined) {
      this.#columns = columnsOf(line.replace(/^# */, ''), ',', counterColumns);
      this.#words = columnsOf(line, ',', ['last_chk']);
      return undefined;
    }
    const [backend = '', id = '', queued, current, limit, total, status = '', type, check = ''] =
      pick(line, this.#columns);
    if (type === '0') {
      const frontend = {
        ...{ name: backend, connections: Number(current), status, limit: Number(limit) },
      };
      return { kind: 'frontend', frontend };
    }
    if (type !== '2') return undefined;
    const health = healthOf(status);
    const server = {
      backend,
      id,
      inFlight: Number(queued) + Number(current),
      requests: Number(total),
      health,
      healthMessage: health === 'down' ? whyDown(check, wordsIn(line, this.#words)) : '',
      limit: Number(limit),
    };
    return { kind: 'server', server };
  }
}

/** Reads the whole of `show stat`. */
export function parseCounters(text: string): Counters {
  const reader = new CountersReader();
  const servers: ServerCounters[] = [];
  const frontends: FrontendCounters[] = [];
  for (const line of linesOf(text)) {
    const row = reader.read(line);
    if (row?.kind === 'server') servers.push(row.server);
    else if (row?.kind === 'frontend') frontends.push(row.frontend);
  }
  return { servers, frontends };
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

/** Reads `show info`. */
export function parseInfo(text: string): WorkerInfo {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) values.set(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return {
    pid: Number(values.get('Pid') ?? 0),
    version: values.get('Version') ?? '',
    description: unquote(values.get('description') ?? ''),
    stopping: values.get('Stopping') === '1',
    limits: limitsIn(values),
  };
}

function limitsIn(values: ReadonlyMap<string, string>): WorkerLimits {
  const configured = Number(values.get('Hard_maxconn') ?? 0);
  const rates = Object.entries(rateLimits).filter(([key]) => Number(values.get(key) ?? 0) > 0);
  return {
    connections: Number(values.get('Maxconn') ?? configured),
    configured,
    rates: rates.map(([, words]) => words),
  };
}

/** HAProxy puts quotes around a description that has a comma, and doubles those within. */
function unquote(text: string): string {
  return /^".*"$/.test(text) ? text.slice(1, -1).replaceAll('""', '"') : text;
}

/** Reads the names of `show backend`. */
export function parseBackends(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/** Reads the master's `show proc`. */
export function parseProcesses(text: string): ProcessList {
  const failed = /\[failed: (\d+)\]/.exec(text);
  const workers: number[] = [];
  const oldWorkers: number[] = [];
  let section = workers;
  for (const line of text.split('\n')) {
    if (line.startsWith('# old workers')) section = oldWorkers;
    const [pid, type] = line.split(/\s+/);
    if (type === 'worker') section.push(Number(pid));
  }
  return { failedReloads: Number(failed?.[1] ?? 0), workers, oldWorkers };
}

/** Reads the ids of the streams that `show sess` has on a server. */
export function parseStreams(text: string, backend: string, id: string): string[] {
  const wanted = ` be=${backend} srv=${id} `;
  return text
    .split('\n')
    .filter((line) => line.includes(wanted))
    .map((line) => line.slice(0, line.indexOf(':')));
}

/** The address from which a stream is connected to its server, as `show sess` with its id says it; empty: it is not. */
export function localAddressOf(text: string): string {
  const [, address, port] = /^ *backend=.* addr=(\S+):(\d+)$/m.exec(text) ?? [];
  return address === undefined ? '' : socketAddress(address, Number(port));
}

function modeOf(adminState: number): ServerMode {
  if ((adminState & maintenanceBits) !== 0) return 'maint';
  return (adminState & drainBits) !== 0 ? 'drain' : 'ready';
}

/** It has checks, and they do not run. */
function isUnchecked(checkState: number): boolean {
  return (checkState & checkConfigured) !== 0 && (checkState & checkEnabled) === 0;
}

/** Statuses are UP, DOWN, DRAIN, MAINT, NOLB and 'no check', with a count while they change: `UP 1/3`. */
function healthOf(status: string): 'up' | 'down' | undefined {
  if (status.startsWith('UP') || status.startsWith('DRAIN') || status.startsWith('NOLB')) {
    return 'up';
  }
  return status.startsWith('DOWN') ? 'down' : undefined;
}

/** What checks meet, by HAProxy's names of it. */
const checkResults: Readonly<Record<string, string>> = {
  L4TOUT: 'does not answer connections',
  L4CON: 'refuses connections',
  L6TOUT: 'does not answer the TLS handshake',
  L6RSP: 'answers the TLS handshake wrongly',
  L7TOUT: 'does not answer the check in time',
  L7RSP: 'answers the check with something that is no HTTP',
  L7STS: 'answers the check with another status',
  L7OKC: 'says that it is not ready',
  SOCKERR: 'cannot be connected to from here',
  HANA: 'failed too many requests',
};

/** A star stands before the name while the next check is under way. */
function whyDown(check: string, words: string): string {
  const name = check.replace(/^\* /, '');
  const known = checkResults[name] ?? name;
  return words === '' ? known : `${known}: ${words}`;
}

/** The words of the last check are the first thing in a line that HAProxy may have to quote. */
function wordsIn(line: string, column: Columns | undefined): string {
  const [words = ''] = column === undefined ? [] : pick(line, column);
  if (!words.startsWith('"')) return words.trim();
  return (/"((?:[^"]|"")*)"/.exec(line)?.[1] ?? words).replaceAll('""', '"').trim();
}

/** Where the wanted columns of a table are. */
interface Columns {
  readonly separator: string;
  readonly wanted: readonly number[];
  /** What stands after the last wanted one is not looked at: a line of counters has a hundred. */
  readonly limit: number;
}

/** Columns are found by name: later versions add some in the middle. */
function columnsOf(header: string, separator: string, names: readonly string[]): Columns {
  const all = header.split(separator);
  const wanted = names.map((name) => {
    const column = all.indexOf(name);
    if (column < 0) throw new Error(`HAProxy's table has no column "${name}"`);
    return column;
  });
  return { separator, wanted, limit: Math.max(...wanted) + 1 };
}

function pick(line: string, { separator, wanted, limit }: Columns): (string | undefined)[] {
  const values = line.split(separator, limit);
  return wanted.map((column) => values[column]);
}
