import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { connect, NodeState, Role, type FairleadClient } from '../../../client/index.ts';
import { eventually } from '../eventually.ts';
import type { LabProcess } from '../lab/lab-process.ts';
import { programs, requireBuild } from './programs.ts';
import type { Site, SiteHost } from './site.ts';

const grpcPort = 7600;
/** Short enough to be waited for, and longer than a busy machine keeps a live agent silent. */
const patientGraceSeconds = 15;
const httpPort = 7601;
const dnsPort = 7653;

export interface FleetOptions {
  /** With it, hosts can install what `npm run package` made there. */
  readonly packagesDir?: string;
  /** After so long a silent node is down. */
  readonly nodeGraceSeconds?: number;
  /** Added to the environment of the coordinator. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface NodePlan {
  readonly name: string;
  readonly tags: readonly string[];
  /** What it joins with; by default a token that anybody here may join with. */
  readonly token?: string;
  /** Added to the environment of the agent. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A coordinator and agents as processes of their own, and how to talk to them. */
export class Fleet implements AsyncDisposable {
  readonly site: Site;
  readonly address: string;
  readonly httpUrl: string;
  /** Where the coordinator answers DNS, `HOST:PORT`. */
  readonly dnsAddress: string;
  readonly stateDir: string;
  /** What a coordinator that starts serves to hosts. */
  packagesDir: string | undefined;
  readonly #nodeGraceSeconds: number;
  readonly #env: Readonly<Record<string, string>>;
  #coordinator: LabProcess | undefined;
  readonly #agents = new Map<string, LabProcess>();
  #token = '';
  #joinToken: Promise<string> | undefined;
  #client: FairleadClient | undefined;

  constructor(site: Site, options: FleetOptions = {}) {
    const { packagesDir, nodeGraceSeconds = patientGraceSeconds, env = {} } = options;
    requireBuild();
    this.site = site;
    this.packagesDir = packagesDir;
    this.#nodeGraceSeconds = nodeGraceSeconds;
    this.#env = env;
    this.address = `${site.gateway}:${grpcPort}`;
    this.httpUrl = `https://${site.gateway}:${httpPort}`;
    this.dnsAddress = `${site.gateway}:${dnsPort}`;
    this.stateDir = join(site.directory, 'coordinator');
  }

  /** A coordinator and one node for each plan, all ready. */
  static async start(site: Site, nodes: readonly NodePlan[], signal: AbortSignal): Promise<Fleet> {
    const fleet = new Fleet(site);
    await fleet.start(nodes, signal);
    return fleet;
  }

  /** Starts the coordinator and one agent for each plan; resolves when all nodes are ready. */
  async start(nodes: readonly NodePlan[], signal: AbortSignal): Promise<void> {
    await this.startCoordinator(signal);
    await Promise.all(nodes.map((node) => this.startAgent(node, signal)));
    await this.nodesReady(
      nodes.map(({ name }) => name),
      signal,
    );
  }

  /** The administrator's token. */
  get token(): string {
    return this.#token;
  }

  get client(): FairleadClient {
    if (this.#client === undefined) throw new Error('the coordinator was not started');
    return this.#client;
  }

  get coordinator(): LabProcess {
    if (this.#coordinator === undefined) throw new Error('the coordinator was not started');
    return this.#coordinator;
  }

  agent(host: string): LabProcess {
    const agent = this.#agents.get(host);
    if (agent === undefined) throw new Error(`no agent was started on ${host}`);
    return agent;
  }

  host(name: string): SiteHost {
    const host = this.site.hosts.find((candidate) => candidate.name === name);
    if (host === undefined) throw new Error(`the site has no host ${name}`);
    return host;
  }

  /** Starts the coordinator, on the state that is there if it ran before; resolves when it answers. */
  async startCoordinator(signal: AbortSignal): Promise<void> {
    this.#coordinator = await this.site.spawn(
      process.execPath,
      [
        programs.cli,
        ...['coordinator', 'run', '--state-dir', this.stateDir],
        ...['--listen', this.address, '--http-listen', `${this.site.gateway}:${httpPort}`],
        ...['--dns-listen', this.dnsAddress],
        ...['--node-grace-seconds', String(this.#nodeGraceSeconds)],
        ...(this.packagesDir === undefined ? [] : ['--packages-dir', this.packagesDir]),
      ],
      { name: 'coordinator', env: this.#env },
    );
    const coordinator = this.#coordinator;
    await eventually(
      async () => {
        if (!coordinator.isRunning()) throw new Error(`it ended:\n${coordinator.log()}`);
        // A channel that is refused waits a second before it tries again: it is opened once it will do.
        await knock(this.site.gateway, grpcPort);
        this.#token = readFileSync(join(this.stateDir, 'admin.token'), 'utf8').trim();
        this.#client ??= await connect({ address: this.address, token: this.#token });
        await this.#client.ready(signal);
        await this.#client.control.getInfo({}, { signal });
      },
      { timeoutMs: 30_000 },
      signal,
    );
  }

  /** The join token that agents are given; made on the first call. */
  joinToken(): Promise<string> {
    this.#joinToken ??= this.client.control
      .createToken({ name: 'join', role: Role.NODE })
      .then(({ secret }) => secret);
    return this.#joinToken;
  }

  /** Starts the agent of a host, as its user would: one command with a token. */
  async startAgent(
    { name, tags, token, env = {} }: NodePlan,
    _signal: AbortSignal,
    coordinator = this.address,
  ): Promise<LabProcess> {
    const host = this.host(name);
    const publish =
      host.publishAddress === undefined ? [] : ['--publish-address', host.publishAddress];
    const agent = await host.spawn(
      process.execPath,
      [
        programs.agent,
        ...['--coordinator', coordinator, '--name', name],
        ...['--state-dir', join(host.directory, 'agent'), '--docker-socket', host.dockerSocket],
        ...['--advertise-address', host.address, ...publish],
        ...tags.flatMap((tag) => ['--tag', tag]),
      ],
      { name: 'agent', env: { ...env, FAIRLEAD_TOKEN: token ?? (await this.joinToken()) } },
    );
    this.#agents.set(name, agent);
    return agent;
  }

  /** Resolves when all these nodes are ready. */
  async nodesReady(names: readonly string[], signal: AbortSignal): Promise<void> {
    await eventually(
      async () => {
        const { nodes } = await this.client.control.listNodes({}, { signal });
        const ready = nodes.filter(({ state }) => state === NodeState.READY);
        const missing = names.filter((name) => !ready.some((node) => node.name === name));
        if (missing.length > 0) throw new Error(`not ready: ${missing.join(', ')}`);
      },
      { timeoutMs: 30_000 },
      signal,
    );
  }

  /** What the processes of the fleet logged: for the report of a failure. */
  logs(): string {
    const processes = [this.#coordinator, ...this.#agents.values()];
    return processes
      .flatMap((process) =>
        process === undefined ? [] : [`--- ${process.logPath}`, process.log()],
      )
      .join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client?.[Symbol.asyncDispose]();
    await this.site[Symbol.asyncDispose]();
  }
}

/** Resolves if somebody accepts connections at this address. */
async function knock(host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = createConnection({ host, port }, () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}
