import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { TargetHealth } from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
import {
  FrontendMode,
  type BackendSnapshot,
  type DeepPartial,
} from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { Readiness } from '../../../../shared/gen/fairlead/v1/service.ts';
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
  Load,
  proxyConfig,
  RunningProxyAgent,
} from '../../../support/haproxy.ts';
import { LocalServer } from '../../../support/local-server.ts';

/** Answers with its name, and at paths of health with the status that it is told. */
class SickServer extends LocalServer {
  status = 200;
  readonly checks: IncomingMessage[] = [];

  constructor(name: string) {
    super(createServer());
    this.server.on('request', (incoming: IncomingMessage, response: ServerResponse) => {
      const isCheck = incoming.url?.startsWith('/health') === true;
      if (isCheck) this.checks.push(incoming);
      response.statusCode = isCheck ? this.status : 200;
      response.end(name);
    });
  }
}

type Http = Extract<NonNullable<Readiness['check']>, { $case: 'http' }>['value'];

/** An HTTP check, ten times a second; two that fail take a server out. */
function asked(http: Partial<Http>): Readiness {
  const times = { intervalMs: 100, timeoutMs: 1_000, failureThreshold: 2, successThreshold: 2 };
  return Readiness.fromPartial({ check: { $case: 'http', value: http }, ...times });
}

const health = (coordinator: FakeProxyCoordinator, id: string, wanted: TargetHealth) =>
  eventually(() => {
    expect(coordinator.target(id)?.health).toBe(wanted);
  });

test('L2 takes a server out that says it is ill, by itself, and back when it is well', async () => {
  const port = await freePort();
  await using one = await new SickServer('one').listen();
  await using two = await new SickServer('two').listen();
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
  await coordinator.untilApplied(1);
  // One of them comes at run time.
  await coordinator.untilApplied(coordinator.change([aTarget({ id: 'web-2.b', port: two.port })]));
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
  await coordinator.untilApplied(3);
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
  await using server = await new SickServer('web').listen();
  await using checked = await new SickServer('health').listen();
  const readiness = asked({ path: '/health' });
  const frontends: DeepPartial<BackendSnapshot>['frontends'] = [
    { name: 'tcp', port: bytesPort, mode: FrontendMode.TCP, defaultBackend: 'bytes' },
    { name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'h2' },
  ];
  await using driven = await DrivenProxy.start(
    aSnapshot(port, {
      frontends,
      backends: [
        { name: 'bytes', mode: FrontendMode.TCP, readiness, balancing: { sendProxy: true } },
        { name: 'h2', mode: FrontendMode.HTTP, readiness },
      ],
    }),
  );
  const { coordinator } = driven;
  const at = { port: server.port, checkPort: checked.port };
  const targets = [
    aTarget({ id: 'web-1.a', backend: 'bytes', ...at }),
    aTarget({ id: 'web-1.h2', backend: 'h2', http2: true, ...at }),
  ];
  await coordinator.untilApplied(coordinator.change(targets));
  checked.status = 503;
  await health(coordinator, 'web-1.a', TargetHealth.DOWN);
  await health(coordinator, 'web-1.h2', TargetHealth.DOWN);
  checked.status = 200;
  await health(coordinator, 'web-1.a', TargetHealth.UP);
  await health(coordinator, 'web-1.h2', TargetHealth.UP);
  expect(checked.checks[0]?.headers).toMatchObject({ host: '127.0.0.1' });
  expect(server.checks).toEqual([]);
});
