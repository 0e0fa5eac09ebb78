import { expect, test } from 'vitest';
import { importDockercloud } from '../../../client/cli/dockercloud-settings.ts';
import { readRoutes } from '../../../client/cli/route-values.ts';
import { Route } from '../../../shared/gen/fairlead/v1/route.ts';

const aRoute = (changes: Partial<Route>) => ({ ...Route.create(), ...changes });

test.each<[string, Partial<Route>]>([
  ['shop.test', { name: 'shop-test', hosts: ['shop.test'] }],
  ['*', { name: 'all' }],
  ['/api/*', { name: 'api', paths: ['/api/*'] }],
  [
    '*.shop.test/a,path=/b,to=8080,port=443,replace=/,priority=-5',
    {
      ...{ name: 'shop-test-a-b', hosts: ['*.shop.test'], paths: ['/a', '/b'] },
      ...{ targetPort: 8080, port: 443, replacePath: '/', priority: -5 },
    },
  ],
  ['kind=tcp,port=5432', { name: 'port-5432', kind: 20, port: 5432 }],
  [
    'a.test,name=x,method=GET,header=X-A:b:c,header=Cookie,rate=5/1m,timeout=2m,split=b:10%,pause=20s',
    {
      ...{ name: 'x', hosts: ['a.test'], methods: ['GET'], responseTimeoutMs: 120_000 },
      headers: [
        { name: 'X-A', kind: 10, value: 'b:c' },
        { name: 'Cookie', kind: 40, value: '' },
      ],
      rateLimit: { requests: 5, periodMs: 60_000 },
      split: [{ service: 'b', percent: 10, targetPort: 0 }],
      pauseMs: 20_000,
    },
  ],
  ['a.test,pause', { name: 'a-test', hosts: ['a.test'], pauseMs: 30_000 }],
])('reads the route %s', (text, changes) => {
  expect(readRoutes(text)).toEqual([aRoute(changes)]);
});

test.each(['a.test,colour=red', 'a.test,port=x', 'kind=udp', 'a.test,__proto__=1', '@/nowhere'])(
  'refuses the route %s',
  (text) => {
    expect(() => readRoutes(text)).toThrow(/A route is|cannot be read/);
  },
);

test('hosts whose routes would have the same name get routes apart, and the same host twice gets one', () => {
  const hosts = 'http://a.test, https://a.test, a.test:8080, *.a.test, a-test';
  const { flags, report } = importDockercloud([['VIRTUAL_HOST', hosts]]);
  expect(flags.route?.[0]?.map(({ name, hosts: of, port }) => [name, of[0], port])).toEqual([
    ['a-test', 'a.test', 0],
    ['a-test-2', 'a.test', 8080],
    ['a-test-3', '*.a.test', 0],
    ['a-test-4', 'a-test', 0],
  ]);
  expect(report).toHaveLength(5);
});

test('turns settings of dockercloud/haproxy into flags, and says what became of each', () => {
  const { flags, report } = importDockercloud([
    [
      'VIRTUAL_HOST',
      'a.test, https://a.test:443/api/*,ws://*.b.test:8080/x, www.a*.test, */c/*.php',
    ],
    ['virtual_host_weight', '7'],
    ['FORCE_SSL', 'yes'],
    ['HSTS_MAX_AGE', '300'],
    ['TCP_PORTS', '9000, 2222/ssl'],
    ['BALANCE', 'leastconn'],
    ['COOKIE', 'SRV insert indirect nocache'],
    ['GZIP_COMPRESSION_TYPE', 'text/html'],
    ['EXTRA_SETTINGS', 'timeout server 1h'],
    ['MAXCONN', '100'],
    ['STATS_AUTH', 'stats:stats'],
    ['STATS_PORT', '8404'],
    ['HTTP_CHECK', 'HEAD /ping HTTP/1.1\\r\\nHost:\\ a.test'],
    ['EXTRA_BIND_SETTINGS', '80:accept-proxy, 443:name x'],
    ['COLOUR', 'green'],
  ]);
  const common = {
    ...{ priority: 7, forceHttps: true },
    strictTransport: { maxAgeS: 300, includeSubdomains: true },
  };
  expect(flags).toEqual({
    route: [
      [
        aRoute({ ...common, name: 'a-test', hosts: ['a.test'] }),
        aRoute({ ...common, name: 'a-test-api', hosts: ['a.test'], paths: ['/api/*'] }),
        aRoute({ ...common, name: 'b-test-x', hosts: ['*.b.test'], paths: ['/x'], port: 8080 }),
        aRoute({ name: 'port-9000', kind: 20, port: 9000, targetPort: 9000 }),
      ],
    ],
    ...{ balance: 'least-connections', sticky: 'SRV', compress: true, proxyProtocol: [80] },
    env: [['FAIRLEAD_PROXY_MAX_CONNECTIONS', '100']],
    readiness: {
      $case: 'http',
      value: { path: '/ping', port: 0, method: 'HEAD', host: 'a.test', headers: {}, statuses: [] },
    },
  });
  const about = (name: string) => report.filter((line) => line.startsWith(`${name}: `));
  expect(about('VIRTUAL_HOST')).toHaveLength(5);
  expect(report.filter((line) => line.includes(': not taken over: '))).toHaveLength(7);
  expect(report.some((line) => line.includes('COLOUR'))).toBe(false);
});

