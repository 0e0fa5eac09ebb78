import { Command } from 'commander';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { importDockercloud } from '../../../client/cli/dockercloud-settings.ts';
import { hashPassword } from '../../../client/cli/password-hash.ts';
import { addOptionFlags } from '../../../client/cli/option-flags.ts';
import { routeFlags } from '../../../client/cli/route-flags.ts';
import { readRoutes } from '../../../client/cli/route-values.ts';
import { readStrictly } from '../../../client/cli/strict-json.ts';
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

test.each([
  ...['a.test,colour=red', 'a.test,port=x', 'kind=udp', 'a.test,__proto__=1', '@/nowhere'],
  // Nobody who says "off" means "on", nor everything who says nothing.
  ...['a.test,maintenance=off', 'a.test,force-https=false', '', ' '],
])('refuses the route "%s"', (text) => {
  expect(() => readRoutes(text)).toThrow(/A route is|cannot be read/);
});

test('two routes of one host and path in one command need names: none is lost without a word', () => {
  const read = (...routes: string[]) => {
    const command = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
    addOptionFlags(command, routeFlags);
    command.parse(
      routes.flatMap((route) => ['--route', route]),
      { from: 'user' },
    );
    return command
      .opts<{ route: Route[][] }>()
      .route.flat()
      .map(({ name }) => name);
  };
  expect(() => read('a.test,port=80', 'b.test', 'a.test,port=81,to=9000')).toThrow(
    'called "a-test"',
  );
  expect(() => read('a.test/b', 'a.test-b')).toThrow('called "a-test-b"');
  expect(read('a.test,method=GET', 'a.test,method=POST,name=post', 'a.test,method=GET')).toEqual([
    ...['a-test', 'post', 'a-test'],
  ]);
});

test.each<[string, unknown]>([
  ['host', { host: 'a.test' }],
  ['hosts', { hosts: 'a.test' }],
  ['allow', { hosts: ['b.test'], allow: '192.0.2.1' }],
  ['forceHttps', { forceHttps: 'false' }],
  ['port', { port: 'http' }],
  ['priority', { priority: 1.5 }],
  ['redirect', { redirect: 'https://a.test' }],
  ['basicAuth.users[0].password', { basicAuth: { users: [{ name: 'joe', password: 'x' }] } }],
  ['requestHeaders[1].name', { requestHeaders: [{ remove: 'X-A' }, { name: 'X-B', value: 'y' }] }],
  ['a route', 'a.test'],
  ['a route', null],
])('refuses what no route has, and names it: %s', (where, content) => {
  expect(() => readStrictly(Route, content)).toThrow(`${where} is`);
});

test('reads routes in the JSON form of the API, with the names of fields in both ways', () => {
  const route = {
    ...{
      name: 'admin',
      kind: 'ROUTE_KIND_UNSPECIFIED',
      hosts: ['a.test'],
      port: 0,
      tunnel_timeout_ms: 5,
    },
    ...{
      basicAuth: { realm: '', users: [{ name: 'joe', password_hash: '$6$x' }] },
      redirect: null,
    },
    ...{ headers: [{ name: 'X-A', kind: 20, value: 'b' }], requestHeaders: [{ remove: 'X-B' }] },
    ...{ maintenance: {}, forceHttps: true },
  };
  expect(readStrictly(Route, route)).toEqual(
    aRoute({
      ...{ name: 'admin', hosts: ['a.test'], tunnelTimeoutMs: 5, forceHttps: true },
      basicAuth: { realm: '', users: [{ name: 'joe', passwordHash: '$6$x' }] },
      headers: [{ name: 'X-A', kind: 20, value: 'b' }],
      requestHeaders: [{ change: { $case: 'remove', value: 'X-B' } }],
      maintenance: { body: '', contentType: '', retryAfterS: 0 },
    }),
  );
});

