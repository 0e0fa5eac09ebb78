import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ApiRole,
  connect,
  NodeState,
  PlacementStrategy,
  PortProtocol,
  Role,
  type FairleadClient,
} from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';
import { layOutFirstProgram } from '../../support/first-programs.ts';
import { programs, requireBuild } from '../../support/fleet/programs.ts';
import { Installation } from '../../support/installation.ts';
import { prepareImages } from '../../support/lab/images.ts';
import type { LabHost } from '../../support/lab/lab-host.ts';
import type { LabProcess } from '../../support/lab/lab-process.ts';
import { Lab } from '../../support/lab/lab.ts';
import { describeWithLab } from '../../support/needs.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { Load } from '../../tutorial/load.ts';

// What programs of then and of now do with each other. first-contract.test.ts says more than they do.

const { signal } = new AbortController();
const image = 'fairlead-lab/hello:1';
const patience = { timeoutMs: 30_000 };

const unpacked = new TemporaryDirectory();
let first: string;
let unsecured: string;
const today = programs.cli;

beforeAll(() => {
  requireBuild();
  first = layOutFirstProgram('first', unpacked.join('first'));
  unsecured = layOutFirstProgram('unsecured', unpacked.join('unsecured'));
});
afterAll(() => unpacked[Symbol.asyncDispose]());

/** A coordinator at the gateway of a lab, and a host with an agent and a load balancer, each of some version. */
class Site {
  client!: FairleadClient;
  #coordinator: LabProcess | undefined;
  #agent: LabProcess | undefined;
  #proxy: LabProcess | undefined;
  readonly #lab: Lab;
  readonly #host: LabHost;
  readonly #port: number;
  #joinToken = '';
  #proxyToken = '';

  constructor(lab: Lab, host: LabHost, port: number) {
    this.#lab = lab;
    this.#host = host;
    this.#port = port;
  }

