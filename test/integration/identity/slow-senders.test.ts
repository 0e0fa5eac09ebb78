import { once } from 'node:events';
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2';
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect } from '../../../client/index.ts';
import { systemClock } from '../../../shared/clock.ts';
import { Installation } from '../../support/installation.ts';

let installation: Installation;

beforeAll(async () => {
  installation = await Installation.start();
});

afterAll(async () => {
  await installation[Symbol.asyncDispose]();
});

const getInfo = '/fairlead.v1.ControlService/GetInfo';
/** Later than any limit. */
const tooLateMs = 45_000;

interface Door {
  readonly name: string;
  readonly port: () => number;
  readonly protocol: string;
}

const doors: readonly Door[] = [
  { name: 'gRPC', port: () => installation.coordinator.port, protocol: 'h2' },
  { name: 'HTTPS', port: () => installation.coordinator.httpPort, protocol: 'http/1.1' },
];

/** What the first message of a TLS client is. */
async function clientHello(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connectTls({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  client.on('error', () => undefined);
  const [socket] = await accepted;
  const [hello] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return hello;
}

async function dial(port: number): Promise<Socket> {
  const socket = connectTcp(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

async function secured({ port, protocol }: Door): Promise<TLSSocket> {
  const socket = connectTls({
    ...{ host: '127.0.0.1', port: port(), servername: 'localhost' },
    ...{ ca: installation.coordinator.authorities, ALPNProtocols: [protocol] },
  });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  return socket;
}

/** Sends one byte after the other, slowly; resolves to what it was told when it is cut. */
async function drip(socket: Socket, bytes: Buffer, everyMs = 200): Promise<string> {
  let told = '';
  socket.on('data', (chunk: Buffer) => (told += chunk.toString('latin1')));
  const closed = new AbortController();
  socket.once('close', () => {
    closed.abort();
  });
  for (const byte of bytes) {
    if (closed.signal.aborted) break;
    socket.write(Buffer.of(byte));
    await systemClock.sleep(everyMs, closed.signal);
  }
  await systemClock.sleep(tooLateMs, closed.signal);
  if (!closed.signal.aborted) throw new Error('it was not cut');
  return told;
}

/** A connection of HTTP/2, whose pings are answered by the library. */
async function http2Session(): Promise<ClientHttp2Session> {
  const session = connectHttp2(`https://localhost:${installation.coordinator.port}`, {
    ca: installation.coordinator.authorities,
  });
  session.on('error', () => undefined);
  await once(session, 'connect');
  return session;
}

/** Begins a call and never ends it. */
function halfCall(session: ClientHttp2Session, headers: Record<string, string>) {
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: getInfo,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  stream.on('error', () => undefined);
  return stream;
}

async function rightClientIsServed(): Promise<void> {
  expect((await installation.client.control.getInfo({})).principal).toBe('admin');
  const answer = await installation.coordinator.fetch('/healthz', {});
  expect(await answer.text()).toBe('ok\n');
}

describe.concurrent.each(doors)('the port of $name cuts', (door) => {
  test('who shakes hands a byte at a time, after five seconds', async () => {
    expect(await drip(await dial(door.port()), await clientHello())).toBe('');
  });

  test.each([
    ['says nothing', Buffer.alloc(0)],
    [
      'says what he wants a byte at a time',
      Buffer.from(
        door.protocol === 'h2'
          ? 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
          : `GET /healthz HTTP/1.1\r\nx-long: ${'x'.repeat(1_000)}\r\n\r\n`,
      ),
    ],
  ])('who %s after the handshake, within some ten seconds', async (_what, words) => {
    const told = await drip(await secured(door), words);
    // Of HTTP/2, the settings and a ping that was not answered.
    if (door.protocol !== 'h2') expect(told).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
  });
});

describe.concurrent('a stranger is answered before he is heard out', () => {
  test('over HTTPS, and cut', async () => {
    const socket = await secured(doors[1]!);
    const head = `POST ${getInfo} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json`;
    socket.write(`${head}\r\ncontent-length: 4000000\r\n\r\n{`);
    const told = await drip(socket, Buffer.alloc(1_000, ' '), 10);
    expect(told).toMatch(/^HTTP\/1\.1 401 Unauthorized\r\n/);
    expect(told).toContain('connection: close');
    expect(told).toContain('TOKEN_INVALID');
  });

  test.each([{}, { authorization: 'Bearer wrong' }])('over gRPC, with %o', async (headers) => {
    const session = await http2Session();
    const stream = halfCall(session, headers);
    const closed = once(stream, 'close');
    const [answer] = (await once(stream.resume(), 'response')) as [Record<string, string>];
    expect(answer).toMatchObject({ 'grpc-status': '16', 'error-reason': 'TOKEN_INVALID' });
    await closed;
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
    session.destroy();
  });

  test('over gRPC, however many calls he begins', async () => {
    const session = await http2Session();
    const streams = Array.from({ length: 500 }, () => halfCall(session, {}).resume());
    const closed = streams.map((stream) => {
      stream.write(Buffer.of(0, 0, 0x3f, 0xff, 0xff));
      return once(stream, 'close');
    });
    await Promise.all(closed);
    session.destroy();
  });
});

describe('while hundreds of connections are half open', () => {
  test.each(doors)('on the port of $name, right clients are served', async (door) => {
    const hello = await clientHello();
    const memory = process.memoryUsage.rss();
    const halves = await Promise.all(
      Array.from({ length: 600 }, async (_, index) => {
        const socket = await dial(door.port());
        if (index % 2 === 0) socket.write(hello.subarray(0, 100));
        return socket;
      }),
    );
    const closed = halves.map((socket) => once(socket.resume(), 'close'));
    await rightClientIsServed();
    await using another = await connect({
      address: installation.coordinator.address,
      token: installation.adminToken,
    });
    expect((await another.control.getInfo({})).principal).toBe('admin');
    expect(halves.filter(({ closed }) => closed)).toEqual([]);
    // Both ends of each are in this process.
    expect((process.memoryUsage.rss() - memory) / halves.length).toBeLessThan(200_000);
    await Promise.all(closed);
    await rightClientIsServed();
  });
});