test.each([
  ['/', 'OPTIONS', '/', ''],
  ['GET /a?b=1', 'GET', '/a?b=1', ''],
  ['OPTIONS * HTTP/1.1', undefined, '', ''],
  ['GET / HTTP/1.1\\r\\nX-A:\\ b', undefined, '', ''],
])('reads the check %s', (text, method, path, host) => {
  const { flags, report } = importDockercloud([['HTTP_CHECK', text]]);
  const value = { method, path, host, port: 0, headers: {}, statuses: [] };
  expect(flags.readiness).toEqual(method === undefined ? undefined : { $case: 'http', value });
  expect(report).toHaveLength(1);
});

test('takes the statistics page over with its password', () => {
  const page: [string, string][] = [
    ['STATS_PORT', '8404'],
    ['STATS_AUTH', 'joe:secret'],
  ];
  expect(importDockercloud(page).flags.env).toHaveLength(2);
  expect(importDockercloud(page.slice(0, 1)).flags.env).toBeUndefined();
});

test('takes hashes of passwords over to the routes of a service, and names those that cannot be checked', () => {
  const hash = `$6$saltsalt$${'a'.repeat(86)}`;
  const secure = ['HTTP_BASIC_AUTH_SECURE', `joe:${hash},jim:$1$abc$def`] as const;
  const { flags, report } = importDockercloud([['VIRTUAL_HOST', 'a.test, b.test/x'], secure]);
  const users = [{ name: 'joe', passwordHash: hash }];
  expect(flags.route?.[0]?.map(({ basicAuth }) => basicAuth)).toEqual(
    Array(2).fill({ realm: '', users }),
  );
  expect(report).toContain(
    'HTTP_BASIC_AUTH_SECURE: taken over as passwords of these routes, for joe',
  );
  expect(report).toContain(
    'HTTP_BASIC_AUTH_SECURE: not taken over: jim: not a hash of openssl passwd -6 or -5',
  );
  expect(report.join()).not.toContain('$');
  const nameless = ['HTTP_BASIC_AUTH_SECURE', 'hunter2'] as const;
  expect(importDockercloud([['VIRTUAL_HOST', 'a.test'], nameless]).report).toContain(
    'HTTP_BASIC_AUTH_SECURE: not taken over: one without a name: not a hash of openssl passwd -6 or -5',
  );
  // Of the proxy itself, or where the service is left out of it, nothing is locked without a word.
  expect(importDockercloud([secure]).report).toEqual([
    expect.stringMatching(/^HTTP_BASIC_AUTH_SECURE: not taken over: give it beside VIRTUAL_HOST/),
  ]);
  const open = importDockercloud([['VIRTUAL_HOST', 'a.test'], secure, ['EXCLUDE_BASIC_AUTH', '1']]);
  expect(open.flags.route?.[0]?.[0]?.basicAuth).toBeUndefined();
  expect(open.report).toContain(
    'HTTP_BASIC_AUTH_SECURE: not taken over: EXCLUDE_BASIC_AUTH is there',
  );
});