  get #address(): string {
    return `${this.#lab.gateway}:${this.#port}`;
  }

  /** Replaces the coordinator that runs, on the same state; resolves when the new one answers. */
  async runCoordinator(program: string): Promise<void> {
    await this.#coordinator?.stop(10_000, signal);
    const stateDir = `${this.#lab.directory}/${this.#host.name}-coordinator`;
    const flags = {
      ...{ 'state-dir': stateDir, listen: this.#address },
      'http-listen': `${this.#lab.gateway}:${this.#port + 1}`,
    };
    const args = [program, 'coordinator', 'run', ...flagsOf(flags)];
    const name = `${this.#host.name}-coordinator`;
    const started = await this.#lab.spawn(process.execPath, args, { name });
    const isFirst = this.#coordinator === undefined;
    this.#coordinator = started;
    await eventually(async () => {
      if (!started.isRunning()) throw new Error(`it ended:\n${started.log()}`);
      const token = readFileSync(`${stateDir}/admin.token`, 'utf8').trim();
      if (isFirst) this.client = await connect({ address: this.#address, token });
      await this.client.control.getInfo({}, { deadlineMs: 2_000 });
    }, patience);
  }

  /** Replaces the agent that runs, on the same state. */
  async runAgent(program: string): Promise<void> {
    await this.#agent?.stop(10_000, signal);
    this.#joinToken ||= await this.#token(Role.NODE, []);
    const flags = {
      ...{ coordinator: this.#address, token: this.#joinToken, name: this.#host.name },
      ...{ 'state-dir': `${this.#host.directory}/agent`, 'docker-socket': this.#host.dockerSocket },
      'advertise-address': this.#host.address,
    };
    const args = [program, 'agent', 'run', ...flagsOf(flags)];
    this.#agent = await this.#host.spawn(process.execPath, args, { name: 'agent' });
  }

  /** Replaces the proxy agent that runs, on the same state. */
  async runProxy(program: string): Promise<void> {
    await this.#proxy?.stop(10_000, signal);
    this.#proxyToken ||= await this.#token(Role.PROXY, ['lb']);
    const flags = {
      ...{ coordinator: this.#address, token: this.#proxyToken, service: 'lb' },
      ...{ name: 'edge', 'state-dir': `${this.#host.directory}/proxy` },
    };
    const args = [program, 'proxy', 'run', ...flagsOf(flags)];
    this.#proxy = await this.#host.spawn(process.execPath, args, { name: 'proxy' });
  }

  /** A service of one container, and a load balancer on the plain host that is linked to it. */
  async runWeb(): Promise<void> {
    const { control } = this.client;
    const ports = [{ containerPort: 80, protocol: PortProtocol.TCP, published: true }];
    const { action } = await control.createService({
      name: 'web',
      spec: {
        ...{ image, replicas: 1, strategy: PlacementStrategy.EMPTIEST_NODE, ports },
        // A coordinator that has just started does not know whether more proxies than those that it hears run on
        // plain hosts: for their sake it drains to the end.
        drainTimeoutMs: 1_000,
      },
      start: true,
    });
    await this.client.waitForAction(action!.id, patience);
    await control.createService({
      name: 'lb',
      spec: {
        ...{ image: 'lb:1', replicas: 1, apiRole: ApiRole.PROXY },
        links: [{ service: 'web', alias: 'web' }],
        ports: [{ ...ports[0]!, hostPort: 80 }],
      },
    });
  }

  async scale(replicas: number): Promise<void> {
    const { action } = await this.client.control.scaleService({ service: 'web', replicas });
    await this.client.waitForAction(action!.id, patience);
  }

  async ready(): Promise<void> {
    await eventually(async () => {
      const { node } = await this.client.control.getNode({ node: this.#host.name });
      expect(node).toMatchObject({ state: NodeState.READY });
    }, patience);
  }

  /** Resolves once the proxy has in effect all that it is to have: so many containers. */
  async inEffect(count: number): Promise<void> {
    await eventually(async () => {
      const [proxy] = (await this.client.control.listProxies({})).proxies;
      expect(proxy).toMatchObject({ connected: true, name: 'edge' });
      expect(proxy?.servers).toHaveLength(count);
      expect(proxy?.appliedVersion).toBe(proxy?.publishedVersion);
    }, patience);
  }

  /** Where the load balancer answers. */
  get url(): string {
    return `http://${this.#host.address}/`;
  }

  /** What runs on the host, oldest first, and since when. */
  async engines(): Promise<string[]> {
    const ids = await this.#host.docker(['ps', '--quiet', '--no-trunc'], signal);
    const each = ids.split('\n').filter((id) => id !== '');
    const format = ['inspect', '--format', '{{.Id}} {{.State.StartedAt}}'];
    return (await this.#host.docker([...format, ...each], signal)).trim().split('\n').reverse();
  }

  /** Reads the log of a container to its end. */
  async readLog(container: string): Promise<void> {
    const log = this.client.control.containerLogs({ container })[Symbol.asyncIterator]();
    while ((await log.next()).done !== true);
  }

  async #token(role: Role, services: readonly string[]): Promise<string> {
    const wish = { name: `token-${role}`, role, services: [...services] };
    return (await this.client.control.createToken(wish)).secret;
  }

  async close(): Promise<void> {
    await this.client[Symbol.asyncDispose]();
  }
}

function flagsOf(flags: Readonly<Record<string, string>>): string[] {
  return Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
}

describeWithLab('programs of the first contract and of today', () => {
  let lab: Lab;

  beforeAll(async () => {
    const images = await prepareImages({ hello: image }, signal);
    lab = await Lab.start({ hosts: 2, images, label: 'first programs' }, signal);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  test.concurrent(
    'one after the other is upgraded, the coordinator first: no request fails, and no container is touched',
    async () => {
      const site = new Site(lab, lab.hosts[0]!, 7_600);
      await site.runCoordinator(first);
      await site.runAgent(first);
      await site.ready();
      await site.runWeb();
      await site.runProxy(first);
      await site.inEffect(1);
      const [web] = await site.engines();
      await using load = new Load(site.url, { workers: 2, pauseMs: 10 }, signal);

      // Both agents of then do what a coordinator of today says.
      await site.runCoordinator(today);
      await site.ready();
      await site.inEffect(1);
      await site.scale(3);
      await site.inEffect(3);
      expect(await site.engines()).toContain(web);
      // What they do not know is refused in words, and breaks nothing.
      await expect(site.readLog('web-1')).rejects.toThrow(
        'the agent of host-1 is older than this coordinator and does not know "logs"; install the newer one there',
      );

      await site.runAgent(today);
      await site.ready();
      await site.scale(2);
      await site.inEffect(2);
      await site.runProxy(today);
      await site.inEffect(2);
      await site.scale(1);
      await site.inEffect(1);
      expect(await site.engines()).toEqual([web]);
      await load[Symbol.asyncDispose]();
      expect(load.failures).toEqual([]);
      expect(load.entries.length).toBeGreaterThan(20);
      await site.close();
    },
    120_000,
  );

  test.concurrent(
    'agents of today do what a coordinator of then says, and join it',
    async () => {
      const site = new Site(lab, lab.hosts[1]!, 7_610);
      await site.runCoordinator(first);
      await site.runAgent(today);
      await site.ready();
      await site.runWeb();
      await site.runProxy(today);
      await site.inEffect(1);
      await site.scale(2);
      await site.inEffect(2);
      const [web] = await site.engines();
      await using load = new Load(site.url, { workers: 2, pauseMs: 10 }, signal);
      await eventually(() => {
        expect(new Set(load.entries.map(({ outcome }) => outcome)).size).toBe(2);
      }, patience);
      await site.scale(1);
      await site.inEffect(1);
      await load[Symbol.asyncDispose]();
      expect(load.failures).toEqual([]);
      expect(await site.engines()).toEqual([web]);
      await site.close();
    },
    120_000,
  );
});

/** A program that runs until it is disposed of, and what it wrote. */
class Running implements AsyncDisposable {
  #output = '';
  readonly #process;
  readonly #closed: Promise<unknown>;

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const options = { env: { PATH: process.env['PATH'], ...env }, stdio: 'pipe' } as const;
    this.#process = spawn(process.execPath, args, options);
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.on('data', (part: Buffer) => (this.#output += part.toString()));
    }
    this.#closed = once(this.#process, 'close');
  }

  get output(): string {
    return this.#output;
  }

  /** Resolves once it has written this; with the first group, if there is one. */
  async wrote(pattern: RegExp): Promise<string> {
    return await eventually(() => {
      const match = pattern.exec(this.#output);
      if (match === null) throw new Error(`no ${String(pattern)}:\n${this.#output}`);
      return match[1] ?? '';
    }, patience);
  }

  /** Resolves to its exit status when it has ended by itself. */
  async ended(): Promise<number | null> {
    await this.#closed;
    return this.#process.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGTERM');
    await this.#closed;
  }
}

describe('programs without identities, of before', () => {
  const agentFlags = (coordinator: string, stateDir: string) =>
    flagsOf({
      ...{ coordinator, 'state-dir': stateDir, name: 'old' },
      ...{ 'docker-socket': '/nowhere.sock', 'advertise-address': '127.0.0.1' },
    });

  test.concurrent(
    'are let in nowhere by a coordinator of today, which names them in its log',
    async () => {
      await using installation = await Installation.start();
      await using directory = new TemporaryDirectory();
      const { coordinator, client, adminToken } = installation;
      const env = { FAIRLEAD_TOKEN: await installation.joinToken() };
      const args = ['agent', 'run', ...agentFlags(coordinator.address, directory.join('agent'))];
      await using agent = new Running([unsecured, ...args], env);
      const where = ['--coordinator', coordinator.address];
      await using cli = new Running([unsecured, 'node', 'ls', ...where], {
        FAIRLEAD_TOKEN: adminToken,
      });
      const words = `no coordinator answers at ${coordinator.address}`;
      await agent.wrote(new RegExp(`${words}.*"msg":"cannot join yet"`));
      expect(await cli.ended()).toBe(7);
      expect(cli.output).toContain(`${words}: something listens there, but it does not speak gRPC`);

      const lines = coordinator.log().split('\n');
      const named = lines.filter((line) => line.includes('refused who speaks no TLS'));
      expect(named.map((line) => JSON.parse(line) as object)).toEqual([
        expect.objectContaining({ level: 'warn', address: '127.0.0.1', refused: 1 }),
      ]);
      expect((await client.control.listNodes({})).nodes).toEqual([]);
      expect(existsSync(directory.join('agent', 'node.json'))).toBe(false);
    },
  );

  test.concurrent(
    'are told nothing by an agent and a command line of today, which name what is wrong',
    async () => {
      await using installation = await Installation.start();
      await using directory = new TemporaryDirectory();
      const state = flagsOf({ 'state-dir': directory.join('coordinator') });
      const listen = flagsOf({ listen: '127.0.0.1:0', 'http-listen': '127.0.0.1:0' });
      await using coordinator = new Running([unsecured, 'coordinator', 'run', ...state, ...listen]);
      const address = `127.0.0.1:${await coordinator.wrote(/"port":(\d+)/)}`;

      const env = { FAIRLEAD_TOKEN: await installation.joinToken() };
      const args = ['agent', 'run', ...agentFlags(address, directory.join('agent'))];
      await using agent = new Running([today, ...args], env);
      await using cli = new Running([today, 'node', 'ls', '--coordinator', address], {
        FAIRLEAD_TOKEN: installation.adminToken,
      });
      const words = `no coordinator answers at ${address}: something listens there, but it does not speak TLS`;
      await agent.wrote(new RegExp(`${words}.*"msg":"cannot join yet"`));
      expect(await cli.ended()).toBe(7);
      expect(cli.output).toContain(words);

      // It made a key to join with, and no identity; nobody called.
      expect(readdirSync(directory.join('agent'))).toEqual(['joining.key']);
      expect(coordinator.output).not.toContain('"method"');

      // A token of then names no coordinator, so nobody is dialled with it.
      const token = readFileSync(directory.join('coordinator', 'admin.token'), 'utf8').trim();
      await using other = new Running([today, ...args], { FAIRLEAD_TOKEN: token });
      expect(await other.ended()).toBe(1);
      expect(other.output).toContain('the token is not whole');
    },
  );
});
