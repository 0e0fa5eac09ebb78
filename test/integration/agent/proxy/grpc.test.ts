import {
  credentials,
  makeGenericClientConstructor,
  Metadata,
  Server,
  ServerCredentials,
  status,
  type ClientDuplexStream,
  type ClientReadableStream,
  type MethodDefinition,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import {
  FrontendMode,
  type BackendSnapshot,
  type DeepPartial,
  type FrontendTls,
} from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { ClientCertificates, TlsPolicy } from '../../../../shared/gen/fairlead/v1/tls.ts';
import { TargetMode } from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
import { DrivenProxy } from '../../../support/driven-proxy.ts';
import { eventually } from '../../../support/eventually.ts';
import {
  aSnapshot,
  aTarget,
  FakeProxyCoordinator,
} from '../../../support/fake-proxy-coordinator.ts';
import {
  freePort,
  HaproxyDirectory,
  proxyConfig,
  RunningProxyAgent,
} from '../../../support/haproxy.ts';
import { aProtoRoute } from '../../../support/routes.ts';
import { SiteAuthority } from '../../../support/site-certificates.ts';

function method(
  path: string,
  { requestStream = false, responseStream = false } = {},
): MethodDefinition<string, string> {
  const write = (text: string) => Buffer.from(text);
  const read = (bytes: Buffer) => bytes.toString();
  return {
    ...{ path, requestStream, responseStream, requestSerialize: write, requestDeserialize: read },
    ...{ responseSerialize: write, responseDeserialize: read },
  };
}

const service = {
  echo: method('/test.Test/Echo'),
  refuse: method('/test.Test/Refuse'),
  count: method('/test.Test/Count', { responseStream: true }),
  hang: method('/test.Test/Hang', { responseStream: true }),
  talk: method('/test.Test/Talk', { requestStream: true, responseStream: true }),
};

/** A gRPC server without TLS that says its name, also in the trailers of every answer. */
class TestGrpcServer implements AsyncDisposable {
  readonly #server = new Server();
  #port = 0;

  static async start(name: string): Promise<TestGrpcServer> {
    const started = new TestGrpcServer();
    const trailers = new Metadata();
    trailers.set('x-server', name);
    started.#server.addService(service, {
      echo: ({ request }: ServerUnaryCall<string, string>, reply: sendUnaryData<string>) => {
        reply(null, `${name}: ${request}`, trailers);
      },
      refuse: (_call: unknown, reply: sendUnaryData<string>) => {
        reply({ code: status.FAILED_PRECONDITION, details: `not ${name}`, metadata: trailers });
      },
      count: (call: ServerWritableStream<string, string>) => {
        for (const number of ['1', '2', '3']) call.write(`${name}: ${number}`);
        call.end(trailers);
      },
      hang: (call: ServerWritableStream<string, string>) => {
        call.on('error', () => undefined);
        call.write(`${name}: once`);
      },
      talk: (call: ServerDuplexStream<string, string>) => {
        call.on('data', (text: string) => call.write(`${name}: ${text}`));
        call.on('end', () => {
          call.end(trailers);
        });
        call.on('error', () => undefined);
      },
    });
    started.#port = await new Promise<number>((resolve, reject) => {
      started.#server.bindAsync(
        '127.0.0.1:0',
        ServerCredentials.createInsecure(),
        (error, port) => {
          if (error === null) resolve(port);
          else reject(error);
        },
      );
    });
    return started;
  }

  get port(): number {
    return this.#port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
    await Promise.resolve();
  }
}

type Callback = (error: ServiceError | null, value?: string) => void;
interface TestClient {
  echo(request: string, done: Callback): unknown;
  refuse(request: string, done: Callback): unknown;
  count(request: string): ClientReadableStream<string>;
  hang(request: string): ClientReadableStream<string>;
  talk(): ClientDuplexStream<string, string>;
  close(): void;
}

const Client = makeGenericClientConstructor(service, 'Test');

function dial(port: number, security = credentials.createInsecure(), options = {}) {
  const client = new Client(`127.0.0.1:${port}`, security, options) as unknown as TestClient;
  return {
    client,
    [Symbol.dispose]: () => {
      client.close();
    },
  };
}

