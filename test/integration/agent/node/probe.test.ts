import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { promisify } from 'node:util';
import {
  Server as GrpcServer,
  ServerCredentials,
  status as grpcStatus,
  type sendUnaryData,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { describe, expect, test } from 'vitest';
import { probeWith, type ProbeTarget } from '../../../../agent/node/probe.ts';

const never = new AbortController().signal;
const probe = probeWith(() => Promise.reject(new Error('no command here')));
const host = '127.0.0.1';

/** A server on a free port, gone with the test. */
async function serve(server: Server): Promise<{ readonly port: number } & AsyncDisposable> {
  server.listen(0, host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, 'close');
    },
  };
}

async function freePort(): Promise<number> {
  await using server = await serve(createServer());
  return server.port;
}

const http = (port: number, path = '/healthz', details: object = {}): ProbeTarget => ({
  ...{ kind: 'http', host, port, path, method: 'GET', headers: {}, statuses: [] },
  ...details,
});

describe('a TCP check', () => {
  test('passes when the connection is accepted, even if it is closed at once', async () => {
    const closing = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.destroy();
    });
    await using server = await serve(closing);
    expect(await probe({ kind: 'tcp', host, port: server.port }, 1_000, never)).toBe('');
  });

  test('says that nobody listens', async () => {
    const port = await freePort();
    expect(await probe({ kind: 'tcp', host, port }, 1_000, never)).toBe(
      `${host}:${port} refuses connections`,
    );
  });

  test('says that an address does not answer in time, or is out of reach', async () => {
    // Test networks (RFC 5737): nobody is there, though some networks answer for them.
    const failure = await probe({ kind: 'tcp', host: '192.0.2.1', port: 9 }, 50, never);
    expect(failure).toMatch(
      /^192\.0\.2\.1:9 (did not answer within 50 ms|cannot be reached|refuses)/,
    );
  });
});

describe('a gRPC check', () => {
  /** A server whose health service answers this. */
  async function serveHealth(answer: (service: string) => number | undefined) {
    const server = new GrpcServer();
    const text = (bytes: Buffer) => bytes.subarray(2).toString();
    server.addService(
      {
        check: {
          path: '/grpc.health.v1.Health/Check',
          requestStream: false,
          responseStream: false,
          requestSerialize: (service: string) => Buffer.from(service),
          requestDeserialize: text,
          responseSerialize: (status: number) => Buffer.from([0x08, status]),
          responseDeserialize: (bytes: Buffer) => bytes[1] ?? 0,
        },
      },
      {
        check: (call: ServerUnaryCall<string, number>, done: sendUnaryData<number>) => {
          const status = answer(call.request);
          if (status === undefined) done({ code: grpcStatus.NOT_FOUND });
          else done(null, status);
        },
      },
    );
    const port = await promisify(server.bindAsync.bind(server))(
      `${host}:0`,
      ServerCredentials.createInsecure(),
    );
    return {
      target: (service = ''): ProbeTarget => ({ kind: 'grpc', host, port, service }),
      [Symbol.dispose]: () => {
        server.forceShutdown();
      },
    };
  }

  test('passes when the service is serving', async () => {
    using server = await serveHealth((service) => (service === 'web.v1' ? 1 : 2));
    expect(await probe(server.target('web.v1'), 5_000, never)).toBe('');
    expect(await probe(server.target('other'), 5_000, never)).toMatch(
      /other answered not serving$/,
    );
  });

  test('says what is wrong', async () => {
    using server = await serveHealth(() => undefined);
    expect(await probe(server.target('x'), 5_000, never)).toMatch(/ knows no such service$/);
    await using silent = await serve(
      createServer((socket) => {
        socket.on('error', () => undefined).resume();
      }),
    );
    const target: ProbeTarget = { kind: 'grpc', host, port: silent.port, service: '' };
    expect(await probe(target, 100, never)).toMatch(/ did not answer within 100 ms$/);
    const web = createHttpServer((_, response) => response.end('hello'));
    await using other = await serve(web);
    expect(await probe({ ...target, port: other.port }, 5_000, never)).toMatch(
      / (cannot be asked|closed the connection)/,
    );
    const nobody: ProbeTarget = { ...target, port: await freePort() };
    expect(await probe(nobody, 5_000, never)).toMatch(/ refuses connections$/);
  });
});

describe('an HTTP check', () => {
  test('asks as it is told, and expects what it is told', async () => {
    const asked: unknown[] = [];
    const answering = createHttpServer((request, response) => {
      const { method, url, headers } = request;
      asked.push([method, url, headers.host, headers['x-token']]);
      response.writeHead(418).end();
    });
    await using server = await serve(answering);
    const details = { method: 'POST', headers: { host: 'web', 'x-token': 'a' }, statuses: [418] };
    expect(await probe(http(server.port, '/up', details), 1_000, never)).toBe('');
    expect(asked).toEqual([['POST', '/up', 'web', 'a']]);
    const picky = http(server.port, '/up', { ...details, statuses: [200] });
    expect(await probe(picky, 1_000, never)).toMatch(/answered with status 418$/);
  });

  test.each([
    [200, ''],
    [204, ''],
    [302, ''],
    [400, 'answered with status 400'],
    [503, 'answered with status 503'],
  ])('answered with %i comes to "%s"', async (status, failure) => {
    let asked: string | undefined;
    const answering = createHttpServer((request, response) => {
      asked = `${String(request.method)} ${String(request.url)}`;
      response.writeHead(status, { location: '/elsewhere' }).end('body');
    });
    await using server = await serve(answering);
    const words = failure === '' ? '' : `http://${host}:${server.port}/healthz?full=1 ${failure}`;
    expect(await probe(http(server.port, '/healthz?full=1'), 1_000, never)).toBe(words);
    expect(asked).toBe('GET /healthz?full=1');
  });

  test('fails when the answer does not come in time', async () => {
    const hanging = createServer((socket) => socket.on('error', () => undefined).resume());
    await using server = await serve(hanging);
    expect(await probe(http(server.port), 50, never)).toBe(
      `http://${host}:${server.port}/healthz did not answer within 50 ms`,
    );
  });

  test('fails when the connection is closed without an answer', async () => {
    const closing = createServer((socket) => socket.on('error', () => undefined).destroy());
    await using server = await serve(closing);
    expect(await probe(http(server.port), 1_000, never)).toContain('closed the connection');
  });

  test('fails rather than throws at a path that cannot be asked for', async () => {
    expect(await probe(http(1, '/a path'), 1_000, never)).toContain('cannot be asked');
  });
});

test('a check ends when it is not wanted any more', async () => {
  const hanging = createServer((socket) => socket.on('error', () => undefined).resume());
  await using server = await serve(hanging);
  const stop = new AbortController();
  const failure = probe(http(server.port), 60_000, stop.signal);
  await once(hanging, 'connection');
  stop.abort();
  await failure;
});