test('hosts whose routes would have the same name get routes apart, and the same host twice gets one', () => {
  const hosts = 'http://a.test, https://a.test, a.test:8080, *.a.test, a-test';
  const { flags, report } = read(['VIRTUAL_HOST', hosts]);
  expect(flags.route?.[0]?.map(({ name, hosts: of, port }) => [name, of[0], port])).toEqual([
    ['a-test', 'a.test', 0],
    ['a-test-2', 'a.test', 8080],
    ['a-test-3', '*.a.test', 0],
    ['a-test-4', 'a-test', 0],
  ]);
  expect(report).toHaveLength(5);
});

test('turns settings of dockercloud/haproxy into flags, and says what became of each', () => {
  const { flags, report } = read(
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
    ['HTTP_CHECK', 'HEAD /ping HTTP/1.1\\r\\nHost:\\ a.test'],
    ['COLOUR', 'green'],
  );
  const common = {
    ...{ priority: 7, forceHttps: true, responseTimeoutMs: 3_600_000 },
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
    ...{ balance: 'least-connections', sticky: 'SRV', compress: true },
    readiness: {
      $case: 'http',
      value: { path: '/ping', port: 0, method: 'HEAD', host: 'a.test', headers: {}, statuses: [] },
    },
  });
  const about = (name: string) => report.filter((line) => line.startsWith(`${name}: `));
  expect(about('VIRTUAL_HOST')).toHaveLength(5);
  expect(report.filter((line) => line.includes(': not taken over: '))).toHaveLength(3);
  expect(report.some((line) => line.includes('COLOUR'))).toBe(false);
});

test.each([
  ['/', 'OPTIONS', '/', ''],
  ['GET /a?b=1', 'GET', '/a?b=1', ''],
  ['OPTIONS * HTTP/1.1', undefined, '', ''],
  ['GET / HTTP/1.1\\r\\nX-A:\\ b', undefined, '', ''],
])('reads the check %s', (text, method, path, host) => {
  const { flags, report } = read(['HTTP_CHECK', text]);
  const value = { method, path, host, port: 0, headers: {}, statuses: [] };
  expect(flags.readiness).toEqual(method === undefined ? undefined : { $case: 'http', value });
  expect(report).toHaveLength(1);
});

test('takes the statistics page over with its password', () => {
  const page: [string, string][] = [
    ['STATS_PORT', '8404'],
    ['STATS_AUTH', 'joe:secret'],
  ];
  expect(readProxy(...page).flags.env).toHaveLength(2);
  expect(readProxy(...page.slice(0, 1)).flags.env).toBeUndefined();
});

test('sets of a proxy what is its own, and names what is of the services behind', () => {
  const { flags, report } = readProxy(
    ['MAXCONN', '100'],
    ['STATS_AUTH', 'stats:stats'],
    ['STATS_PORT', '8404'],
    ['EXTRA_BIND_SETTINGS', '80:accept-proxy, 443:name x'],
    ['BALANCE', 'leastconn'],
    ['EXTRA_ROUTE_SETTINGS', 'send-proxy'],
    ['VIRTUAL_HOST', 'a.test'],
    ['TCP_PORTS', '9000'],
    ['FORCE_SSL', '1'],
  );
  expect(flags).toEqual({
    proxyProtocol: [80],
    env: [['FAIRLEAD_PROXY_MAX_CONNECTIONS', '100']],
  });
  const left = report.filter((line) => line.includes(': not taken over: '));
  expect(left.map((line) => line.split(':')[0]).sort()).toEqual([
    ...['BALANCE', 'EXTRA_BIND_SETTINGS', 'EXTRA_ROUTE_SETTINGS', 'FORCE_SSL'],
    ...['STATS_AUTH', 'STATS_PORT', 'TCP_PORTS', 'VIRTUAL_HOST'],
  ]);
  expect(report).toHaveLength(10);
});

