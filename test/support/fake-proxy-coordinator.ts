import assert from 'node:assert/strict';
import { createServer, ServerError, type CallContext, Status, type Server } from 'nice-grpc';
import { systemClock } from '../../shared/clock.ts';
import {
  BackendSnapshot,
  FrontendMode,
  ProxyServiceDefinition,
  Target,
  type DeepPartial,
  type Applied,
  type BackendDelta,
  type CertificateContent,
  type HeldCertificate,
  type ProxyHello,
  type ProxySessionRequest,
  type ProxySessionResponse,
  type ProxyStatus,
  type TargetStatus,
} from '../../shared/gen/fairlead/v1/proxy_service.ts';
import { TargetMode } from '../../shared/gen/fairlead/v1/load_balancer.ts';
import { peerOf, tellPeer } from '../../coordinator/api/peer.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import { eventually } from './eventually.ts';
import type { Site } from './site-certificates.ts';
import { testAuthority, testInstallation } from './test-authority.ts';

/** What proxies enrol with. */
export const proxyToken = testAuthority.token('proxy');
const who = 'proxy/00000000000000aa';

/** What a test says of a target; the rest is filled in. */
export type TargetOptions = Partial<Target> & Pick<Target, 'id' | 'port'>;

/** A target of the backend `web` on the loopback address. */
export function aTarget(options: TargetOptions): Target {
  return Target.fromPartial({
    backend: 'web',
    address: '127.0.0.1',
    mode: TargetMode.READY,
    drainTimeoutMs: 10_000,
    container: options.id,
    ...options,
  });
}

/** A list with one HTTP frontend for the backend `web`. */
export function aSnapshot(
  port: number,
  options: DeepPartial<BackendSnapshot> = {},
): BackendSnapshot {
  return BackendSnapshot.fromPartial({
    epoch: 'epoch-1',
    version: 1,
    frontends: [
      {
        name: 'http',
        port,
        mode: FrontendMode.HTTP,
        defaultBackend: 'web',
        routes: [],
        tls: undefined,
      },
    ],
    backends: [{ name: 'web', mode: FrontendMode.HTTP }],
    targets: [],
    ...options,
  });
}

/** One session of a proxy, as the coordinator sees it. */
interface Session {
  readonly outgoing: ProxySessionResponse[];
  readonly wakeup: Wakeup;
  readonly life: AbortController;
}

/**
 * A coordinator that says what a test tells it to: a real gRPC server of ProxyService.
 *
 * It keeps a list of its own, so that each new session gets it whole, as from the real one.
 */
export class FakeProxyCoordinator implements AsyncDisposable {
  readonly hellos: ProxyHello[] = [];
  readonly applied: Applied[] = [];
  readonly statuses: ProxyStatus[] = [];
  /** Reports of targets, each as it came. */
  readonly reports: TargetStatus[] = [];
  snapshotRequests = 0;
  /** What proxies said of how often they can do with changes, in milliseconds. */
  readonly paces: number[] = [];
  /** Authorizations that proxies enrolled with. */
  readonly authorizations: string[] = [];
  /** Sessions that were asked for. */
  attempts = 0;
  heartbeats = 0;
  leaseMs = 3_000;
  heartbeatMs = 1_000;
  /** When set, sessions are refused with it. */
  refusal: { readonly status: Status; readonly words: string } | undefined;
  list: BackendSnapshot | undefined;
  /** What each report of certificates said. */
  readonly held: (readonly HeldCertificate[])[] = [];
  #certificates: readonly CertificateContent[] | undefined;
  readonly #sessions = new Set<Session>();
  #server: Server | undefined;
  #port = 0;

