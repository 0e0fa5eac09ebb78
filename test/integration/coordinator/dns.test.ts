import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { decode, encode, streamEncode } from 'dns-packet';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { serveDns } from '../../../coordinator/dns/dns-server.ts';
import { systemClock, type Clock } from '../../../shared/clock.ts';
import { createLogger } from '../../../shared/logger.ts';
import { CoordinatorInProcess } from '../../support/coordinator-in-process.ts';
import { eventually } from '../../support/eventually.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';

const log = createLogger({ level: 'silent', process: 'coordinator' });
const many = Array.from({ length: 200 }, (_, index) => `198.51.100.${index + 1}`);
const name = 'web.fairlead.internal';

/** A server of one name with 200 addresses. */
async function start(clock: Pick<Clock, 'now' | 'after'> = systemClock) {
  const life = new AbortController();
  const zone = { name: 'fairlead.internal', ttlSeconds: 5, lookup: () => many };
  const options = { host: '127.0.0.1', port: 0, zone, clock, log };
  const server = await serveDns(options, life.signal);
  return {
    port: server.port,
    async [Symbol.asyncDispose]() {
      life.abort();
      await server.closed;
    },
  };
}

function resolverOf(port: number): Resolver {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  resolver.setServers([`127.0.0.1:${port}`]);
  return resolver;
}

/** Sends one datagram and resolves to the answer. */
async function exchange(port: number, bytes: Uint8Array): Promise<Buffer> {
  const socket = createSocket('udp4');
  try {
    const answered = once(socket, 'message');
    socket.send(bytes, port, '127.0.0.1');
    const [message] = (await answered) as [Buffer];
    return message;
  } finally {
    socket.close();
  }
}

const query = (id: number) =>
  encode({ type: 'query', id, questions: [{ type: 'A', name, class: 'IN' }] });

test('what is too long for UDP is told to come over TCP, and comes there', async () => {
  await using server = await start();
  const truncated = decode(await exchange(server.port, query(1)));
  expect(truncated).toMatchObject({ flag_tc: true, answers: [] });
  // A resolver of the system asks again by itself.
  const addresses = await resolverOf(server.port).resolve4(name);
  expect(addresses.toSorted()).toEqual(many.toSorted());
});

test('answers many questions on one connection, however they are cut', async () => {
  await using server = await start();
  const socket = connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  const bytes = Buffer.concat(
    [1, 2, 3].map((id) =>
      streamEncode({ type: 'query', id, questions: [{ type: 'A', name, class: 'IN' }] }),
    ),
  );
  socket.write(bytes.subarray(0, 1));
  socket.write(bytes.subarray(1, 50));
  socket.write(bytes.subarray(50));
  let received = Buffer.alloc(0);
  const ids: (number | undefined)[] = [];
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk as Buffer]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      ids.push(decode(received.subarray(2, end)).id);
      received = received.subarray(end);
    }
    if (ids.length === 3) break;
  }
  expect(ids).toEqual([1, 2, 3]);
});

