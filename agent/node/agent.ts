import { availableParallelism, hostname, release, totalmem, type as systemName } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { ChildController } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import { keepRunning } from '../../shared/retry.ts';
import { IdentityKeeper } from '../../shared/rpc/identity-keeper.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import { detectAdvertiseAddress } from './advertise-address.ts';
import { AgentStreams } from './agent-streams.ts';
import { readJoinToken, type NodeAgentConfig } from './config.ts';
import { ContainerWork } from './container-work.ts';
import { watchEngine, type EngineChange } from './docker/container-events.ts';
import { DockerodeEngine } from './docker/dockerode-engine.ts';
import type { EngineInfo } from './docker/engine.ts';
import { IdentityFile, type NodeIdentity } from './identity.ts';
import { InstallFiles } from './install-files.ts';
import { watchExits, type ProcessExit, type ProcessStart } from './docker/exit-events.ts';
import { Images } from './images.ts';
import { join, renew } from './join.ts';
import { Limiter } from '../../shared/limiter.ts';
import type { NodeDescription } from './model.ts';
import { probeWith, type CommandProbe } from './probe.ts';
import { watchEnds } from './process-ends.ts';
import { Reporter } from './reporter.ts';
import { NodeSession } from './session.ts';
import { programOf } from './upgrade/program.ts';
import { standingOf, Upgrader, type Standing } from './upgrade/upgrader.ts';
import { agentVersion } from './version.ts';
import { watchVolumes } from './volumes.ts';
import { Worker } from './worker.ts';

export interface NodeAgentDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Creations and starts at the same time: measured, more make an engine slower. */
const startsAtOnce = 4;
const addressBackoff = { minMs: 100, maxMs: 5_000 };

/**
 * The agent of one host: joins if it must, then follows the engine and the coordinator until the signal
 * aborts. Containers are left as they are when it ends.
 */
