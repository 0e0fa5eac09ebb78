import { once } from 'node:events';
import {
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../../shared/clock.ts';
import {
  EnrolRequest,
  EnrolResponse,
  ProxyServiceDefinition,
  ProxySessionRequest,
  ProxySessionResponse,
  type BackendSnapshot,
  type Target,
} from '../../../shared/gen/fairlead/v1/proxy_service.ts';
import { testAuthority } from '../../support/test-authority.ts';

const { fullName, methods } = ProxyServiceDefinition;
const enrolPath = `/${fullName}/${methods.enrol.name}`;
const sessionPath = `/${fullName}/${methods.proxySession.name}`;
const leaseMs = 3_000;
const heartbeatMs = 1_000;
/** Before each message: whether it is compressed, and its length. */
const headBytes = 5;

/**
 * A coordinator of one proxy agent, which costs this machine as little as can be: a real one is on another host, and
 * what it takes there costs no request here. So it speaks gRPC on bare HTTP/2 and keeps no list.
 */
export class PlainCoordinator implements AsyncDisposable {
  /** The last version that the agent said is in effect; 0: none. */
  appliedVersion = 0;
  /** That were sent and received. */
  messages = 0;
  readonly #server: Http2SecureServer;
  readonly #connections = new Set<ServerHttp2Session>();
  readonly #list: BackendSnapshot;
  readonly #end = new AbortController();
  #version: number;
  #session: ServerHttp2Stream | undefined;
  /** What is to be sent: targets by id, or that they are gone. */
  readonly #changed = new Map<string, Target | undefined>();
  #paceMs = 0;
  #saidAtMs = -Infinity;
  #later: Disposable | undefined;

  private constructor(list: BackendSnapshot) {
    this.#list = list;
    this.#version = list.version;
    const { certificateChain: cert, privateKey: key, trust: ca } = testAuthority.serverIdentity;
    this.#server = createSecureServer({
      cert,
      key,
      ca,
      requestCert: true,
      rejectUnauthorized: false,
    });
    this.#server.on('session', (session) => {
      this.#connections.add(session);
      session.on('close', () => this.#connections.delete(session));
    });
    this.#server.on('stream', (stream, { ':path': path }) => {
      // An agent that was ended leaves its stream broken.
      stream.on('error', () => undefined);
      if (path === enrolPath) void this.#enrol(stream);
      else if (path === sessionPath) this.#converse(stream);
      else throw new Error(`an agent asked for ${path}`);
    });
  }

  static async start(list: BackendSnapshot): Promise<PlainCoordinator> {
    const coordinator = new PlainCoordinator(list);
    coordinator.#server.listen(0, '127.0.0.1');
    await once(coordinator.#server, 'listening');
    void coordinator.#giveSignsOfLife();
    return coordinator;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Changes targets, at the pace that the agent asks for, as a real coordinator changes those that drain before they go. */
  change(targets: readonly Target[], removedTargetIds: readonly string[] = []): void {
    for (const target of targets) this.#changed.set(target.id, target);
    for (const id of removedTargetIds) this.#changed.set(id, undefined);
    if (this.#later !== undefined) return;
    const inMs = this.#saidAtMs + this.#paceMs - systemClock.monotonic();
    if (inMs <= 0) this.#sayChanges();
    else {
      this.#later = systemClock.after(inMs, () => {
        this.#sayChanges();
      });
    }
  }

  #sayChanges(): void {
    this.#later = undefined;
    this.#saidAtMs = systemClock.monotonic();
    const { epoch } = this.#list;
    const baseVersion = this.#version++;
    const targets = [...this.#changed.values()].filter((target) => target !== undefined);
    const removedTargetIds = [...this.#changed.keys()].filter((id) => !this.#changed.get(id));
    this.#changed.clear();
    const value = { epoch, baseVersion, version: this.#version, targets, removedTargetIds };
    this.#say({ $case: 'delta', value });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    this.#later?.[Symbol.dispose]();
    for (const connection of this.#connections) connection.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #enrol(stream: ServerHttp2Stream): Promise<void> {
    const request = await new Promise<EnrolRequest>((resolve) => {
      listen(stream, (message) => {
        resolve(EnrolRequest.decode(message));
      });
    });
    const certificate = await testAuthority.issue(
      request.signingRequestPem,
      'proxy/00000000000000aa',
    );
    answer(stream);
    stream.end(framed(EnrolResponse.encode({ certificate }).finish()));
  }

  #converse(stream: ServerHttp2Stream): void {
    answer(stream);
    this.#session = stream;
    listen(stream, (bytes) => {
      this.messages++;
      const { message } = ProxySessionRequest.decode(bytes);
      if (message?.$case === 'applied') this.appliedVersion = message.value.version;
      if (message?.$case === 'pace') this.#paceMs = message.value.leastIntervalMs;
    });
    const { trust } = testAuthority;
    this.#say({ $case: 'welcome', value: { sessionId: 'bench', leaseMs, heartbeatMs, trust } });
    this.#say({ $case: 'snapshot', value: this.#list });
  }

  #say(message: ProxySessionResponse['message']): void {
    this.messages++;
    this.#session?.write(framed(ProxySessionResponse.encode({ message }).finish()));
  }

  async #giveSignsOfLife(): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      await systemClock.sleep(heartbeatMs, signal);
      if (!signal.aborted) this.#say({ $case: 'heartbeat', value: {} });
    }
  }
}

function answer(stream: ServerHttp2Stream): void {
  stream.on('wantTrailers', () => {
    stream.sendTrailers({ 'grpc-status': '0' });
  });
  stream.respond(
    { ':status': 200, 'content-type': 'application/grpc+proto' },
    { waitForTrailers: true },
  );
}

/** Hands over each message that is whole. */
function listen(stream: ServerHttp2Stream, onMessage: (bytes: Uint8Array) => void): void {
  let received: Buffer = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    while (received.length >= headBytes) {
      const end = headBytes + received.readUInt32BE(1);
      if (received.length < end) return;
      onMessage(received.subarray(headBytes, end));
      received = received.subarray(end);
    }
  });
}

function framed(message: Uint8Array): Buffer {
  const bytes = Buffer.alloc(headBytes + message.length);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, headBytes);
  return bytes;
}
