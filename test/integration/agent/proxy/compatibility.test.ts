import { expect, test } from 'vitest';
import { TargetMode } from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
import { FrontendMode } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { ClientCertificates, TlsPolicy } from '../../../../shared/gen/fairlead/v1/tls.ts';
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
import { describeOtherVersions } from '../../../support/needs.ts';
import { aProtoRoute } from '../../../support/routes.ts';
import { SiteAuthority } from '../../../support/site-certificates.ts';
import { getTls, shownFor } from '../../../support/tls-client.ts';

/** A list with ports for HTTP and TLS, a route by host, sticky sessions and checks by HTTP. */
function aList(
  [port, securePort]: readonly [number, number],
  changes: {
    readonly version: number;
    /** Where the route of api.test leads. */
    readonly to: string;
    readonly targets: ReturnType<typeof aTarget>[];
    /** One more port. */
    readonly otherPort?: number;
  },
) {
  const routes = [
    {
      ...{ id: 'api.1', backend: changes.to, split: [] },
      route: aProtoRoute({ hosts: ['api.test'], paths: ['/api/*'], replacePath: '/' }),
    },
  ];
  const frontend = (name: string, at: number) => ({
    ...{ name, port: at, mode: FrontendMode.HTTP, defaultBackend: 'web', routes },
  });
  const tls = {
    policy: TlsPolicy.INTERMEDIATE,
    ...{ clientCertificates: ClientCertificates.NONE, clientCaPem: '' },
  };
  return aSnapshot(port, {
    version: changes.version,
    frontends: [
      frontend('http', port),
      { ...frontend('https', securePort), tls },
      ...(changes.otherPort === undefined ? [] : [frontend('more', changes.otherPort)]),
    ],
    backends: [
      {
        ...{ name: 'web', mode: FrontendMode.HTTP, cookieKey: 'abc' },
        balancing: { stickyCookie: 'SRV', compress: true },
      },
      {
        ...{ name: 'api', mode: FrontendMode.HTTP },
        readiness: {
          check: { $case: 'http', value: { path: '/', method: 'GET' } },
          ...{ intervalMs: 500, timeoutMs: 500, failureThreshold: 2, successThreshold: 1 },
        },
      },
    ],
    targets: changes.targets,
  });
}

describeOtherVersions('HAProxy', (program) => {
  test('takes routes, certificates, servers and ports as they change, fails no request, and is started again', async () => {
    const [port, securePort, otherPort] = [await freePort(), await freePort(), await freePort()];
    const authority = await SiteAuthority.make();
    const [site, next] = [await authority.site('a.test'), await authority.site('a.test')];
    await using one = await TestBackend.start('one');
    await using two = await TestBackend.start('two');
    await using api = await TestBackend.start('api');
    await using directory = new HaproxyDirectory();
    const first = aTarget({ id: 'web-1.a.80', port: one.port });
    const second = aTarget({ id: 'web-2.b.80', port: two.port });
    const third = aTarget({ id: 'api-1.c.80', backend: 'api', port: api.port });
    await using coordinator = await FakeProxyCoordinator.start(
      aList([port, securePort], { version: 1, to: 'web', targets: [first, third] }),
    );
    coordinator.hand({ site });
    const config = proxyConfig({ coordinator: coordinator.address, stateDir: directory.path });
    await using _agent = new RunningProxyAgent({ ...config, haproxy: program });
    await coordinator.untilApplied(1);
    const { pid } = await directory.info();
    const load = new Load(port);
    await load.more(30);

    // Without a reload: a route, servers, a certificate.
    coordinator.replace(
      aList([port, securePort], { version: 2, to: 'api', targets: [first, third] }),
    );
    await coordinator.untilApplied(2);
    const toApi = { headers: { host: 'api.test' } };
    expect(await get(port, '/api/x', toApi)).toEqual({ status: 200, body: 'api' });
    expect(api.urls).toContain('/x');
    await coordinator.untilApplied(coordinator.change([second]));
    await load.more(40);
    expect(two.requests).toBeGreaterThan(0);
    await coordinator.untilApplied(coordinator.change([{ ...first, mode: TargetMode.DRAIN }]));
    await eventually(() => {
      expect(coordinator.target(first.id)).toMatchObject({ drained: true, inFlight: 0 });
    });
    const begun = one.requests;
    await coordinator.untilApplied(coordinator.change([], [first.id]));
    await load.more(40);
    expect(one.requests).toBe(begun);
    await eventually(() => {
      expect(coordinator.serving).toEqual({ site: site.serialNumber });
    });
    coordinator.hand({ site: next });
    await eventually(() => {
      expect(coordinator.serving).toEqual({ site: next.serialNumber });
    });
    expect((await shownFor(securePort, 'a.test')).serialNumber).toBe(next.serialNumber);
    expect(await getTls(securePort, 'a.test')).toEqual({ status: 200, body: 'two' });
    expect((await directory.info()).pid).toBe(pid);

    // By a reload: a port.
    const { version } = coordinator.list!;
    coordinator.replace(
      aList([port, securePort], {
        ...{ version: version + 1, to: 'api', targets: [second, third], otherPort },
      }),
    );
    await coordinator.untilApplied(version + 1);
    expect((await get(otherPort)).body).toBe('two');
    await load.more(40);
    expect((await load.stop()).failures).toEqual([]);
    const reloaded = await directory.info();
    expect(reloaded.pid).not.toBe(pid);

    // What is taken out by hand comes back; what is killed comes back with all of the list.
    await directory.ask(`set server web/${second.id} state maint`);
    await eventually(async () => {
      expect((await get(port)).body).toBe('two');
    });
    process.kill(reloaded.pid, 'SIGKILL');
    await eventually(async () => {
      expect((await get(port)).body).toBe('two');
      expect((await get(port, '/api/x', toApi)).body).toBe('api');
      expect(await getTls(securePort, 'a.test')).toEqual({ status: 200, body: 'two' });
      expect((await shownFor(securePort, 'a.test')).serialNumber).toBe(next.serialNumber);
    });
    await eventually(() => {
      expect(coordinator.status?.history).toMatchObject({ reloads: 1, restarts: 1 });
    });
  });
});