/** What the proxy agent would not begin with, and what says nothing that it seems to. */
test.each<[name: string, value: string, others?: readonly [string, string][]]>([
  ...['', ' ', 'many', '-1', '0', '1e3', '4096;', '9999999'].map((v): [string, string] => [
    'MAXCONN',
    v,
  ]),
  ['STATS_PORT', 'http', [['STATS_AUTH', 'joe:secret']]],
  ['STATS_PORT', '65536', [['STATS_AUTH', 'joe:secret']]],
  ['STATS_PORT', '8404', [['STATS_AUTH', 'secret']]],
  ...['secret', 'joe:', ':secret', "joe:it's", 'joe:a b'].map((v): [string, string] => [
    'STATS_AUTH',
    v,
  ]),
])('sets nothing of a proxy by %s=%s', (name, value, others = []) => {
  const { flags, report } = readProxy([name, value], ...others);
  const names: Record<string, string> = {
    ...{ MAXCONN: 'FAIRLEAD_PROXY_MAX_CONNECTIONS', STATS_PORT: 'FAIRLEAD_PROXY_STATS_PORT' },
    STATS_AUTH: 'FAIRLEAD_PROXY_STATS_AUTH',
  };
  expect((flags.env ?? []).map(([variable]) => variable)).not.toContain(names[name]);
  const expected = value.trim() === '' ? 0 : 1;
  expect(report.filter((line) => line.startsWith(`${name}: not taken over: `))).toHaveLength(
    expected,
  );
});

test.each([
  ['HSTS_MAX_AGE', '1y'],
  ['HSTS_MAX_AGE', '300; includeSubDomains'],
  ['VIRTUAL_HOST_WEIGHT', 'high'],
  ['VIRTUAL_HOST_WEIGHT', '1.5'],
  ['BALANCE', 'constructor'],
  ['BALANCE', '__proto__'],
])('does not say that %s=%s was taken over', (name, value) => {
  const { flags, report } = read(['VIRTUAL_HOST', 'a.test'], [name, value]);
  expect(flags).toEqual({ route: [[aRoute({ name: 'a-test', hosts: ['a.test'] })]] });
  expect(report[1]).toMatch(new RegExp(`^${name}: not taken over: `));
});

test('says of a weight that is more than priorities are what it became', () => {
  const { flags, report } = read(['VIRTUAL_HOST', 'a.test'], ['VIRTUAL_HOST_WEIGHT', '5000']);
  expect(flags.route?.[0]?.[0]?.priority).toBe(1_000);
  expect(report[1]).toBe('VIRTUAL_HOST_WEIGHT: taken over as the priority 1000');
});

const hash = `$6$saltsalt$${'a'.repeat(86)}`;
const hashOf = (password: string) => `hash of ${password.length}`;
const read = (...variables: [string, string][]) =>
  importDockercloud(variables, { isLoadBalancer: false, hashOf });
const readProxy = (...variables: [string, string][]) =>
  importDockercloud(variables, { isLoadBalancer: true, hashOf });

test('nothing that was locked is open because no password can be checked, or nothing is said', () => {
  const host: [string, string] = ['VIRTUAL_HOST', 'a.test'];
  const locks: [string, string][] = [
    ['HTTP_BASIC_AUTH_SECURE', 'joe:$apr1$a$b'],
    ['HTTP_BASIC_AUTH', 'lonely'],
  ];
  for (const lock of locks) {
    // The API refuses it, and names it.
    for (const { flags } of [read(host, lock), read(host, lock, ['EXCLUDE_BASIC_AUTH', ''])]) {
      expect(flags.route?.[0]?.[0]?.basicAuth).toEqual({ realm: '', users: [] });
    }
    const open = read(host, lock, ['EXCLUDE_BASIC_AUTH', '1']);
    expect(open.flags.route?.[0]?.[0]?.basicAuth).toBeUndefined();
  }
  expect(read(host, ['HTTP_BASIC_AUTH', '']).flags.route?.[0]?.[0]?.basicAuth).toBeUndefined();
});

