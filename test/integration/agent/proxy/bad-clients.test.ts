import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { systemClock } from '../../../../shared/clock.ts';
import { DrivenProxy } from '../../../support/driven-proxy.ts';
import { eventually } from '../../../support/eventually.ts';
import { aSnapshot, aTarget } from '../../../support/fake-proxy-coordinator.ts';
import { freePort, Load, TestBackend } from '../../../support/haproxy.ts';

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
