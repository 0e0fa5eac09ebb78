import { createServer, ServerError, Status, type CallContext, type Server } from 'nice-grpc';
import { ChildController } from '../../shared/abort.ts';
import { systemClock } from '../../shared/clock.ts';
import {
  AgentServiceDefinition,
  type WantedPhase,
  type AgentServiceImplementation,
  type Assignment,
  type ContainerDefinition,
  type ContainerStatus,
  type EngineStatus,
  type JoinRequest,
  type NodeHello,
  type NodeReport,
  type NodeSessionRequest,
  type NodeSessionResponse,
} from '../../shared/gen/fairlead/v1/agent_service.ts';
import type { IssuedCertificate } from '../../shared/gen/fairlead/v1/certificate.ts';
import { peerOf, tellPeer } from '../../coordinator/api/peer.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import { testAuthority, testInstallation } from './test-authority.ts';

export const nodeId = '00000000000000000000000000000a01';
export const joinToken = testAuthority.token('join');

export interface FakeCoordinatorOptions {
  readonly host?: string;
  /** 0 is a free one, which it keeps over `stop` and `start`. */
  readonly port?: number;
  readonly leaseMs?: number;
  readonly heartbeatMs?: number;
}

/** How the next calls are refused. */
export interface AgentRefusal {
  readonly status: Status;
  readonly message: string;
}

/** One session of the agent, as the coordinator sees it. */
export interface FakeSession {
  readonly hello: NodeHello;
  readonly reports: NodeReport[];
  heartbeats: number;
  /** How often the complete set was asked for. */
  setsAskedFor: number;
  /** Names of the engine's volumes, as last told. */
  volumes: readonly string[] | undefined;
  hasEnded: boolean;
}

interface LiveSession extends FakeSession {
  readonly wakeup: Wakeup;
  readonly outbox: NodeSessionResponse[];
  readonly controller: ChildController;
  /** Why it is ended, if not by the agent. */
  refusal: AgentRefusal | undefined;
}

/**
 * A coordinator that only knows what a test tells it: a real gRPC server of AgentService that hands out
 * scripted assignments and keeps all that the agent says.
 */
export class FakeCoordinator implements AsyncDisposable {
  readonly joins: JoinRequest[] = [];
  readonly sessions: FakeSession[] = [];
  /** Every status of each container in the order it came, in reports and inventories. */
  readonly history = new Map<string, ContainerStatus[]>();
  engine: EngineStatus | undefined;
  refuseJoin: AgentRefusal | undefined;
  refuseSession: AgentRefusal | undefined;
  /** Sessions that were refused. */
  refusals = 0;
  /** Swallows the next increments, so that the agent misses them. */
  dropIncrements = 0;
  readonly #options: Required<FakeCoordinatorOptions>;
  readonly #assignments = new Map<string, Assignment>();
  #port: number;
  #server: Server | undefined;
  #live: LiveSession | undefined;
  #sequence = 0;

  private constructor(options: FakeCoordinatorOptions) {
    this.#options = { host: '127.0.0.1', port: 0, leaseMs: 3_000, heartbeatMs: 1_000, ...options };
    this.#port = this.#options.port;
  }

  static async start(options: FakeCoordinatorOptions = {}): Promise<FakeCoordinator> {
    const coordinator = new FakeCoordinator(options);
    await coordinator.start();
    return coordinator;
  }

