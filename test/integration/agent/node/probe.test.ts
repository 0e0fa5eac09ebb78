import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { describe, expect, test } from 'vitest';
import { probe, type ProbeTarget } from '../../../../agent/node/probe.ts';

const never = new AbortController().signal;
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

const http = (port: number, path = '/healthz'): ProbeTarget => ({ kind: 'http', host, port, path });

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

describe('an HTTP check', () => {
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
