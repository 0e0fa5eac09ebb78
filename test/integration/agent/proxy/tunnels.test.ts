import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { expect, test } from 'vitest';
import {
  FrontendMode,
  type BackendSnapshot,
} from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { TargetMode } from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
import type { Route } from '../../../../shared/gen/fairlead/v1/route.ts';
import { DrivenProxy } from '../../../support/driven-proxy.ts';
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
  proxyConfig,
  SpawnedProxyAgent,
  TestBackend,
} from '../../../support/haproxy.ts';
import { LocalServer } from '../../../support/local-server.ts';
import { withoutIpv6 } from '../../../support/no-ipv6.ts';
import { aProtoRoute } from '../../../support/routes.ts';

/** Takes upgrades, and says everything back; answers requests for `/live` with no end. */
class LiveServer extends LocalServer {
  readonly live: ServerResponse[] = [];
  requests = 0;

  constructor(name: string) {
    super(createServer());
    this.server.on('upgrade', ({ headers }: IncomingMessage, socket: Socket) => {
      const key = `${headers['sec-websocket-key'] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = createHash('sha1').update(key).digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      socket.on('data', (bytes) => socket.write(bytes));
      socket.on('end', () => socket.end());
    });
    this.server.on('request', (incoming: IncomingMessage, response: ServerResponse) => {
      this.requests++;
      if (incoming.url !== '/live') response.end(name);
      else this.live.push(response);
    });
  }

  /** Sends a piece of every answer that has no end. */
  say(text: string): void {
    for (const response of this.live) response.write(text);
  }
}

/** A client of a tunnel, and what it was told. */
class Tunnel implements Disposable {
  received = '';
  closed = false;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes) => (this.received += bytes.toString('latin1')));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => (this.closed = true));
  }

  static async open(port: number, host = 'any.test'): Promise<Tunnel> {
    const tunnel = new Tunnel(connect(port, '127.0.0.1'));
    tunnel.#socket.write(
      `GET /ws HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    await eventually(() => {
      expect(tunnel.received).toMatch(/^HTTP\/1.1 101 .*\r\n\r\n$/s);
    });
    return tunnel;
  }

  /** Says something that comes back. */
  async echoes(text: string): Promise<void> {
    this.#socket.write(text);
    await eventually(() => {
      expect(this.received.endsWith(text)).toBe(true);
    });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

function aList(
  port: number,
  one: LiveServer,
  routes: Record<string, Partial<Route>> = {},
): BackendSnapshot {
  return aSnapshot(port, {
    frontends: [
      {
        ...{ name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'web' },
        routes: Object.entries(routes).map(([name, route]) => ({
          ...{ id: `web.${name}`, backend: 'web', split: [] },
          route: aProtoRoute({ ...route, hosts: [`${name}.test`] }),
        })),
      },
    ],
    targets: [aTarget({ id: 'web-1.a', port: one.port })],
  });
}

test('keeps websockets open by the timeout of tunnels, and not by that of answers', async () => {
  const port = await freePort();
  await using one = await new LiveServer('one').listen();
  await using driven = await DrivenProxy.start(
    aList(port, one, {
      short: { tunnelTimeoutMs: 1_500 },
      long: { tunnelTimeoutMs: 600_000, responseTimeoutMs: 100 },
      plain: { responseTimeoutMs: 100 },
    }),
  );
  const { directory } = driven;
  using long = await Tunnel.open(port, 'long.test');
  using plain = await Tunnel.open(port, 'plain.test');
  using short = await Tunnel.open(port, 'short.test');
  await short.echoes('hello');
  const { pid } = await directory.info();
  // Nobody says anything for so long.
  await eventually(() => {
    expect(short.closed).toBe(true);
  });
  await long.echoes('still here');
  await plain.echoes('here too');
  expect([long.closed, plain.closed]).toEqual([false, false]);
  expect((await directory.info()).pid).toBe(pid);
});

test('carries websockets that come in HTTP/2, by routes for GET too', async () => {
  const port = await freePort();
  await using one = await new LiveServer('one').listen();
  await using _driven = await DrivenProxy.start(
    aList(port, one, { any: {}, get: { methods: ['GET'] } }),
  );
  const client = connectHttp2(`http://127.0.0.1:${port}`);
  await once(client, 'remoteSettings');
  const answer = async (host: string) => {
    const stream = client.request({
      ...{ ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'http', ':path': '/live' },
      ...{ ':authority': host, 'sec-websocket-version': '13' },
    });
    let heard = '';
    stream.on('data', (bytes: Buffer) => (heard += bytes.toString()));
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
    if (headers[':status'] === 200) {
      stream.write('hello');
      await eventually(() => {
        expect(heard).toBe('hello');
      });
    }
    stream.close();
    return headers[':status'];
  };
  expect(await answer('any.test')).toBe(200);
  expect(await answer('get.test')).toBe(200);
  client.close();
});

test('L10 a drain lets websockets and live streams go on until its deadline, and says what it cut', async () => {
  const port = await freePort();
  await using one = await new LiveServer('one').listen();
  await using two = await new LiveServer('two').listen();
  await using driven = await DrivenProxy.start(aList(port, one));
  const { coordinator } = driven;
  using tunnel = await Tunnel.open(port);
  let stream = '';
  let ended = false;
  const live = request({ host: '127.0.0.1', port, path: '/live', agent: false }, (response) => {
    response.on('data', (bytes: Buffer) => (stream += bytes.toString()));
    response.on('error', () => undefined);
    response.on('close', () => (ended = true));
  });
  live.on('error', () => undefined).end();
  await eventually(() => {
    expect(one.live.length).toBe(1);
  });
  one.say('first,');
  const drain = (drainTimeoutMs: number) =>
    coordinator.change([
      aTarget({ id: 'web-1.a', port: one.port, mode: TargetMode.DRAIN, drainTimeoutMs }),
      aTarget({ id: 'web-2.b', port: two.port }),
    ]);
  await coordinator.untilApplied(drain(600_000));
  const before = one.requests;
  expect(await Promise.all([get(port), get(port)])).toEqual(
    Array(2).fill({ status: 200, body: 'two' }),
  );
  one.say('second');
  await tunnel.echoes('in drain');
  await eventually(() => {
    expect(stream).toBe('first,second');
    expect(coordinator.target('web-1.a')?.inFlight).toBe(2);
  });
  expect(coordinator.target('web-1.a')?.drained ?? false).toBe(false);
  expect([one.requests, tunnel.closed, ended]).toEqual([before, false, false]);
  await coordinator.untilApplied(drain(0));
  await eventually(() => {
    expect([tunnel.closed, ended]).toEqual([true, true]);
    expect(coordinator.target('web-1.a')).toMatchObject({ drained: true, inFlight: 0 });
  });
});

const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
);

/** The status of a request to this address, and whom the container was told of. */
async function askFrom(host: string, port: number, web: TestBackend): Promise<unknown[]> {
  const [response] = (await once(
    request({ host, port, agent: false, headers: { host: 'any.test' } }).end(),
    'response',
  )) as [NodeJS.ReadableStream & { statusCode: number }];
  response.resume();
  return [response.statusCode, web.headers.at(-1)?.['x-forwarded-for']];
}

test('is reached by IPv4 and, where the host has it, by IPv6, and tells the client as it is', async () => {
  const port = await freePort();
  await using web = await TestBackend.start('web');
  await using _driven = await DrivenProxy.start(
    aSnapshot(port, { targets: [aTarget({ id: 'web-1.a', port: web.port })] }),
  );
  expect(await askFrom('127.0.0.1', port, web)).toEqual([200, '127.0.0.1']);
  if (hasIpv6) expect(await askFrom('::1', port, web)).toEqual([200, '::1']);
  else await expect(askFrom('::1', port, web)).rejects.toThrow();
});

test('serves, and takes ports by a reload, on a host whose kernel has no IPv6', async () => {
  const [port, otherPort] = [await freePort(), await freePort()];
  await using web = await TestBackend.start('web');
  await using directory = new HaproxyDirectory();
  const targets = [aTarget({ id: 'web-1.a', port: web.port })];
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port, { targets }));
  const config = proxyConfig({ coordinator: coordinator.address, stateDir: directory.path });
  await using _agent = new SpawnedProxyAgent(config, withoutIpv6());
  await coordinator.untilApplied(1);
  expect(await askFrom('127.0.0.1', port, web)).toEqual([200, '127.0.0.1']);
  await expect(askFrom('::1', port, web)).rejects.toThrow();
  expect(directory.read('haproxy.cfg')).not.toContain(':::');
  const frontends = [port, otherPort].map((each) => ({
    ...aSnapshot(each).frontends[0]!,
    name: `http-${each}`,
  }));
  coordinator.replace(aSnapshot(port, { version: 2, targets, frontends }));
  await coordinator.untilApplied(2);
  expect(await askFrom('127.0.0.1', otherPort, web)).toEqual([200, '127.0.0.1']);
  expect(coordinator.status?.message).toBe('');
});
