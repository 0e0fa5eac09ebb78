import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { systemClock } from '../../../../shared/clock.ts';
import { FrontendMode } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { DrivenProxy } from '../../../support/driven-proxy.ts';
import { eventually } from '../../../support/eventually.ts';
import { aSnapshot, aTarget } from '../../../support/fake-proxy-coordinator.ts';
import { freePort, Load, TestBackend } from '../../../support/haproxy.ts';
import { LocalServer } from '../../../support/local-server.ts';
import { aProtoRoute } from '../../../support/routes.ts';

/** Later than any limit. */
const tooLateMs = 45_000;

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** What somebody is told who says this, a byte at a time if `everyMs` is given, until he is cut. */
async function answerTo(port: number, words: Buffer | string, everyMs = 0): Promise<string> {
  const socket = await dial(port);
  let told = '';
  socket.on('data', (chunk: Buffer) => (told += chunk.toString('latin1')));
  const closed = new AbortController();
  socket.once('close', () => {
    closed.abort();
  });
  if (everyMs === 0) socket.write(words);
  else {
    for (const byte of Buffer.from(words)) {
      if (closed.signal.aborted) break;
      socket.write(Buffer.of(byte));
      await systemClock.sleep(everyMs, closed.signal);
    }
  }
  await systemClock.sleep(tooLateMs, closed.signal);
  if (!closed.signal.aborted) throw new Error('it was not cut');
  return told;
}

test('who has said all that it has to say, and shows it, is answered', async () => {
  const port = await freePort();
  await using web = await TestBackend.start('web');
  const targets = [aTarget({ id: 'web-1.a', port: web.port })];
  await using _driven = await DrivenProxy.start(aSnapshot(port, { targets }));
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let answer = '';
  socket.on('data', (bytes: Buffer) => (answer += bytes.toString('latin1')));
  socket.end('GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  await eventually(() => {
    expect(web.waiting).toBe(1);
  });
  // HAProxy has seen the end of it as well.
  await eventually(async () => {
    const table = await readFile('/proc/net/tcp', 'utf8');
    const mine = `:${socket.localPort!.toString(16).toUpperCase().padStart(4, '0')} 08 `;
    expect(table).toContain(mine);
  });
  web.finishSlow();
  await once(socket, 'end');
  expect(answer).toMatch(/^HTTP\/1.1 200 [^]*web$/);
});

test('who talks garbage, too much, too slowly or not at all is told so or cut, and the others are served', async () => {
  const port = await freePort();
  await using web = await TestBackend.start('web');
  const targets = [aTarget({ id: 'web-1.a', port: web.port })];
  await using driven = await DrivenProxy.start(aSnapshot(port, { targets }));
  const { directory } = driven;
  const { pid } = await directory.info();
  const load = new Load(port, { keepAlive: 2, fresh: 2 });

  const head = 'GET / HTTP/1.1\r\nhost: x\r\n';
  const tooLarge = `${head}x-large: ${'x'.repeat(64 * 1024)}\r\n\r\n`;
  // The beginning of a TLS record, where no TLS is spoken.
  const hello = Buffer.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01);
  const silent = await Promise.all(Array.from({ length: 200 }, () => dial(port)));
  const silentClosed = silent.map((socket) => once(socket.resume(), 'close'));
  const [garbage, foreign, large, slow] = await Promise.all([
    answerTo(port, 'what is this\r\n\r\n'),
    answerTo(port, hello),
    answerTo(port, tooLarge),
    answerTo(port, `${head}x-slow: ${'x'.repeat(1_000)}\r\n\r\n`, 200),
  ]);
  for (const told of [garbage, foreign]) {
    expect(told).toMatch(/^HTTP\/1\.[01] 400 Bad request\r\n/);
  }
  // Later versions say which of what is wrong it is.
  expect(large).toMatch(/^HTTP\/1\.[01] (400 Bad request|431 Request Header Fields Too Large)\r\n/);
  expect(slow).toMatch(/^HTTP\/1\.[01] 408 Request Time-out\r\n/);
  await Promise.all(silentClosed);

  await load.more(10);
  expect((await load.stop()).failures).toEqual([]);
  // The container heard the right ones alone, and HAProxy is the one that it was.
  expect(new Set(web.urls)).toEqual(new Set(['/']));
  expect(web.headers.some((fields) => 'x-slow' in fields || 'x-large' in fields)).toBe(false);
  expect((await directory.info()).pid).toBe(pid);
});

