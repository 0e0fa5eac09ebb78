import { createClient } from 'nice-grpc';
import { AssignmentParts } from '../../../agent/node/assignment-parts.ts';
import { ChildController } from '../../../shared/abort.ts';
import { systemClock } from '../../../shared/clock.ts';
import {
  AgentServiceDefinition,
  ReadinessState,
  WantedPhase,
  type Assignment,
  type AssignmentSet,
  type ContainerStatus,
  type NodeHello,
  type NodeSessionRequest,
} from '../../../shared/gen/fairlead/v1/agent_service.ts';
import { ContainerPhase } from '../../../shared/gen/fairlead/v1/container.ts';
import { systemRandom } from '../../../shared/random.ts';
import { keepRunning } from '../../../shared/retry.ts';
import {
  authorizedClients,
  openChannel,
  type ClientCertificate,
} from '../../../shared/rpc/client.ts';
import { pingVerb } from '../../../shared/rpc/lease.ts';
import { partsVerb } from '../../../shared/rpc/parts.ts';
import { makePrivateKey, signingRequest } from '../../../shared/rpc/signing-request.ts';
import { trustOf, type Trust } from '../../../shared/rpc/trust.ts';
import { Wakeup } from '../../../shared/wakeup.ts';

export interface SimulatedNodeOptions {
  /** `HOST:PORT` of the coordinator. */
  readonly coordinator: string;
  readonly joinToken: string;
  readonly name: string;
  readonly tags: readonly string[];
  /** Where proxies reach its containers. */
  readonly address: string;
  /** Port of every container there: something has to listen. */
  readonly port: number;
  /** Of single ports of containers another one. */
  readonly ports?: Readonly<Record<number, number>>;
}

/** What a node has once it joined. */
export interface NodeIdentity extends ClientCertificate {
  readonly trust: Trust;
}

/** Hears what becomes of a simulated node. */
export interface NodeListener {
  /** A session was opened. */
  readonly onWelcome: () => void;
  /** A container was started or stopped. */
  readonly onChange: () => void;
}

const nobody: NodeListener = { onWelcome: () => undefined, onChange: () => undefined };

const dialing = { clock: systemClock, timeoutMs: 10_000 };
const backoff = { minMs: 100, maxMs: 5_000 };

/**
 * A node without a host: joins as any other, and says of each container assigned to it that it runs and
 * is ready, or that it is stopped or gone. So a coordinator has as many containers as one likes.
 */
export class SimulatedNode implements AsyncDisposable {
  readonly #options: Omit<SimulatedNodeOptions, 'joinToken'>;
  readonly #identity: NodeIdentity;
  readonly #listener: NodeListener;
  readonly #bootId = systemRandom.id();
  readonly #containers = new Map<string, ContainerStatus>();
  readonly #changed = new Set<string>();
  readonly #wakeup = new Wakeup();
  readonly #life: ChildController;
  readonly #running: Promise<void>;
  #session: ChildController | undefined;
  #sequence = 0;