  static async start(list?: BackendSnapshot): Promise<FakeProxyCoordinator> {
    const coordinator = new FakeProxyCoordinator();
    coordinator.list = list;
    await coordinator.listen();
    return coordinator;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get connected(): number {
    return this.#sessions.size;
  }

  /** Serves, on the same port as before if there was one. */
  async listen(): Promise<void> {
    const server = createServer({ interceptors: [tellPeer(testAuthority)] });
    const issue = async (request: string) => ({
      certificate: await testAuthority.issue(request, who),
    });
    server.add(ProxyServiceDefinition, {
      enrol: ({ signingRequestPem }, { metadata }) => {
        this.authorizations.push(metadata.get('authorization') ?? '');
        return issue(signingRequestPem);
      },
      renewProxyCertificate: ({ signingRequestPem }) => issue(signingRequestPem),
      proxySession: (requests, context) => this.#serve(requests, context),
    });
    this.#server = server;
    this.#port = await server.listen(`127.0.0.1:${this.#port}`, testAuthority.serverCredentials());
  }

  /** Is gone, as after a crash. */
  shutdown(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  /** Ends all sessions, but goes on serving. */
  dropSessions(): void {
    for (const { life } of this.#sessions) life.abort();
  }

  send(message: ProxySessionResponse['message']): void {
    for (const { outgoing, wakeup } of this.#sessions) {
      outgoing.push({ message });
      wakeup.notify();
    }
  }

  /** Gives proxies a whole new list. */
  replace(list: BackendSnapshot): void {
    this.list = list;
    this.send({ $case: 'snapshot', value: list });
  }

  /** Has proxies show these certificates, by id; the first where no other fits. */
  hand(sites: Readonly<Record<string, Pick<Site, 'chain' | 'key' | 'serialNumber'>>>): void {
    this.#certificates = Object.entries(sites).map(([id, { chain, key, serialNumber }]) => ({
      ref: { id, digest: serialNumber },
      chainPem: chain,
      privateKeyPem: key,
    }));
    for (const message of this.#certificateMessages()) this.send(message);
  }

  #certificateMessages(): NonNullable<ProxySessionResponse['message']>[] {
    if (this.#certificates === undefined) return [];
    const certificates = this.#certificates.flatMap(({ ref }) => ref ?? []);
    return [
      ...this.#certificates.map((value) => ({ $case: 'certificate' as const, value })),
      { $case: 'certificates', value: { certificates } },
    ];
  }

  /** The certificates that are in effect, as was reported last: their serial numbers, by id. */
  get serving(): Record<string, string> {
    const held = this.held.at(-1) ?? [];
    return Object.fromEntries(
      held.map(({ certificate, message }) => [certificate?.id, message || certificate?.digest]),
    ) as Record<string, string>;
  }

  /** Changes targets by a delta, and returns its version. */
  change(targets: readonly Target[], removedTargetIds: readonly string[] = []): number {
    const before = this.list;
    if (before === undefined) throw new Error('a change needs a list to change');
    const version = before.version + 1;
    const kept = new Map(before.targets.map((target) => [target.id, target]));
    for (const id of removedTargetIds) kept.delete(id);
    for (const target of targets) kept.set(target.id, target);
    this.list = { ...before, version, targets: [...kept.values()] };
    const delta: BackendDelta = {
      epoch: before.epoch,
      baseVersion: before.version,
      version,
      targets: [...targets],
      removedTargetIds: [...removedTargetIds],
    };
    this.send({ $case: 'delta', value: delta });
    return version;
  }

  /** The last version that a proxy said is in effect; 0: none. */
  get appliedVersion(): number {
    return this.applied.at(-1)?.version ?? 0;
  }

  /** The last version that a proxy said is in effect with its frontends and routes; 0: none. */
  get structureVersion(): number {
    return this.applied.at(-1)?.structureVersion ?? 0;
  }

  /** Waits until a version is in effect, and all of it. */
  async untilApplied(version: number): Promise<void> {
    await eventually(() => {
      assert.equal(this.status?.message, '');
      assert.deepEqual([...this.errors], []);
      assert.equal(this.appliedVersion, version);
      assert.equal(this.structureVersion, version);
    });
  }

  /** Words on refused targets of the last version in effect. */
  get errors(): ReadonlyMap<string, string> {
    const errors = this.applied.at(-1)?.errors ?? [];
    return new Map(errors.map(({ targetId, message }) => [targetId, message]));
  }

  /** What a proxy last said of its HAProxy. */
  get status(): ProxyStatus | undefined {
    return this.statuses.at(-1) ?? this.hellos.at(-1)?.status;
  }

  /** What a proxy last said of a target. */
  target(id: string): TargetStatus | undefined {
    return this.reports.findLast(({ targetId }) => targetId === id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.shutdown();
    return Promise.resolve();
  }

  async *#serve(
    requests: AsyncIterable<ProxySessionRequest>,
    context: CallContext,
  ): AsyncGenerator<ProxySessionResponse> {
    if (peerOf(context.metadata)?.uri !== `fairlead://${testInstallation}/${who}`) {
      throw new ServerError(Status.UNAUTHENTICATED, 'the certificate is not known');
    }
    this.attempts++;
    if (this.refusal !== undefined) throw new ServerError(this.refusal.status, this.refusal.words);
    const session: Session = { outgoing: [], wakeup: new Wakeup(), life: new AbortController() };
    const leave = () => {
      session.life.abort();
    };
    context.signal.addEventListener('abort', leave);
    void this.#listenTo(requests).finally(leave);
    const { leaseMs, heartbeatMs } = this;
    const { trust } = testAuthority;
    session.outgoing.push({
      message: { $case: 'welcome', value: { sessionId: 'session', leaseMs, heartbeatMs, trust } },
    });
    for (const message of this.#certificateMessages()) session.outgoing.push({ message });
    if (this.list !== undefined) {
      session.outgoing.push({ message: { $case: 'snapshot', value: this.list } });
    }
    this.#sessions.add(session);
    try {
      yield* this.#say(session);
    } finally {
      this.#sessions.delete(session);
      context.signal.removeEventListener('abort', leave);
    }
  }

  async *#say({ outgoing, wakeup, life }: Session): AsyncGenerator<ProxySessionResponse> {
    while (!life.signal.aborted) {
      yield* outgoing.splice(0);
      const notified = await wakeup.waitFor(this.heartbeatMs, systemClock, life.signal);
      if (!notified) yield { message: { $case: 'heartbeat', value: {} } };
    }
  }

  async #listenTo(requests: AsyncIterable<ProxySessionRequest>): Promise<void> {
    try {
      for await (const { message } of requests) this.#note(message);
    } catch {
      // The stream ended.
    }
  }

  #note(message: ProxySessionRequest['message']): void {
    switch (message?.$case) {
      case 'hello':
        this.hellos.push(message.value);
        return;
      case 'applied':
        this.applied.push(message.value);
        return;
      case 'targets':
        this.reports.push(...message.value.targets);
        return;
      case 'status':
        this.statuses.push(message.value);
        return;
      case 'snapshotRequest':
        this.snapshotRequests++;
        if (this.list !== undefined) this.send({ $case: 'snapshot', value: this.list });
        return;
      case 'pace':
        this.paces.push(message.value.leastIntervalMs);
        return;
      case 'certificates':
        this.held.push(message.value.certificates);
        return;
      case 'heartbeat':
        this.heartbeats++;
        return;
      case undefined:
        return;
    }
  }
}