test('takes hashes of passwords over to the routes of a service, and names those that cannot be checked', () => {
  const secure: [string, string] = ['HTTP_BASIC_AUTH_SECURE', `joe:${hash},jim:$1$abc$def`];
  const { flags, report, secrets } = read(['VIRTUAL_HOST', 'a.test, b.test/x'], secure);
  const users = [{ name: 'joe', passwordHash: hash }];
  expect(flags.route?.[0]?.map(({ basicAuth }) => basicAuth)).toEqual(
    Array(2).fill({ realm: '', users }),
  );
  expect(secrets).toEqual(['HTTP_BASIC_AUTH_SECURE']);
  expect(report).toContain(
    'HTTP_BASIC_AUTH_SECURE: taken over as passwords of these routes, for joe',
  );
  expect(report).toContain(
    'HTTP_BASIC_AUTH_SECURE: not taken over: jim: not a hash of openssl passwd -6 or -5',
  );
  expect(report.join()).not.toContain('$');
  expect(read(['VIRTUAL_HOST', 'a.test'], ['HTTP_BASIC_AUTH_SECURE', 'hunter2']).report).toContain(
    'HTTP_BASIC_AUTH_SECURE: not taken over: one without a name: not a hash of openssl passwd -6 or -5',
  );
  // Of the proxy itself, or where the service is left out of it, nothing is locked without a word.
  expect(read(secure).report[0]).toMatch(
    /^HTTP_BASIC_AUTH_SECURE: not taken over: give it beside VIRTUAL_HOST/,
  );
  const open = read(['VIRTUAL_HOST', 'a.test'], secure, ['EXCLUDE_BASIC_AUTH', '1']);
  expect(open.flags.route?.[0]?.[0]?.basicAuth).toBeUndefined();
  expect(open.report).toContain(
    'HTTP_BASIC_AUTH_SECURE: not taken over: EXCLUDE_BASIC_AUTH is there',
  );
});

test('hashes passwords that come as they are, shows none, and keeps them out of containers', () => {
  const { flags, report, secrets } = read(
    ['VIRTUAL_HOST', 'a.test'],
    ['http_basic_auth', 'joe:hunter2, ann:a\\,b:c, j oe:secret, lonely, jim:plain'],
    ['HTTP_BASIC_AUTH_SECURE', `jim:${hash}`],
  );
  expect(flags.route?.[0]?.[0]?.basicAuth?.users).toEqual([
    { name: 'jim', passwordHash: hash },
    { name: 'joe', passwordHash: 'hash of 7' },
    { name: 'ann', passwordHash: 'hash of 5' },
  ]);
  expect(secrets).toEqual(['HTTP_BASIC_AUTH', 'HTTP_BASIC_AUTH_SECURE']);
  expect(report.filter((line) => line.startsWith('HTTP_BASIC_AUTH: not taken over: '))).toEqual([
    expect.stringContaining('j oe: a name has letters'),
    expect.stringContaining('one without a name: a name has letters'),
  ]);
  for (const word of ['hunter2', 'a,b:c', 'secret', 'lonely', 'plain', '$']) {
    expect(report.join('\n')).not.toContain(word);
  }
});

test.each([
  [
    'a',
    '$6$x$6Zqbz8j5rMHIeJ1ujjjFXuZXSa/VORj.fVUEQcJc.rjR9.wCKlhZuymRQLtIEzcxNmqwX/fRNvM45BbvFayY51',
  ],
  [
    'hunter2',
    '$6$saltsaltsaltsalt$dJX0KuyM7nCXuBPN.nYtdrJDotQEB1rFBumzix6FHzliKxLBinGY49pMJNvCoNf9fHmNyZ1IgX/glbcKhuXoh.',
  ],
  [
    'wörd'.repeat(20),
    '$6$./abc$uPhlIwupE3M5t/xM.6xvR6wyPhEQEADN9OiVQtD08OeSak9jZpPmxwmPLvjjhBQorQPus4RqlLxA8hCxO92x30',
  ],
  [
    'p'.repeat(64),
    '$6$q$0M1u3xdJnyo4gPcUkkS7kn5d/j7NqVcs9xMdA8Czy3l2.azVnR67vsRpSO7ok5Mts15PSys7PXrx1xsnCPTMW.',
  ],
  [
    'p'.repeat(65),
    '$6$1234567$.UqFf3V3KK3gBU155nbRuPBF6m4cB/Nmb8pxOV5OmXkY/mmSw1MVhPFqB3Prb9wWoRLdlQiDCnizHAICxlz171',
  ],
])('hashes %s as openssl passwd -6 does', (password, hashed) => {
  const [, , salt = ''] = hashed.split('$');
  expect(hashPassword(password, salt)).toBe(hashed);
  expect(hashPassword(password)).toMatch(/^\$6\$[./A-Za-z0-9]{16}\$[./A-Za-z0-9]{86}$/);
});