  /** `HOST:PORT`. */
  get address(): string {
    return `${this.#options.host}:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** The session that lives, if one does. */
  get session(): FakeSession | undefined {
    return this.#live;
  }

  /** What the agent last said of a container. */
  status(containerId: string): ContainerStatus | undefined {
    return this.history.get(containerId)?.at(-1);
  }

  /** Listens again after `stop`, at the same address, with all it knows. */
  async start(): Promise<void> {
    const server = createServer({ interceptors: [tellPeer(testAuthority)] });
    server.add(AgentServiceDefinition, this.#implementation());
    this.#server = server;
    this.#port = await server.listen(this.address, testAuthority.serverCredentials());
  }

  /** Ends at once, as a coordinator that is killed does. */
  stop(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  /** Says what is wanted of a container; without a definition, that of before. */
  assign(
    containerId: string,
    wanted: WantedPhase,
    definition?: ContainerDefinition,
    drained = false,
  ): void {
    const known = this.#assignments.get(containerId)?.definition;
    const assignment = { containerId, wanted, definition: definition ?? known, drained };
    this.#assignments.set(containerId, assignment);
    this.#increment([assignment], []);
  }

  forget(containerId: string): void {
    this.#assignments.delete(containerId);
    this.#increment([], [containerId]);
  }

  /** Forgets what is wanted of a container without a word. */
  loseAssignment(containerId: string): void {
    this.#assignments.delete(containerId);
  }

  /** Sends the complete set, as on attach. */
  sendCompleteSet(): void {
    if (this.#live !== undefined) this.#complete(this.#live);
  }

  /** Ends the session that lives with a status. */
  endSession(refusal: AgentRefusal): void {
    if (this.#live === undefined) return;
    this.#live.refusal = refusal;
    this.#live.controller.abort();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    return Promise.resolve();
  }

  #implementation(): AgentServiceImplementation {
    return {
      join: async (request, context) => {
        authorize(context, joinToken);
        if (this.refuseJoin !== undefined) throw errorOf(this.refuseJoin);
        this.joins.push(request);
        return { nodeId, certificate: await this.#issue(request.signingRequestPem) };
      },
      renewCertificate: async ({ signingRequestPem }, context) => {
        requireNode(context);
        return { certificate: await this.#issue(signingRequestPem) };
      },
      nodeSession: (requests, context) => this.#serve(requests, context),
      nodeStream: () => {
        throw new ServerError(Status.NOT_FOUND, 'no stream was offered');
      },
    };
  }

  async #issue(request: string): Promise<IssuedCertificate> {
    return await testAuthority.issue(request, `node/${nodeId}`);
  }

  async *#serve(
    requests: AsyncIterable<NodeSessionRequest>,
    context: CallContext,
  ): AsyncGenerator<NodeSessionResponse> {
    requireNode(context);
    if (this.refuseSession !== undefined) {
      this.refusals++;
      throw errorOf(this.refuseSession);
    }
    using controller = new ChildController(context.signal);
    const session = await this.#begin(requests[Symbol.asyncIterator](), controller);
    const { heartbeatMs, leaseMs } = this.#options;
    const sessionId = `session-${this.sessions.length}`;
    try {
      const { trust } = testAuthority;
      const welcome = { sessionId, leaseMs, heartbeatMs, trust, clock: undefined };
      yield { message: { $case: 'welcome', value: welcome } };
      while (!controller.signal.aborted) {
        const message = session.outbox.shift();
        if (message !== undefined) {
          yield message;
        } else if (!(await session.wakeup.waitFor(heartbeatMs, systemClock, controller.signal))) {
          if (!controller.signal.aborted) yield { message: { $case: 'heartbeat', value: {} } };
        }
      }
    } finally {
      session.hasEnded = true;
      if (this.#live === session) this.#live = undefined;
    }
    if (session.refusal !== undefined) throw errorOf(session.refusal);
  }

  async #begin(
    iterator: AsyncIterator<NodeSessionRequest>,
    controller: ChildController,
  ): Promise<LiveSession> {
    const first = await iterator.next();
    const message = first.done === true ? undefined : first.value.message;
    if (message?.$case !== 'hello') {
      throw new ServerError(Status.FAILED_PRECONDITION, 'the first message must be a hello');
    }
    const session: LiveSession = {
      hello: message.value,
      reports: [],
      heartbeats: 0,
      setsAskedFor: 0,
      volumes: undefined,
      hasEnded: false,
      wakeup: new Wakeup(),
      outbox: [],
      controller,
      refusal: undefined,
    };
    this.sessions.push(session);
    this.#live = session;
    this.engine = message.value.engine;
    this.#note(message.value.inventory);
    this.#complete(session);
    void this.#receive(iterator, session);
    return session;
  }

  async #receive(iterator: AsyncIterator<NodeSessionRequest>, session: LiveSession): Promise<void> {
    try {
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
        this.#take(next.value, session);
      }
    } catch {
      // Cut off or killed: ended like any other.
    }
    session.controller.abort();
  }

  #take({ message }: NodeSessionRequest, session: LiveSession): void {
    switch (message?.$case) {
      case 'report':
        session.reports.push(message.value);
        this.engine = message.value.engine ?? this.engine;
        this.#note(message.value.containers);
        return;
      case 'volumes':
        session.volumes = message.value.names;
        return;
      case 'assignmentsRequest':
        session.setsAskedFor++;
        this.#complete(session);
        return;
      case 'heartbeat':
        session.heartbeats++;
        return;
      case 'hello':
      case 'upgradeFailure':
      case 'upgradeStands':
      case 'containerFailure':
      case undefined:
        return;
    }
  }

  #note(statuses: readonly ContainerStatus[]): void {
    for (const status of statuses) {
      const known = this.history.get(status.containerId) ?? [];
      this.history.set(status.containerId, [...known, status]);
    }
  }

  #complete(session: LiveSession): void {
    send(session, {
      complete: true,
      sequence: ++this.#sequence,
      assignments: [...this.#assignments.values()],
      unfinished: false,
      forgotten: [],
    });
  }

  #increment(assignments: Assignment[], forgotten: string[]): void {
    if (this.#live === undefined) return;
    const sequence = ++this.#sequence;
    if (this.dropIncrements > 0) this.dropIncrements--;
    else send(this.#live, { complete: false, sequence, assignments, unfinished: false, forgotten });
  }
}

function send(
  session: LiveSession,
  value: Extract<NonNullable<NodeSessionResponse['message']>, { $case: 'assignments' }>['value'],
): void {
  session.outbox.push({ message: { $case: 'assignments', value } });
  session.wakeup.notify();
}

function authorize(context: CallContext, token: string): void {
  if (context.metadata.get('authorization') === `Bearer ${token}`) return;
  throw new ServerError(Status.UNAUTHENTICATED, 'the token is not known');
}

function requireNode({ metadata }: CallContext): void {
  if (peerOf(metadata)?.uri === `fairlead://${testInstallation}/node/${nodeId}`) return;
  throw new ServerError(Status.UNAUTHENTICATED, 'the certificate is not known');
}

function errorOf({ status, message }: AgentRefusal): ServerError {
  return new ServerError(status, message);
}