/** Takes every tunnel that it is asked for, and keeps what it is told by requests and inside of tunnels. */
class Accepting extends LocalServer {
  readonly told: IncomingMessage['headers'][] = [];
  inTunnels = '';

  constructor() {
    super(createServer());
    this.server.on('request', ({ headers }: IncomingMessage, response: ServerResponse) => {
      this.told.push(headers);
      response.end('web');
    });
    const accept = (answer: string) => (incoming: IncomingMessage, socket: Socket) => {
      this.told.push(incoming.headers);
      socket.on('error', () => undefined);
      socket.on('data', (bytes: Buffer) => (this.inTunnels += bytes.toString('latin1')));
      socket.write(answer);
    };
    this.server.on('connect', accept('HTTP/1.1 200 OK\r\n\r\n'));
    const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n';
    this.server.on('upgrade', accept(`${switching}Upgrade: h2c\r\n\r\n`));
  }
}

test.each(['routes', 'a pool alone'])(
  'nobody gets by routes in a tunnel, or has what containers are told of him dropped: with %s',
  async (what) => {
    const port = await freePort();
    await using web = await new Accepting().listen();
    const closed = aProtoRoute({ paths: ['/admin/*'], deny: ['127.0.0.0/8'] });
    const routes = [{ id: 'web.admin', backend: 'web', split: [], route: closed }];
    const frontend = { name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'web' };
    await using _driven = await DrivenProxy.start(
      aSnapshot(port, {
        frontends: [{ ...frontend, routes: what === 'routes' ? routes : [] }],
        targets: [aTarget({ id: 'web-1.a', port: web.port })],
      }),
    );
    const host = 'Host: a.test\r\n';
    const last = `GET /last HTTP/1.1\r\n${host}Connection: close\r\n\r\n`;
    const statuses = async (words: string) =>
      (await answerTo(port, words + last)).match(/(?<=HTTP\/1\.1 )\d+/g);

    expect(await statuses(`CONNECT a.test:80 HTTP/1.1\r\n${host}\r\n`)).toEqual(['405', '200']);
    const h2c = `GET / HTTP/1.1\r\n${host}HTTP2-Settings: AAMAAABk\r\nUpgrade: h2c\r\n`;
    const asked = 'Connection: Upgrade, HTTP2-Settings\r\n\r\n';
    expect(await statuses(h2c + asked)).toEqual(['200', '200']);
    expect(web.inTunnels).toBe('');
    expect(web.told.at(-2)).not.toHaveProperty('upgrade');
    expect(web.told.at(-2)?.connection ?? '').not.toMatch(/upgrade|settings/i);

    const named = 'Connection: X-Forwarded-For, x-ssl-client-verify, close\r\n';
    for (const upgrade of ['', 'Upgrade: other\r\n']) {
      const words = `GET / HTTP/1.1\r\n${host}${upgrade}${named}\r\n`;
      expect(await statuses(words)).toEqual(['200']);
      expect(web.told.at(-1)).toMatchObject({ 'x-forwarded-for': '127.0.0.1' });
      expect(web.told.at(-1)?.connection ?? '').not.toMatch(/x-/i);
    }

    const socket = await dial(port);
    socket.write(`GET / HTTP/1.1\r\n${host}Upgrade: other\r\n`);
    socket.write('Connection: keep-alive, upgrade, X-Forwarded-For\r\n\r\n');
    await once(socket, 'data');
    expect(web.told.at(-1)).toMatchObject({ upgrade: 'other' });
    expect(web.told.at(-1)?.connection).toMatch(/^upgrade$/i);
    socket.write('hello');
    await eventually(() => {
      expect(web.inTunnels).toBe('hello');
    });
    socket.destroy();
  },
);