test('who asks a byte at a time is cut, however busy he looks', async () => {
  const clock = new FakeClock();
  await using server = await start(clock);
  const socket = connect(server.port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(Buffer.from([0]));
  // Its answer shows that the connection was taken in before time moves.
  await exchange(server.port, query(1));
  const other = connect(server.port, '127.0.0.1');
  await once(other, 'connect');
  other.write(streamEncode({ type: 'query', id: 2, questions: [{ type: 'A', name }] }));
  await once(other, 'data');
  other.destroy();
  const closed = once(socket, 'close');
  await clock.advance(30_000);
  await closed;
});

test('who is right is answered over TCP however many connections say nothing, or garbage', async () => {
  await using server = await start();
  const dial = async () => {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  };
  const silent = await Promise.all(Array.from({ length: 400 }, dial));
  let closed = 0;
  for (const [index, socket] of silent.entries()) {
    socket.resume().once('close', () => closed++);
    if (index % 2 === 0) socket.write(Buffer.from('what is this, a question?'));
  }
  const right = await dial();
  right.write(streamEncode({ type: 'query', id: 7, questions: [{ type: 'A', name }] }));
  const [answer] = (await once(right, 'data')) as [Buffer];
  expect(answer.readUInt16BE(2)).toBe(7);
  right.destroy();
  // The oldest have made room.
  await eventually(() => {
    expect(closed).toBeGreaterThan(140);
  });
  for (const socket of silent) socket.destroy();
});

test('whatever comes in, it answers the next question, and no answers', async () => {
  await using server = await start();
  const socket = createSocket('udp4');
  const answers: Buffer[] = [];
  socket.on('message', (message) => answers.push(message));
  try {
    const send = (bytes: Uint8Array) =>
      new Promise<void>((resolve) => {
        socket.send(bytes, server.port, '127.0.0.1', () => {
          resolve();
        });
      });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 600 }), async (bytes) => {
        // The bit that makes it an answer.
        if (bytes.length > 2) bytes[2] = (bytes[2] ?? 0) | 0x80;
        await send(bytes);
      }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: 29 }),
        fc.uint8Array({ minLength: 1, maxLength: 40 }),
        async (at, noise) => {
          const bytes = Buffer.concat([query(5), Buffer.alloc(40)]);
          bytes.set(noise, at);
          if (((bytes[2] ?? 0) & 0x80) !== 0) return;
          const response = await exchange(server.port, bytes);
          expect(response.readUInt16BE(0)).toBe(bytes.readUInt16BE(0));
          expect((response[2] ?? 0) & 0x80).toBe(0x80);
        },
      ),
    );
    expect(answers).toEqual([]);
    expect(decode(await exchange(server.port, query(6)))).toMatchObject({ id: 6 });
  } finally {
    socket.close();
  }
});

/** A message of records whose names each lead through thousands of others, as long as TCP and UDP carry. */
function winding(): Buffer {
  const [headerBytes, rowBytes, rows, pointersBytes] = [12, 12, 4_100, 16_000];
  const first = headerBytes + 11;
  const end = first + pointersBytes;
  const bytes = Buffer.alloc(end + rows * rowBytes);
  bytes.writeUInt16BE(rows + 1, 6);
  // A record of no known type, whose content is the pointers.
  bytes.writeUInt16BE(10, headerBytes + 1);
  bytes.writeUInt16BE(pointersBytes, headerBytes + 9);
  for (let at = first + 2; at < end; at += 2) bytes.writeUInt16BE(0xc000 | (at - 2), at);
  for (let row = 0; row < rows; row++) {
    bytes.writeUInt16BE(0xc000 | (end - 2), end + row * rowBytes);
    bytes.writeUInt16BE(10, end + row * rowBytes + 2);
  }
  return bytes;
}

test('names that lead through thousands of others cost it nothing, over UDP and TCP', async () => {
  await using server = await start();
  const bytes = winding();
  const before = process.cpuUsage();
  for (let i = 0; i < 10; i++) {
    expect(decode(await exchange(server.port, bytes))).toMatchObject({ rcode: 'FORMERR' });
  }
  const socket = connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  for (let i = 0; i < 10; i++) {
    socket.write(Buffer.concat([length, bytes]));
    await once(socket, 'data');
  }
  socket.destroy();
  // To read one of them takes more than 100 ms.
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1_000).toBeLessThan(700);
});

test('a coordinator answers for its zone where it is told to, and says when it cannot', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await CoordinatorInProcess.start(directory.join('one'), {
    dnsListen: '127.0.0.1:0',
    zone: 'lab.example',
  });
  const port = coordinator.dnsPort;
  const resolver = resolverOf(port);
  expect(await resolver.resolve4('ns.dns.lab.example')).toEqual(['127.0.0.1']);
  expect(await resolver.resolveSoa('lab.example')).toMatchObject({ minttl: 5 });
  await expect(resolver.resolve4('web.lab.example')).rejects.toThrow('ENOTFOUND');
  await expect(resolver.resolve4('example.com')).rejects.toThrow('EREFUSED');
  await expect(
    CoordinatorInProcess.start(directory.join('two'), { dnsListen: `127.0.0.1:${port}` }),
  ).rejects.toThrow(`cannot answer DNS on 127.0.0.1:${port}`);
});
