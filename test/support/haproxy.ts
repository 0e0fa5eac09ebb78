import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, createServer, request, type Server, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { capabilitiesOf } from '../../agent/proxy/capabilities.ts';
import type { ProxyAgentConfig } from '../../agent/proxy/config.ts';
import { runProxyAgent, type ProxyAgentDeps } from '../../agent/proxy/proxy-agent.ts';
import { RuntimeClient } from '../../agent/proxy/runtime-client.ts';
import {
  parseInfo,
  parseServersState,
  type KnownServer,
  type WorkerInfo,
} from '../../agent/proxy/server-state.ts';
import { systemClock } from '../../shared/clock.ts';
import { systemRandom } from '../../shared/random.ts';
import { eventually } from './eventually.ts';
import { proxyToken } from './fake-proxy-coordinator.ts';
import { TemporaryDirectory } from './temporary-directory.ts';

const never = new AbortController().signal;
/** Which HAProxy the tests drive: that of the system, or another version (see CONTRIBUTING.md). */
export const haproxyProgram = process.env['FAIRLEAD_TEST_HAPROXY'] ?? 'haproxy';
const root = fileURLToPath(new URL('../..', import.meta.url));

/** Whether a frontend may be called as a backend is: HAProxy 3.3 and later refuse the file. */
export function takesOneNameTwice(): boolean {
  const said = execFileSync(haproxyProgram, ['-v'], { encoding: 'utf8' });
  const [, major = '0', minor = '0'] = /version (\d+)\.(\d+)/.exec(said) ?? [];
  return Number(major) * 1_000 + Number(minor) < 3_003;
}

/** A TCP port of the loopback address that nobody has at the moment. */
export async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * A small web server behind HAProxy: says its name, and on `/slow` only when it is told to go on.
 */
export class TestBackend implements AsyncDisposable {
  readonly name: string;
  /** Header fields of each request, in the order in which they began. */
  readonly headers: NodeJS.Dict<string | string[]>[] = [];
  /** What each asked for. */
  readonly urls: string[] = [];
  readonly #server: Server;
  readonly #waiting: ServerResponse[] = [];

  private constructor(name: string) {
    this.name = name;
    this.#server = createServer((incoming, response) => {
      this.headers.push(incoming.headers);
      this.urls.push(incoming.url ?? '');
      if (incoming.url === '/slow') this.#waiting.push(response);
      else if (incoming.url === '/text') {
        response.setHeader('content-type', 'text/plain');
        response.end(name.repeat(1_000));
      } else response.end(name);
    });
  }

  static async start(name: string): Promise<TestBackend> {
    const backend = new TestBackend(name);
    backend.#server.listen(0, '127.0.0.1');
    await once(backend.#server, 'listening');
    return backend;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Requests that began here. */
  get requests(): number {
    return this.headers.length;
  }

  /** Slow requests that wait for their answer. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Answers the slow requests. */
  finishSlow(): void {
    for (const response of this.#waiting.splice(0)) response.end(this.name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

/** A state directory, and the end of the HAProxy in it. */
export class HaproxyDirectory implements AsyncDisposable {
  readonly #directory = new TemporaryDirectory();

  get path(): string {
    return this.#directory.path;
  }

  /** Process id of the master that was last started; undefined if none is alive. */
  get masterPid(): number | undefined {
    const pid = Number(this.read('haproxy.pid'));
    return pid > 0 && commandOf(pid).includes(this.path) ? pid : undefined;
  }

  read(file: string): string {
    try {
      return readFileSync(join(this.path, file), 'utf8');
    } catch {
      return '';
    }
  }

  /** What the worker that serves says of itself. */
  async info(): Promise<WorkerInfo> {
    return parseInfo(await this.ask('show info'));
  }

  /** HAProxy's own servers of targets, by id. */
  async servers(): Promise<Map<string, KnownServer>> {
    const servers = parseServersState(await this.ask('show servers state'));
    return new Map(
      servers
        .filter(({ backend, id }) => !`${backend} ${id}`.includes('fairlead-'))
        .map((each) => [each.id, each]),
    );
  }

  async ask(command: string): Promise<string> {
    using client = await RuntimeClient.open(
      { socketPath: join(this.path, 'admin.sock'), timeoutMs: 5_000 },
      never,
    );
    return await client.query(command);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pid = this.masterPid;
    if (pid !== undefined) {
      process.kill(pid, 'SIGTERM');
      await eventually(() => {
        if (this.masterPid !== undefined) throw new Error('HAProxy did not end');
      });
    }
    await this.#directory[Symbol.asyncDispose]();
  }
}

/** Configuration of an agent under test. */
export function proxyConfig(
  options: Partial<ProxyAgentConfig> & Pick<ProxyAgentConfig, 'coordinator' | 'stateDir'>,
): ProxyAgentConfig {
  return {
    token: proxyToken,
    service: 'lb',
    proxyId: undefined,
    name: 'lb-1',
    haproxy: haproxyProgram,
    maxConnections: 500,
    statsPort: 0,
    statsAuth: undefined,
    metricsPort: 0,
    metricsAddress: '127.0.0.1',
    accessLog: false,
    onStop: 'keep',
    stopGraceMs: 5_000,
    logLevel: 'debug',
    ...options,
  };
}

/** A proxy agent in this process. */
export class RunningProxyAgent implements AsyncDisposable {
  /** What it logged. */
  readonly log: Record<string, unknown>[] = [];
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  /** `pressure`: whether programs of its host wait for processors, whatever the machine is doing. */
  constructor(
    config: ProxyAgentConfig,
    capabilities = capabilitiesOf,
    pressure: ProxyAgentDeps['pressure'] = { isHigh: false },
  ) {
    const log = pino(
      { level: config.logLevel },
      { write: (line: string) => this.log.push(JSON.parse(line) as Record<string, unknown>) },
    );
    this.#running = runProxyAgent(
      config,
      {
        ...{ clock: systemClock, random: systemRandom, log },
        ...{ capabilitiesOf: capabilities, pressure },
      },
      this.#stop.signal,
    );
    this.#running.catch(() => undefined);
  }

  /** Resolves when it has ended; rejects with what ended it. */
  get ended(): Promise<void> {
    return this.#running;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running.catch(() => undefined);
  }
}

/** A proxy agent in a process of its own, to be killed. */
export class SpawnedProxyAgent implements AsyncDisposable {
  readonly #child: ChildProcess;

  /** `behind` is a command that runs it, with the first of its arguments. */
  constructor(config: ProxyAgentConfig, behind: readonly string[] = []) {
    const entry = join(root, 'agent/proxy/entry.ts');
    const [command, ...args] = [...behind, process.execPath, '--import', 'tsx', entry];
    this.#child = spawn(command, args, {
      cwd: root,
      env: {
        PATH: process.env['PATH'],
        FAIRLEAD_ADDRESS: config.coordinator,
        FAIRLEAD_AUTH: `Bearer ${config.token}`,
        FAIRLEAD_SERVICE_ID: config.service,
        FAIRLEAD_STATE_DIR: config.stateDir,
        FAIRLEAD_MAX_CONNECTIONS: String(config.maxConnections),
        FAIRLEAD_STATS_PORT: String(config.statsPort),
        FAIRLEAD_ACCESS_LOG: config.accessLog ? 'on' : 'off',
        FAIRLEAD_HAPROXY: config.haproxy,
        FAIRLEAD_ON_STOP: config.onStop,
        FAIRLEAD_LOG_LEVEL: 'silent',
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }

  /** Ends it without a chance to do anything. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** One request through HAProxy, on a connection of its own unless an agent is given. */
export async function get(
  port: number,
  path = '/',
  {
    agent,
    method = 'GET',
    headers = {},
  }: { agent?: Agent; method?: string; headers?: Record<string, string> } = {},
): Promise<{ readonly status: number; readonly body: string }> {
  return await new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, method, headers, agent: agent ?? false };
    request(options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body });
      });
      response.on('error', reject);
    })
      .on('error', reject)
      .end();
  });
}

