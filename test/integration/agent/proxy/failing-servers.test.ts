import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { eventually } from '../../../support/eventually.ts';
import {
  aSnapshot,
  aTarget,
  FakeProxyCoordinator,
} from '../../../support/fake-proxy-coordinator.ts';
import {
  freePort,
  get,
  HaproxyDirectory,
  Load,
  proxyConfig,
  RunningProxyAgent,
  TestBackend,
} from '../../../support/haproxy.ts';

/** Hears requests, and ends the connection without an answer. */
class SilentServer implements AsyncDisposable {
  readonly heard: string[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer();

  static async start(): Promise<SilentServer> {
    const server = new SilentServer();
    server.#server.on('connection', (socket) => {
      server.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('data', (bytes) => {
        server.heard.push(bytes.toString('latin1').split(' ')[0] ?? '');
        socket.destroy();
      });
    });
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }
}

async function applied(coordinator: FakeProxyCoordinator, version: number): Promise<void> {
  await eventually(() => {
    expect(coordinator.errors.size).toBe(0);
    expect(coordinator.appliedVersion).toBe(version);
  });
}

test('L5 repeats what a server may not have done, and nothing else: no POST, no WebSocket', async () => {
  const port = await freePort();
  await using silent = await SilentServer.start();
  await using well = await TestBackend.start('well');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, {
      targets: [
        aTarget({ id: 'web-1.a', port: silent.port }),
        aTarget({ id: 'web-2.b', port: well.port }),
      ],
    }),
  );
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  const upgrade = {
    ...{ connection: 'Upgrade', upgrade: 'websocket' },
    ...{ 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' },
  };
  // In turn: every other one comes to the server that does not answer, and to it alone.
  const statuses: number[] = [];
  for (const options of [{ method: 'POST' }, { headers: upgrade }]) {
    for (let count = 0; count < 4; count++) statuses.push((await get(port, '/', options)).status);
  }
  expect(statuses.toSorted()).toEqual([
    ...Array<number>(4).fill(200),
    ...Array<number>(4).fill(502),
  ]);
  expect(silent.heard).toEqual(['POST', 'POST', 'GET', 'GET']);
  expect(well.requests).toBe(4);
  // These are repeated, until the one that is well answers.
  const answers = [];
  for (let count = 0; count < 4; count++) answers.push((await get(port)).body);
  expect(answers).toEqual(Array(4).fill('well'));
  expect(silent.heard.length).toBeGreaterThan(4);

  // What was never sent may be anything. Nobody listens at this port any more.
  const dead = aTarget({ id: 'web-3.c', port: await freePort() });
  await applied(coordinator, coordinator.change([dead], ['web-1.a']));
  const posted = [];
  for (let count = 0; count < 4; count++) {
    posted.push((await get(port, '/', { method: 'POST' })).body);
  }
  expect(posted).toEqual(Array(4).fill('well'));
});

test('L7 answers 503 at once while nothing is there, and 200 as soon as something is', async () => {
  const port = await freePort();
  await using web = await TestBackend.start('web');
  await using directory = new HaproxyDirectory();
  const target = aTarget({ id: 'web-1.a', port: web.port });
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [target] }),
  );
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  expect((await get(port)).status).toBe(200);
  const { pid } = await directory.info();
  await applied(coordinator, coordinator.change([], [target.id]));
  const begunAt = performance.now();
  expect((await get(port)).status).toBe(503);
  // The time for which requests wait in line is 10 s.
  expect(performance.now() - begunAt).toBeLessThan(5_000);
  await applied(coordinator, coordinator.change([{ ...target, id: 'web-1.b' }]));
  const load = new Load(port, { keepAlive: 1, fresh: 1 });
  await load.more(10);
  expect((await load.stop()).failures).toEqual([]);
  expect((await directory.info()).pid).toBe(pid);
});