export async function runNodeAgent(
  config: NodeAgentConfig,
  deps: NodeAgentDeps,
  signal: AbortSignal,
): Promise<void> {
  try {
    const installFiles = new InstallFiles(config.stateDir, deps.log);
    const token = await installFiles.begin();
    const { identity, isNew } = await identify(config, token, deps, signal);
    if (isNew) await installFiles.forgetToken();
    const advertiseAddress = await addressOf(config, deps, signal);
    const program = programOf(process.execPath, process.argv[1] ?? '', process.arch);
    const standing = await standingOf(config.upgradeDir, program, deps.log);
    const place = { advertiseAddress, standing, installFiles };
    const mayJoinAnew = token !== undefined && !isNew;
    const agent = new NodeAgent(config, { ...identity, ...place, mayJoinAnew }, deps);
    await agent.run(signal);
    if (!agent.isRefused || token === undefined || signal.aborted) return;
    // What this host was is known to nobody any more, and somebody gave it a token to be a new node.
    const file = new IdentityFile(config.stateDir);
    const next = await joinWith(config, { token, file }, deps, signal);
    await file.replace(next);
    await installFiles.forgetToken();
    await new NodeAgent(config, { ...next, ...place, mayJoinAnew: false }, deps).run(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Who this node is: from its file, or, on the first run, from the coordinator. */
async function identify(
  config: NodeAgentConfig,
  givenToken: string | undefined,
  deps: NodeAgentDeps,
  signal: AbortSignal,
): Promise<{ readonly identity: NodeIdentity; readonly isNew: boolean }> {
  const file = new IdentityFile(config.stateDir);
  const known = await file.load();
  if (known !== undefined) return { identity: known, isNew: false };
  const token = givenToken ?? readJoinToken(config.joinToken);
  if (token === undefined) {
    throw new DomainError(
      'precondition',
      `this host is not a node yet (there is no ${file.path}): give a join token by --token or --token-file`,
      { reason: 'JOIN_TOKEN_MISSING' },
    );
  }
  const identity = await joinWith(config, { token, file }, deps, signal);
  await file.store(identity);
  return { identity, isNew: true };
}

/** Asks the coordinator for an identity, which is not written down yet. */
async function joinWith(
  { coordinator, name, tags }: NodeAgentConfig,
  { token, file }: { readonly token: string; readonly file: IdentityFile },
  deps: NodeAgentDeps,
  signal: AbortSignal,
): Promise<NodeIdentity> {
  const privateKeyPem = await file.joiningKey();
  const identity = await join({ coordinator, token, privateKeyPem, name, tags }, deps, signal);
  deps.log.info({ nodeId: identity.nodeId, node: name, tags }, 'joined');
  return identity;
}

async function addressOf(
  { advertiseAddress, coordinator }: NodeAgentConfig,
  { clock, random, log }: NodeAgentDeps,
  signal: AbortSignal,
): Promise<string> {
  let address = advertiseAddress;
  using until = new ChildController(signal);
  if (address !== undefined) return address;
  const attempt = async (): Promise<void> => {
    address = await detectAdvertiseAddress(coordinator);
    until.abort();
  };
  const onFailure = (error: unknown, retryInMs: number) => {
    log.warn({ reason: messageOf(error), retryInMs }, 'own address is not known yet');
  };
  const deps = { clock, random: () => random.fraction(), onFailure };
  await keepRunning(attempt, addressBackoff, deps, until.signal);
  if (address === undefined) throw signal.reason;
  return address;
}

interface Member extends NodeIdentity {
  readonly advertiseAddress: string;
  readonly standing: Standing;
  readonly installFiles: InstallFiles;
  /** Somebody gave this host a token although it has an identity. */
  readonly mayJoinAnew: boolean;
}

/** Everything that runs once it is known who and where the node is. */
class NodeAgent {
  readonly #deps: NodeAgentDeps;
  readonly #engine: DockerodeEngine;
  readonly #reporter: Reporter;
  readonly #worker: Worker;
  readonly #keeper: IdentityKeeper;
  readonly #session: NodeSession;
  readonly #upgrader: Upgrader;
  readonly #streams: AgentStreams;
  /** Notified when the engine has answered, or has not. */
  readonly #asked = new Wakeup();
  readonly #containerdSockets: readonly string[];
  /** Notified when this host is to join anew. */
  readonly #refused = new Wakeup();
  /** It ended because the coordinator does not accept its identity any more, and it may join anew. */
  isRefused = false;
  #mayJoinAnew: boolean;
  #engineInfo: EngineInfo | undefined;
  #commands: CommandProbe | undefined;

  constructor(config: NodeAgentConfig, member: Member, deps: NodeAgentDeps) {
    const { clock, random, log } = deps;
    const { nodeId, advertiseAddress, standing, installFiles } = member;
    const bootId = random.id();
    const wakeup = new Wakeup();
    this.#deps = deps;
    this.#containerdSockets = config.containerdSockets;
    this.#mayJoinAnew = member.mayJoinAnew;
    this.#engine = new DockerodeEngine({ clock }, { socketPath: config.dockerSocket, nodeId });
    const notify = () => {
      wakeup.notify();
    };
    this.#reporter = new Reporter(notify);
    this.#worker = this.#createWorker(config, member);
    this.#keeper = this.#createKeeper(config, member, bootId);
    this.#upgrader = this.#createUpgrader(config, standing, notify);
    const { coordinator } = config;
    this.#streams = new AgentStreams(
      {
        ...{ clock, random, engine: this.#engine, keeper: this.#keeper },
        log: log.child({ component: 'streams' }),
      },
      { coordinator },
    );
    this.#session = new NodeSession(
      {
        ...{ clock, random, wakeup, reporter: this.#reporter, keeper: this.#keeper },
        upgrader: this.#upgrader,
        log: log.child({ component: 'session' }),
        apply: (set) => {
          this.#worker.apply(set);
        },
        connected: () => {
          this.#mayJoinAnew = false;
          installFiles.connected();
        },
        refused: () => {
          this.isRefused = this.#mayJoinAnew;
          if (this.isRefused) this.#refused.notify();
        },
        offered: (ticket) => {
          this.#streams.take(ticket);
        },
        closed: (ticket) => {
          this.#streams.close(ticket);
        },
        greeting: () => ({
          bootId,
          description: describe(this.#engineInfo),
          advertiseAddress,
          publicAddress: config.publicAddress ?? advertiseAddress,
          clock: new Date(clock.now()),
          upgrades: this.#upgrader.greeting,
        }),
      },
      { coordinator },
    );
    log.info({ nodeId, bootId, advertiseAddress, agentVersion }, 'agent begins');
  }

  #createUpgrader(
    { upgradeSettleMs: settleMs }: NodeAgentConfig,
    standing: Member['standing'],
    onNews: () => void,
  ): Upgrader {
    const { clock, random, log } = this.#deps;
    return new Upgrader(standing, {
      ...{ clock, random, onNews, settleMs },
      log: log.child({ component: 'upgrade' }),
      trustPem: () => this.#keeper.current.trustPem,
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const session = async (until: AbortSignal): Promise<void> => {
      // The hello tells what the engine has, so the engine goes first.
      await this.#asked.wait(until);
      await this.#session.run(until);
    };
    try {
      const renewal = (until: AbortSignal) => this.#keeper.run(until);
      const volumes = (until: AbortSignal) => this.#followVolumes(until);
      const upgrade = (until: AbortSignal) => this.#upgrader.run(until);
      const engine = (until: AbortSignal) => this.#followEngine(until);
      const exits = (until: AbortSignal) => this.#followExits(until);
      const refused = (until: AbortSignal) => this.#refused.wait(until);
      const ends = this.#containerdSockets.length === 0 ? [] : [exits];
      await together([engine, ...ends, renewal, session, volumes, upgrade, refused], signal);
    } finally {
      await this.#streams.stop();
      await this.#worker.stop();
      this.#deps.log.info('agent ended');
    }
  }

  #createKeeper(
    { coordinator, stateDir }: NodeAgentConfig,
    { nodeId, ...identity }: Member,
    bootId: string,
  ) {
    const { clock, random, log } = this.#deps;
    const file = new IdentityFile(stateDir);
    return new IdentityKeeper(
      {
        ...{ clock, random, log: log.child({ component: 'identity' }) },
        ask: (current, request, signal) =>
          renew(coordinator, { current, request, bootId, clock }, signal),
        keep: (current) => file.store({ nodeId, ...current }),
        onRenewed: () => {
          this.#session.renew();
        },
      },
      identity,
    );
  }

  #createWorker({ publishAddress }: NodeAgentConfig, { nodeId, advertiseAddress }: Member): Worker {
    const { clock, random, log } = this.#deps;
    const engine = this.#engine;
    return new Worker({
      ...{ engine, clock, random, advertiseAddress },
      work: new ContainerWork({
        engine,
        images: new Images(engine),
        starts: new Limiter(startsAtOnce),
        placement: { nodeId, advertiseAddress, publishAddress },
      }),
      watchEnd: watchEnds(),
      probe: probeWith(async (target, timeoutMs, until) => {
        const { commandProbe } = await import('./command-probe.ts');
        this.#commands ??= commandProbe(engine);
        return await this.#commands(target, timeoutMs, until);
      }),
      log: log.child({ component: 'worker' }),
      logs: (engineId, query, until) => engine.logs(engineId, query, until),
      report: (status) => {
        this.#reporter.setContainer(status);
      },
      failed: (failure) => {
        this.#reporter.setFailure(failure);
      },
      forget: (containerId) => {
        this.#reporter.forget(containerId);
      },
    });
  }

  async #followEngine(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#deps;
    for await (const change of watchEngine({ engine: this.#engine, clock, random }, signal)) {
      this.#worker.handle(change);
      if (change.kind !== 'event') this.#takePresence(change);
    }
  }

  /** Where containerd can be reached, ends and starts of processes are known before Docker tells of them. */
  async #followExits(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#deps;
    const onExit = (exit: ProcessExit) => {
      this.#worker.handleExit(exit);
    };
    const onStart = (start: ProcessStart) => {
      this.#worker.handleStart(start);
    };
    const deps = { clock, random, log, onExit, onStart };
    await watchExits(this.#containerdSockets, deps, signal);
  }

  /** Only once the engine was asked for its version: what is asked before that may not be understood. */
  async #followVolumes(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#deps;
    const onVolumes = (names: readonly string[]) => {
      this.#reporter.setVolumes(names);
    };
    await watchVolumes({ engine: this.#engine, clock, random, onVolumes }, signal);
  }

  #takePresence(change: Exclude<EngineChange, { kind: 'event' }>): void {
    const { log } = this.#deps;
    if (change.kind === 'away') {
      const { message } = change;
      // Said once, however often it is tried.
      const isNews = this.#reporter.setEngine({ reachable: false, message });
      if (isNews) log.warn({ reason: message }, 'engine is away');
    } else {
      const { info, containers } = change;
      const before = describe(this.#engineInfo);
      this.#engineInfo = info;
      this.#reporter.setEngine({ reachable: true, message: '' });
      log.info(
        { engine: info.version, api: info.apiVersion, containers: containers.length },
        'engine answers',
      );
      // The description is part of the hello: another one takes another session.
      if (!isDeepStrictEqual(describe(info), before)) this.#session.renew();
    }
    this.#asked.notify();
  }
}

/** Node's names of architectures, in Docker's words where they differ. */
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

/** The host as the engine describes it, and as the kernel does as long as the engine was never seen. */
function describe(engine: EngineInfo | undefined): NodeDescription {
  const seen = engine ?? {
    operatingSystem: `${systemName()} ${release()}`,
    os: process.platform,
    architecture: architectures[process.arch] ?? process.arch,
    version: '',
    apiVersion: '',
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
  };
  return {
    hostname: hostname(),
    operatingSystem: seen.operatingSystem,
    os: seen.os,
    architecture: seen.architecture,
    engineVersion: seen.version,
    engineApiVersion: seen.apiVersion,
    cpus: seen.cpus,
    memoryBytes: seen.memoryBytes,
    agentVersion,
  };
}

/** Runs loops until the signal aborts; one that ends or fails ends the others. */
async function together(
  loops: readonly ((signal: AbortSignal) => Promise<void>)[],
  signal: AbortSignal,
): Promise<void> {
  using all = new ChildController(signal);
  const results = await Promise.allSettled(
    loops.map(async (loop) => {
      try {
        await loop(all.signal);
      } finally {
        all.abort();
      }
    }),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