/** What a load came to. */
export interface LoadResult {
  readonly requests: number;
  /** Each request that did not get a 200, in words. */
  readonly failures: readonly string[];
  /** Requests by the name of the backend that answered. */
  readonly answers: ReadonlyMap<string, number>;
}

/**
 * A bounded load: some clients that keep their connections and some that do not, each with one request
 * at a time and a short pause between.
 */
export class Load {
  readonly #port: number;
  readonly #path: string;
  readonly #headers: Record<string, string>;
  readonly #stop = new AbortController();
  readonly #clients: Promise<void>[];
  readonly #failures: string[] = [];
  readonly #answers = new Map<string, number>();
  #requests = 0;

  constructor(port: number, { keepAlive = 6, fresh = 3, path = '/', host = '' } = {}) {
    this.#port = port;
    this.#path = path;
    this.#headers = host === '' ? {} : { host };
    this.#clients = [
      ...Array.from({ length: keepAlive }, () => this.#client(true)),
      ...Array.from({ length: fresh }, () => this.#client(false)),
    ];
  }

  get requests(): number {
    return this.#requests;
  }

  /** Resolves when `count` more requests were answered. */
  async more(count: number): Promise<void> {
    const until = this.#requests + count;
    await eventually(
      () => {
        if (this.#requests < until) throw new Error(`${until - this.#requests} requests to go`);
      },
      { intervalMs: 5 },
    );
  }

  async stop(): Promise<LoadResult> {
    this.#stop.abort();
    await Promise.all(this.#clients);
    return { requests: this.#requests, failures: this.#failures, answers: this.#answers };
  }

  async #client(keepAlive: boolean): Promise<void> {
    const agent = new Agent({ keepAlive, maxSockets: 1 });
    while (!this.#stop.signal.aborted) {
      try {
        const { status, body } = await get(this.#port, this.#path, {
          ...{ agent, headers: this.#headers },
        });
        if (status === 200) this.#answers.set(body, (this.#answers.get(body) ?? 0) + 1);
        else this.#failures.push(`status ${status}`);
      } catch (error) {
        this.#failures.push(String(error));
      }
      this.#requests++;
      await systemClock.sleep(4, this.#stop.signal);
    }
    agent.destroy();
  }
}

function commandOf(pid: number): string {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return basename(command[0] ?? '') === 'haproxy' ? command.join(' ') : '';
  } catch {
    return '';
  }
}
