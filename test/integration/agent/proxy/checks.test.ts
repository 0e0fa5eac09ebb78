import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { TargetHealth } from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
import {
  FrontendMode,
  type BackendSnapshot,
  type DeepPartial,
} from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { Readiness } from '../../../../shared/gen/fairlead/v1/service.ts';
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
} from '../../../support/haproxy.ts';

/** Answers with its name, and at paths of health with the status that it is told. */
class SickServer implements AsyncDisposable {
  status = 200;
  readonly checks: IncomingMessage[] = [];
  readonly #server = createServer();

  static async start(name: string): Promise<SickServer> {
    const server = new SickServer();
    server.#server.on('request', (incoming: IncomingMessage, response) => {
      const isCheck = incoming.url?.startsWith('/health') === true;
      if (isCheck) server.checks.push(incoming);
      response.statusCode = isCheck ? server.status : 200;
      response.end(name);
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
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

type Http = Extract<NonNullable<Readiness['check']>, { $case: 'http' }>['value'];

/** An HTTP check, ten times a second; two that fail take a server out. */
function asked(http: Partial<Http>): Readiness {
  const times = { intervalMs: 100, timeoutMs: 1_000, failureThreshold: 2, successThreshold: 2 };
  return Readiness.fromPartial({ check: { $case: 'http', value: http }, ...times });
}

async function applied(coordinator: FakeProxyCoordinator, version: number): Promise<void> {
  await eventually(() => {
    expect(coordinator.status?.message).toBe('');
    expect(coordinator.appliedVersion).toBe(version);
  });
}

const health = (coordinator: FakeProxyCoordinator, id: string, wanted: TargetHealth) =>
  eventually(() => {
    expect(coordinator.target(id)?.health).toBe(wanted);
  });

test('L2 takes a server out that says it is ill, by itself, and back when it is well', async () => {
  const port = await freePort();
  await using one = await SickServer.start('one');
  await using two = await SickServer.start('two');
  await using directory = new HaproxyDirectory();
  const list = (version: number, path: string): BackendSnapshot => {
    const readiness = asked({
      ...{ path, method: 'POST', host: 'shop.test', statuses: [200, 204] },
      headers: { 'X-Check': '100% "it\'s"' },
    });
    return aSnapshot(port, {
      version,
      backends: [{ name: 'web', mode: FrontendMode.HTTP, readiness }],
      targets: [aTarget({ id: 'web-1.a', port: one.port })],
    });
  };
  await using coordinator = await FakeProxyCoordinator.start(list(1, '/health?a=%20'));
  const agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await using _agent = agent;
  await applied(coordinator, 1);
  // One of them comes at run time.
  await applied(coordinator, coordinator.change([aTarget({ id: 'web-2.b', port: two.port })]));
  const { pid } = await directory.info();
  await eventually(() => {
    for (const { checks } of [one, two]) {
      const [check] = checks;
      expect([check?.method, check?.url]).toEqual(['POST', '/health?a=%20']);
      expect(check?.headers).toMatchObject({ host: 'shop.test', 'x-check': '100% "it\'s"' });
    }
  });
  const load = new Load(port, { keepAlive: 2, fresh: 2 });
  // A status that is a success to others, and none that is expected here.
  two.status = 202;
  await health(coordinator, 'web-2.b', TargetHealth.DOWN);
  expect(coordinator.target('web-2.b')?.healthMessage).toContain('another status');
  const answers = await Promise.all(Array.from({ length: 6 }, () => get(port)));
  expect(answers.map(({ body }) => body)).toEqual(Array(6).fill('one'));
  two.status = 204;
  await health(coordinator, 'web-2.b', TargetHealth.UP);
  await eventually(async () => {
    expect((await get(port)).body).toBe('two');
  });
  expect((await directory.info()).pid).toBe(pid);

  // All are asked for something else from now on, by one reload.
  coordinator.replace({ ...list(3, '/health/2'), targets: coordinator.list?.targets ?? [] });
  await applied(coordinator, 3);
  await eventually(() => {
    expect([one.checks.at(-1)?.url, two.checks.at(-1)?.url]).toEqual(['/health/2', '/health/2']);
    expect(coordinator.status?.history).toMatchObject({
      ...{ reloads: 1, loadings: [{ reason: 'backend "web" has another check' }, {}] },
    });
  });
  expect((await load.stop()).failures).toEqual([]);

  // With nobody to tell it, HAProxy goes by what it is told itself.
  coordinator.shutdown();
  await agent.stop();
  one.status = 500;
  await eventually(async () => {
    const bodies = [];
    for (let count = 0; count < 4; count++) bodies.push((await get(port)).body);
    expect(bodies).toEqual(Array(4).fill('two'));
  });
});

test('asks at the port of the check, in HTTP/1, whatever a server speaks else', async () => {
  const [bytesPort, port] = [await freePort(), await freePort()];
  await using server = await SickServer.start('web');
  await using checked = await SickServer.start('health');
  await using directory = new HaproxyDirectory();
  const readiness = asked({ path: '/health' });
  const frontends: DeepPartial<BackendSnapshot>['frontends'] = [
    { name: 'tcp', port: bytesPort, mode: FrontendMode.TCP, defaultBackend: 'bytes' },
    { name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'h2' },
  ];
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, {
      frontends,
      backends: [
        { name: 'bytes', mode: FrontendMode.TCP, readiness, balancing: { sendProxy: true } },
        { name: 'h2', mode: FrontendMode.HTTP, readiness },
      ],
    }),
  );
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  const at = { port: server.port, checkPort: checked.port };
  const targets = [
    aTarget({ id: 'web-1.a', backend: 'bytes', ...at }),
    aTarget({ id: 'web-1.h2', backend: 'h2', http2: true, ...at }),
  ];
  await applied(coordinator, coordinator.change(targets));
  checked.status = 503;
  await health(coordinator, 'web-1.a', TargetHealth.DOWN);
  await health(coordinator, 'web-1.h2', TargetHealth.DOWN);
  checked.status = 200;
  await health(coordinator, 'web-1.a', TargetHealth.UP);
  await health(coordinator, 'web-1.h2', TargetHealth.UP);
  expect(checked.checks[0]?.headers).toMatchObject({ host: '127.0.0.1' });
  expect(server.checks).toEqual([]);
});