async function unary(client: TestClient, name: 'echo' | 'refuse', text: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    client[name](text, (error, value) => {
      if (error === null) resolve(value ?? '');
      else reject(error);
    });
  });
}

/** A stream, and what came of it. */
class Stream {
  readonly received: string[] = [];
  end: Pick<StatusObject, 'code' | 'metadata'> | undefined;

  constructor(call: ClientReadableStream<string>) {
    call.on('data', (text: string) => this.received.push(text));
    call.on('error', () => undefined);
    call.on('status', (end: StatusObject) => (this.end = end));
  }

  get trailer(): unknown {
    return this.end?.metadata.get('x-server')[0];
  }
}

function aList(
  port: number,
  one: TestGrpcServer,
  changes: {
    version?: number;
    frontends?: DeepPartial<BackendSnapshot>['frontends'];
    tls?: DeepPartial<FrontendTls>;
  } = {},
): BackendSnapshot {
  // Streams may be silent for longer than requests may take at first.
  const route = aProtoRoute({ responseTimeoutMs: 600_000 });
  const hurried = aProtoRoute({ hosts: ['hurried.test'], responseTimeoutMs: 1_000 });
  return aSnapshot(port, {
    version: changes.version ?? 1,
    frontends: [
      {
        ...{ name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'none' },
        routes: [
          { id: 'web.1', backend: 'web', route, split: [] },
          { id: 'web.2', backend: 'web', route: hurried, split: [] },
        ],
        ...(changes.tls === undefined ? {} : { tls: changes.tls }),
      },
      ...(changes.frontends ?? []),
    ],
    targets: [aTarget({ id: 'web-1.a', port: one.port, http2: true })],
  });
}

test('carries calls and streams of gRPC to containers, with trailers, while containers come and go', async () => {
  const port = await freePort();
  await using one = await TestGrpcServer.start('one');
  await using two = await TestGrpcServer.start('two');
  await using driven = await DrivenProxy.start(aList(port, one));
  const { coordinator } = driven;
  using dialled = dial(port);
  const { client } = dialled;
  expect(await unary(client, 'echo', 'hello')).toBe('one: hello');
  await expect(unary(client, 'refuse', 'x')).rejects.toMatchObject({
    code: status.FAILED_PRECONDITION,
    details: 'not one',
  });
  const counted = new Stream(client.count('x'));
  await eventually(() => {
    expect(counted.end?.code).toBe(status.OK);
  });
  expect(counted.received).toEqual(['one: 1', 'one: 2', 'one: 3']);
  expect(counted.trailer).toBe('one');

  const call = client.talk();
  const talk = new Stream(call);
  const says = async (text: string) => {
    call.write(text);
    await eventually(() => {
      expect(talk.received.at(-1)).toBe(`one: ${text}`);
    });
  };
  await says('before');
  // Each route has its own time for which a stream may be silent.
  using impatient = dial(port, undefined, { 'grpc.default_authority': 'hurried.test' });
  const cut = new Stream(impatient.client.hang('x'));
  await eventually(() => {
    expect(cut.received).toEqual(['one: once']);
  });
  // Its client may say more, or not.
  const open = impatient.client.talk();
  const both = new Stream(open);
  open.write('once');
  await eventually(() => {
    expect(both.received).toEqual(['one: once']);
  });
  await eventually(() => {
    expect(cut.end?.code ?? status.OK).not.toBe(status.OK);
    expect(both.end?.code ?? status.OK).not.toBe(status.OK);
  });
  await says('after another was silent for too long');
  await coordinator.untilApplied(
    coordinator.change([aTarget({ id: 'web-2.b', port: two.port, http2: true })]),
  );
  await says('beside another');
  const answers = [await unary(client, 'echo', '1'), await unary(client, 'echo', '2')];
  expect(answers.map((answer) => answer.slice(0, 3)).sort()).toEqual(['one', 'two']);
  const drain = aTarget({ id: 'web-1.a', port: one.port, http2: true, mode: TargetMode.DRAIN });
  await coordinator.untilApplied(coordinator.change([drain]));
  expect(await unary(client, 'echo', '3')).toBe('two: 3');
  await says('in drain');
  expect(coordinator.target('web-1.a')?.drained ?? false).toBe(false);
  call.end();
  await eventually(() => {
    expect([talk.end?.code, talk.trailer]).toEqual([status.OK, 'one']);
    expect(coordinator.target('web-1.a')).toMatchObject({ drained: true });
  });
});