const header = (kind: 'set' | 'add', name: string, value: string) => ({
  change: { $case: kind, value: { name, value } },
});

test.each<[string, Partial<Route>]>([
  ['timeout server 1h', { responseTimeoutMs: 3_600_000 }],
  ['timeout  server 50000', { responseTimeoutMs: 50_000 }],
  ['timeout tunnel 20h , timeout tunnel 10s', { tunnelTimeoutMs: 10_000 }],
  [
    'http-request set-header X-A it\\ is\\ %%1, http-request add-header X-B "b \\"c\\"" # why',
    { requestHeaders: [header('set', 'X-A', 'it is %1'), header('add', 'X-B', 'b "c"')] },
  ],
  [
    "http-response set-header X-Frame-Options 'DENY', http-response del-header Server",
    {
      responseHeaders: [
        header('set', 'X-Frame-Options', 'DENY'),
        { change: { $case: 'remove', value: 'Server' } },
      ],
    },
  ],
  [
    'reqadd X-A:\\ b, rspadd Access-Control-Allow-Origin:\\ *',
    {
      requestHeaders: [header('add', 'X-A', 'b')],
      responseHeaders: [header('add', 'Access-Control-Allow-Origin', '*')],
    },
  ],
])('takes the lines %s over', (text, changes) => {
  const { flags, report } = read(['VIRTUAL_HOST', 'a.test'], ['EXTRA_SETTINGS', text]);
  expect(flags.route?.[0]).toEqual([aRoute({ name: 'a-test', hosts: ['a.test'], ...changes })]);
  expect(report.filter((line) => line.includes('not taken over'))).toEqual([]);
});

test.each([
  ['timeout connect 5000', 'timeout connect: only those'],
  ['timeout server 2y', 'timeout server: it is not from'],
  ['timeout server 90d', 'timeout server: it is not from'],
  [
    'http-request set-header X-A %[src]',
    'http-request set-header X-A: its value is of the request',
  ],
  ['http-request set-header X-A %%%ci', 'http-request set-header X-A: its value is of the request'],
  [
    'http-request set-header X-A secret if { ssl_fc }',
    'http-request set-header X-A: it has a cond',
  ],
  ['http-request set-header Host secret', 'http-request set-header Host: it is no header'],
  ['http-request set-header X-A ""', 'http-request set-header X-A: its value is none'],
  ['http-request deny if secret', 'http-request deny: of such rules'],
  ['rspadd X-A:\\ secret if { ssl_fc }', 'rspadd: it has a condition'],
  ['stats auth joe:secret', 'stats: lines of HAProxy are not taken; see'],
  // What a comma cut off.
  ['secret part of a value', 'a line: lines of HAProxy are not taken; see'],
  ['acl a "secret', 'a line: its quotes cannot be read'],
  ['http-request set-header X-A "$HOME"', 'a line: its quotes cannot be read'],
])('names the line %s and takes nothing of it', (line, words) => {
  const { flags, report } = read(['VIRTUAL_HOST', 'a.test'], ['EXTRA_SETTINGS', line]);
  expect(flags.route?.[0]).toEqual([aRoute({ name: 'a-test', hosts: ['a.test'] })]);
  expect(report[1]).toContain(`EXTRA_SETTINGS: not taken over: ${words}`);
  expect(report.join()).not.toContain('secret');
});