  private constructor(
    options: Omit<SimulatedNodeOptions, 'joinToken'>,
    identity: NodeIdentity,
    { signal, listener }: { readonly signal: AbortSignal; readonly listener: NodeListener },
  ) {
    this.#options = options;
    this.#identity = identity;
    this.#listener = listener;
    this.#life = new ChildController(signal);
    this.#running = keepRunning(
      (until) => this.#converse(until),
      backoff,
      {
        clock: systemClock,
        random: () => systemRandom.fraction(),
        onFailure: () => undefined,
      },
      this.#life.signal,
    );
  }

  /** Joins, and keeps a session until it is disposed of or the signal aborts. */
  static async start(options: SimulatedNodeOptions, signal: AbortSignal): Promise<SimulatedNode> {
    const identity = await SimulatedNode.join(options, signal);
    return SimulatedNode.open(options, identity, nobody, signal);
  }

  /** Makes it a node, without a session yet. */
  static async join(
    { coordinator, joinToken, name, tags }: SimulatedNodeOptions,
    signal: AbortSignal,
  ): Promise<NodeIdentity> {
    const known = { address: coordinator, trust: trustOf(joinToken) };
    const channel = await openChannel(known, dialing, signal);
    const privateKeyPem = makePrivateKey();
    const signingRequestPem = signingRequest(privateKeyPem);
    try {
      const client = authorizedClients(joinToken).create(AgentServiceDefinition, channel);
      const request = { name, tags: [...tags], signingRequestPem };
      const { certificate } = await client.join(request, { signal });
      const { certificatePem = '', trust } = certificate ?? {};
      return { certificatePem, privateKeyPem, trust: { kind: 'bundle', pem: trust?.pem ?? '' } };
    } finally {
      channel.close();
    }
  }

  /** Keeps a session by an identity until it is disposed of or the signal aborts. */
  static open(
    options: Omit<SimulatedNodeOptions, 'joinToken'>,
    identity: NodeIdentity,
    listener: NodeListener,
    signal: AbortSignal,
  ): SimulatedNode {
    return new SimulatedNode(options, identity, { signal, listener });
  }

  /** Hangs up, and dials again at once, as when its connection broke. */
  redial(): void {
    this.#session?.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life[Symbol.dispose]();
    await this.#running;
  }

  async #converse(signal: AbortSignal): Promise<void> {
    const { trust, ...certificate } = this.#identity;
    const address = this.#options.coordinator;
    const channel = await openChannel({ address, trust, certificate }, dialing, signal);
    // What would be said on it ends with it, and takes no news from the next.
    using session = new ChildController(signal);
    this.#session = session;
    try {
      const client = createClient(AgentServiceDefinition, channel);
      const pace = { heartbeatMs: 1_000 };
      const { signal: until } = session;
      const responses = client.nodeSession(this.#requests(pace, until), { signal: until });
      const parts = new AssignmentParts();
      for await (const { message } of responses) {
        if (message?.$case === 'welcome') {
          pace.heartbeatMs = message.value.heartbeatMs;
          this.#listener.onWelcome();
        }
        if (message?.$case === 'assignments') this.#take(parts.take(message.value));
      }
    } catch (error) {
      if (!session.signal.aborted) throw error;
    } finally {
      channel.close();
    }
  }

  async *#requests(
    pace: { readonly heartbeatMs: number },
    signal: AbortSignal,
  ): AsyncGenerator<NodeSessionRequest> {
    this.#changed.clear();
    yield { message: { $case: 'hello', value: this.#hello() } };
    while (!signal.aborted) {
      if (this.#changed.size > 0) {
        const containers = [...this.#changed].flatMap((id) => this.#containers.get(id) ?? []);
        this.#changed.clear();
        const value = { sequence: ++this.#sequence, containers, engine: undefined };
        yield { message: { $case: 'report', value } };
      } else if (pace.heartbeatMs === 0) {
        await this.#wakeup.wait(signal);
      } else if (!(await this.#wakeup.waitFor(pace.heartbeatMs, systemClock, signal))) {
        if (!signal.aborted) yield { message: { $case: 'heartbeat', value: {} } };
      }
    }
  }

  #hello(): NodeHello {
    const { address, name } = this.#options;
    return {
      protocolVersion: 1,
      verbs: [pingVerb, partsVerb],
      bootId: this.#bootId,
      description: {
        hostname: name,
        operatingSystem: 'simulated',
        os: 'linux',
        architecture: 'amd64',
        engineVersion: 'none',
        engineApiVersion: 'none',
        cpus: 1,
        memoryBytes: 2 ** 30,
        agentVersion: 'simulated',
      },
      advertiseAddress: address,
      publicAddress: address,
      engine: { reachable: true, message: '' },
      inventory: [...this.#containers.values()],
      sequence: ++this.#sequence,
      clock: new Date(systemClock.now()),
      ...{ package: '', upgradeObstacle: 'simulated', upgradeFailure: undefined, onTrial: false },
    };
  }

  #take(set: AssignmentSet | null): void {
    if (set === null) return;
    const { assignments, forgotten } = set;
    for (const assignment of assignments) {
      const { containerId } = assignment;
      const before = this.#containers.get(containerId);
      const status = this.#statusOf(assignment, before);
      // As an agent does, it reports what changed: the hello told all the rest a moment before.
      if (status.phase === before?.phase) continue;
      this.#listener.onChange();
      this.#containers.set(containerId, status);
      this.#changed.add(containerId);
    }
    for (const id of forgotten) this.#containers.delete(id);
    if (this.#changed.size > 0) this.#wakeup.notify();
  }

  #statusOf(assignment: Assignment, before: ContainerStatus | undefined): ContainerStatus {
    const { containerId, wanted, definition } = assignment;
    const now = new Date(systemClock.now());
    const identity = {
      containerId,
      name: definition?.name ?? before?.name ?? '',
      engineId: before?.engineId ?? systemRandom.id().repeat(2),
      startedAt: before?.startedAt ?? now,
      restarts: 0,
      awaitsDrain: false,
      message: '',
    };
    const phase = phaseFor(wanted);
    if (wanted !== WantedPhase.RUNNING) {
      const readiness = ReadinessState.NOT_READY;
      return { ...identity, phase, readiness, ports: [], exitCode: 0, endedAt: now };
    }
    return {
      ...{ ...identity, phase, readiness: ReadinessState.READY },
      ...{ ports: this.#portsOf(assignment), exitCode: undefined, endedAt: undefined },
    };
  }

  #portsOf({ definition }: Assignment): ContainerStatus['ports'] {
    const { address: hostAddress, port, ports = {} } = this.#options;
    return (definition?.ports ?? []).map(({ containerPort, protocol, published }) => {
      const hostPort = ports[containerPort] ?? port;
      return { containerPort, protocol, published, hostAddress, hostPort };
    });
  }
}

function phaseFor(wanted: WantedPhase): ContainerPhase {
  switch (wanted) {
    case WantedPhase.RUNNING:
      return ContainerPhase.RUNNING;
    case WantedPhase.STOPPED:
      return ContainerPhase.STOPPED;
    case WantedPhase.REMOVED:
      return ContainerPhase.REMOVED;
    case WantedPhase.UNSPECIFIED:
    default:
      return ContainerPhase.UNSPECIFIED;
  }
}