test('ends a stream at the deadline of a drain, and leaves streams and calls alone in a reload', async () => {
  const [port, other] = [await freePort(), await freePort()];
  await using one = await TestGrpcServer.start('one');
  await using two = await TestGrpcServer.start('two');
  await using driven = await DrivenProxy.start(aList(port, one));
  const { coordinator, directory } = driven;
  using dialled = dial(port);
  const { client } = dialled;
  const { pid } = await directory.info();
  const call = client.talk();
  const talk = new Stream(call);
  call.write('1');
  await eventually(() => {
    expect(talk.received).toEqual(['one: 1']);
  });
  const more = { name: 'more', port: other, mode: FrontendMode.HTTP, defaultBackend: 'web' };
  coordinator.replace(aList(port, one, { version: 2, frontends: [more] }));
  await coordinator.untilApplied(2);
  expect((await directory.info()).pid).not.toBe(pid);
  call.write('2');
  // The connection is the old worker's, and so is every call on it until the client dials anew.
  expect(await unary(client, 'echo', 'new')).toBe('one: new');
  const counted = new Stream(client.count('x'));
  await eventually(() => {
    expect(talk.received).toEqual(['one: 1', 'one: 2']);
    expect([counted.received.length, counted.end?.code, counted.trailer]).toEqual([3, 0, 'one']);
  });
  await expect(unary(client, 'refuse', 'x')).rejects.toMatchObject({ details: 'not one' });
  const drain = { mode: TargetMode.DRAIN, drainTimeoutMs: 500 };
  const targets = [
    aTarget({ id: 'web-1.a', port: one.port, http2: true, ...drain }),
    aTarget({ id: 'web-2.b', port: two.port, http2: true }),
  ];
  await coordinator.untilApplied(coordinator.change(targets));
  await eventually(() => {
    expect(talk.end?.code).not.toBe(undefined);
    expect(talk.end?.code).not.toBe(status.OK);
    expect(coordinator.target('web-1.a')).toMatchObject({ drained: true });
  });
  expect(await unary(client, 'echo', 'after')).toBe('two: after');
});

test('carries calls and streams of gRPC that come in TLS, by certificate and name', async () => {
  const port = await freePort();
  const authority = await SiteAuthority.make();
  const site = await authority.site('api.example.com');
  await using one = await TestGrpcServer.start('one');
  const tls = { policy: TlsPolicy.MODERN, clientCertificates: ClientCertificates.NONE };
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(aList(port, one, { tls }));
  coordinator.hand({ site });
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await coordinator.untilApplied(1);
  await eventually(() => {
    expect(coordinator.serving).toEqual({ site: site.serialNumber });
  });
  const trusted = credentials.createSsl(Buffer.from(authority.root.pem));
  const named = (name: string) => ({ 'grpc.ssl_target_name_override': name });
  using dialled = dial(port, trusted, named('api.example.com'));
  const { client } = dialled;
  expect(await unary(client, 'echo', 'hello')).toBe('one: hello');
  await expect(unary(client, 'refuse', 'x')).rejects.toMatchObject({ details: 'not one' });
  const counted = new Stream(client.count('x'));
  const call = client.talk();
  const talk = new Stream(call);
  call.write('both ways');
  await eventually(() => {
    expect(talk.received).toEqual(['one: both ways']);
    expect([counted.received.length, counted.end?.code, counted.trailer]).toEqual([3, 0, 'one']);
  });
  call.end();
  await eventually(() => {
    expect([talk.end?.code, talk.trailer]).toEqual([status.OK, 'one']);
  });
  using stranger = dial(port, trusted, named('other.example.com'));
  await expect(unary(stranger.client, 'echo', 'x')).rejects.toMatchObject({
    code: status.UNAVAILABLE,
  });
});
