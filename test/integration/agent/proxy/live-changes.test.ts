import { expect, test } from 'vitest';
import { FrontendMode } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import {
  BalanceAlgorithm,
  type Balancing,
  type DeepPartial,
  type Route,
} from '../../../../shared/gen/fairlead/v1/route.ts';
import { DrivenProxy } from '../../../support/driven-proxy.ts';
import { aSnapshot, aTarget } from '../../../support/fake-proxy-coordinator.ts';
import { freePort, Load, TestBackend } from '../../../support/haproxy.ts';
import { aProtoRoute } from '../../../support/routes.ts';

const http = FrontendMode.HTTP;

/** What of a load balancer changes, besides its one route that answers all the time. */
interface Change {
  /** Without it there is no route at all, and everything goes to the pool. */
  readonly route?: DeepPartial<Route>;
  readonly name?: string;
  readonly others?: readonly DeepPartial<Route>[];
  readonly balancing?: DeepPartial<Balancing>;
  readonly morePorts?: boolean;
  readonly trusted?: readonly string[];
  readonly greenPercent?: number;
}

const page = { body: 'later', contentType: 'text/plain', retryAfterS: 1 };
const field = (value: string) => ({
  change: { $case: 'set' as const, value: { name: 'X-A', value } },
});
const users = [{ name: 'joe', passwordHash: `$6$saltsalt$${'a'.repeat(86)}` }];

/** Each is in effect before the next one, under load. */
const changes: readonly Change[] = [
  { route: { allow: ['127.0.0.0/8'], deny: ['192.0.2.0/24'] } },
  { route: { rateLimit: { requests: 1_000_000, periodMs: 1_000 }, responseTimeoutMs: 60_000 } },
  { route: { requestHeaders: [field('a')], responseHeaders: [field('v'.repeat(1_000))] } },
  { route: {}, balancing: { stickyCookie: 'SRV', compress: true } },
  { route: {}, balancing: { algorithm: BalanceAlgorithm.LEAST_CONNECTIONS, unavailable: page } },
  { route: {}, morePorts: true },
  { route: {}, trusted: ['192.0.2.0/24'] },
  { route: {}, greenPercent: 50 },
  { route: {}, greenPercent: 100 },
  { route: {}, others: [{ hosts: ['closed.test'], maintenance: page }] },
  {
    route: {},
    others: [{ hosts: ['*.test'], methods: ['POST'], basicAuth: { realm: 'a', users } }],
  },
  { route: { hosts: ['*.test'], paths: ['/*'], replacePath: '/below' } },
  { route: {}, name: 'renamed' },
  {},
  { route: { strictTransport: { maxAgeS: 1 } } },
];

test(
  'no request fails while every setting of a route comes and goes',
  { timeout: 120_000 },
  async () => {
    const [port, other, bytes] = [await freePort(), await freePort(), await freePort()];
    await using one = await TestBackend.start('one');
    await using two = await TestBackend.start('two');
    await using green = await TestBackend.start('green');
    const list = (version: number, { route, name = 'main', ...change }: Change) => {
      const placed = (id: string, of: DeepPartial<Route>) => ({
        ...{ id: `web.${id}`, backend: 'web' },
        route: aProtoRoute(of as Partial<Route>),
      });
      const { greenPercent: percent = 0, others = [], trusted = [] } = change;
      const split = percent === 0 ? [] : [{ backend: 'green', percent }];
      const main = { ...placed(name, { hosts: ['a.test'], ...route }), split };
      const routes = [main, ...others.map((each, index) => placed(`${index}`, each))];
      const defaultBackend = route === undefined ? 'web' : 'default';
      const frontend = { mode: http, defaultBackend, routes: route === undefined ? [] : routes };
      const tcp = { mode: FrontendMode.TCP, defaultBackend: 'bytes' };
      return aSnapshot(port, {
        version,
        frontends: [
          { ...frontend, name: `http_${port}`, port, trustedUpstreams: [...trusted] },
          ...(change.morePorts === true
            ? [
                { ...frontend, name: `http_${other}`, port: other, acceptProxy: true },
                { ...tcp, name: `tcp_${bytes}`, port: bytes },
              ]
            : []),
        ],
        backends: [
          { name: 'web', mode: http, cookieKey: 'abc', balancing: change.balancing ?? {} },
          { name: 'green', mode: http },
          ...(change.morePorts === true ? [{ name: 'bytes', mode: FrontendMode.TCP }] : []),
        ],
        targets: [
          aTarget({ id: 'web-1.a.1', port: one.port }),
          aTarget({ id: 'web-2.a.1', port: two.port }),
          aTarget({ id: 'green-1.a.1', backend: 'green', port: green.port }),
        ],
      });
    };
    await using driven = await DrivenProxy.start(list(1, { route: {} }));
    const { coordinator } = driven;
    const load = new Load(port, { host: 'a.test' });
    await load.more(30);
    for (const [index, change] of changes.entries()) {
      coordinator.replace(list(index + 2, change));
      await coordinator.untilApplied(index + 2);
      expect([change, coordinator.status?.message]).toEqual([change, '']);
      await load.more(30);
    }
    expect((await load.stop()).failures).toEqual([]);
  },
);