const ofProxy = new Set([
  ...['CA_CERT', 'EXTRA_BIND_SETTINGS', 'MAXCONN', 'STATS_AUTH', 'STATS_PORT'],
]);
const authority = '-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----';

/** Every variable of the settings of dockercloud/haproxy: of the proxy, and of the service behind. */
test.each<[name: string, value: string, outcome: 'taken' | 'left']>([
  ...(
    [
      ['ADDITIONAL_BACKEND_OLD', 'server a 10.0.0.1:80', 'left'],
      ['ADDITIONAL_BACKEND_FILE_OLD', '/backend', 'left'],
      ['ADDITIONAL_SERVICES', 'project:web', 'left'],
      ['BALANCE', 'leastconn', 'taken'],
      ['BALANCE', 'hdr(User-Agent)', 'left'],
      ['CA_CERT', authority, 'taken'],
      ['CA_CERT_FILE', '/ca.pem', 'left'],
      ['CERT_FOLDER', '/certs', 'left'],
      ['DEFAULT_SSL_CERT', 'a key', 'left'],
      ['SSL_CERT', 'a key', 'left'],
      ['EXTRA_SSL_CERTS', 'CERT_A', 'left'],
      ['EXTRA_BIND_SETTINGS', '80:accept-proxy', 'taken'],
      ['EXTRA_BIND_SETTINGS', '80:name http', 'left'],
      ['EXTRA_DEFAULT_SETTINGS', 'timeout server 1h', 'left'],
      ['EXTRA_DEFAULT_SETTINGS_FILE', '/lines', 'left'],
      ['EXTRA_GLOBAL_SETTINGS', 'tune.bufsize 32768', 'left'],
      ['EXTRA_GLOBAL_SETTINGS_FILE', '/lines', 'left'],
      ['EXTRA_FRONTEND_SETTINGS_80', 'http-request deny', 'left'],
      ['EXTRA_FRONTEND_SETTINGS_FILE_80', '/lines', 'left'],
      ['EXTRA_ROUTE_SETTINGS', 'send-proxy', 'taken'],
      ['EXTRA_ROUTE_SETTINGS', 'maxconn 5', 'left'],
      ['FORCE_DEFAULT_BACKEND', 'False', 'left'],
      ['HEALTH_CHECK', 'check inter 1s', 'left'],
      ['HTTP_BASIC_AUTH', 'joe:pass', 'taken'],
      ['HTTP_BASIC_AUTH_SECURE', `joe:${hash}`, 'taken'],
      ['MAXCONN', '100', 'taken'],
      ['MODE', 'tcp', 'left'],
      ['MONITOR_URI', '/up', 'left'],
      ['MONITOR_PORT', '81', 'left'],
      ['NBPROC', '2', 'left'],
      ['OPTION', 'redispatch', 'left'],
      ['RELOAD_TIMEOUT', '5', 'left'],
      ['RSYSLOG_DESTINATION', 'log:514', 'left'],
      ['SKIP_FORWARDED_PROTO', '1', 'left'],
      ['SSL_BIND_OPTIONS', 'no-sslv3', 'left'],
      ['SSL_BIND_CIPHERS', 'ALL', 'left'],
      ['STATS_AUTH', 'joe:pass', 'taken'],
      ['STATS_AUTH', 'stats:stats', 'left'],
      ['STATS_PORT', '8404', 'left'],
      ['TIMEOUT', 'server 90000', 'taken'],
      ['TIMEOUT', 'connect 5000', 'left'],
      ['HAPROXY_USER', 'haproxy', 'left'],
      ['HAPROXY_GROUP', 'haproxy', 'left'],
      ['DEBUG', '1', 'left'],
    ] as const
  ).map(([...row]): [string, string, 'taken' | 'left'] => row),
  ...(
    [
      ['COOKIE', 'SRV insert indirect nocache', 'taken'],
      ['COOKIE', 'SRV prefix', 'left'],
      ['EXCLUDE_PORTS', '9000', 'left'],
      ['EXCLUDE_BASIC_AUTH', '1', 'left'],
      ['EXTRA_SETTINGS', 'timeout tunnel 1h', 'taken'],
      ['EXTRA_SETTINGS', 'stick on src', 'left'],
      ['FORCE_SSL', 'true', 'taken'],
      ['GZIP_COMPRESSION_TYPE', 'text/html', 'taken'],
      ['HSTS_MAX_AGE', '300s', 'taken'],
      ['HTTP_CHECK', 'GET /', 'taken'],
      ['TCP_PORTS', '9000', 'taken'],
      ['TCP_PORTS', '9000/ssl', 'left'],
      ['VIRTUAL_HOST', 'a.test', 'taken'],
      ['VIRTUAL_HOST_WEIGHT', '3', 'taken'],
      ['SERVICE_PORTS', '80', 'left'],
    ] as const
  ).map(([...row]): [string, string, 'taken' | 'left'] => row),
])('%s=%s is %s, and the report says so', (name, value, outcome) => {
  const reading = ofProxy.has(name) ? readProxy : read;
  const { report } = reading(['VIRTUAL_HOST', 'b.test'], [name, value]);
  const lines = report.filter((line) => line.startsWith(`${name}: `));
  expect(lines.some((line) => line.startsWith(`${name}: taken over as `))).toBe(
    outcome === 'taken',
  );
  const left = lines.filter((line) => line.startsWith(`${name}: not taken over: `));
  expect(left.length).toBe(outcome === 'left' ? 1 : 0);
  // Why, or what to do instead.
  for (const line of left)
    expect(line.length).toBeGreaterThan(`${name}: not taken over: `.length + 15);
});

test('without a host nothing of a service is set, and what was to be is named', () => {
  const { flags, report } = read(
    ['EXTRA_SETTINGS', 'timeout server 1h'],
    ['TIMEOUT', 'server 90000'],
    ['FORCE_SSL', '1'],
    ['FAILOVER', '1'],
  );
  expect(flags).toEqual({});
  expect(report.map((line) => line.split(': not taken over: ')[0])).toEqual([
    ...['FORCE_SSL', 'EXTRA_SETTINGS', 'TIMEOUT'],
  ]);
});

const before = fc.constantFrom(
  ...['', 'joe:', 'a,', '"', 'x ', 'server a ', 'timeout server ', 'reqadd X-A:\\ '],
  ...['http-request set-header X-A ', 'http-response add-header X-A "'],
);
const pieces = fc.array(
  fc.constantFrom(
    ...['S3CRET', ' ', ',', '\\', '"', "'", '%', '#', '$', '\n', '=', '/', '*', 'joe', '10s'],
    ...['X-A', 'if', '{ ssl_fc }', '$6$', 'é', '\u0000', '__proto__'],
  ),
  { maxLength: 12 },
);
const hiding = [
  ...['EXTRA_SETTINGS', 'HTTP_BASIC_AUTH', 'HTTP_BASIC_AUTH_SECURE', 'SSL_CERT', 'CA_CERT'],
  ...['EXTRA_FRONTEND_SETTINGS_80', 'EXTRA_ROUTE_SETTINGS', 'STATS_AUTH'],
];

test('reads whatever there is, and shows nothing of what may be a secret', () => {
  const setting = fc.tuple(
    fc.constantFrom(...hiding),
    fc.tuple(before, pieces).map(([first, rest]) => `${first}S3CRET${rest.join('')}`),
  );
  fc.assert(
    fc.property(fc.array(setting, { maxLength: 6 }), fc.boolean(), (settings, hasHost) => {
      const host: [string, string][] = hasHost ? [['VIRTUAL_HOST', 'a.test']] : [];
      expect(read(...host, ...settings).report.filter((line) => line.includes('S3CRET'))).toEqual(
        [],
      );
    }),
    { numRuns: 500 },
  );
});
