import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  createServer as createHttpServer,
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { connect, createServer } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { BalanceAlgorithm, type DeepPartial } from '../../../../shared/gen/fairlead/v1/route.ts';
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
  HaproxyDirectory,
  Load,
  proxyConfig,
  RunningProxyAgent,
  TestBackend,
} from '../../../support/haproxy.ts';
import { LocalServer } from '../../../support/local-server.ts';
import { aProtoRoute } from '../../../support/routes.ts';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One request on a connection of its own, from an address of the loopback network. */
async function ask(
  port: number,
  host: string,
  {
    from = '127.0.0.1',
    path = '/',
    headers = {},
  }: { from?: string; path?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', localAddress: from, port, path, agent: false };
    request({ ...options, headers: { ...headers, host } }, (response) => {
      let body = '';
      response.setEncoding('latin1');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      });
    })
      .on('error', reject)
      .end();
  });
}

/** A route for each host of that name. */
function routesOf(routes: Record<string, Partial<Route>>, to = 'web') {
  return Object.entries(routes).map(([name, route]) => ({
    ...{ id: `web.${name}`, backend: to, split: [] },
    route: aProtoRoute({ ...route, hosts: [`${name}.test`] }),
  }));
}

function hashOf(password: string, kind = '-6'): string {
  return execFileSync('openssl', ['passwd', kind, '-salt', 'saltsalt', password], {
    encoding: 'utf8',
  }).trim();
}

test('does with the requests of each route what it says', async () => {
  const port = await freePort();
  await using web = await TestBackend.start('web');
  const page = {
    body: '<h1>"back\' %[src] soon</h1>\n',
    contentType: 'text/html; charset=utf-8',
    retryAfterS: 60,
  };
  const routes = routesOf({
    whole: { redirect: { to: 'https://new.test/%[src]', whole: true, status: 301 } },
    prefix: { redirect: { to: 'https://new.test/base/', whole: false, status: 307 } },
    plain: { redirect: { to: '/login', whole: true, status: 0 } },
    moved: { redirect: { to: '/v2/', whole: false, status: 308 } },
    secure: { forceHttps: true, strictTransport: { maxAgeS: 100, includeSubdomains: true } },
    headers: {
      requestHeaders: [
        { change: { $case: 'set', value: { name: 'X-Set', value: 'it\'s %[src] "}"' } } },
        { change: { $case: 'remove', value: 'X-Gone' } },
        { change: { $case: 'add', value: { name: 'X-More', value: '2' } } },
      ],
      responseHeaders: [
        { change: { $case: 'set', value: { name: 'X-Answer', value: '100% $HOME' } } },
        { change: { $case: 'add', value: { name: 'Set-Cookie', value: 'a=1' } } },
        { change: { $case: 'add', value: { name: 'Set-Cookie', value: 'b=2' } } },
        { change: { $case: 'remove', value: 'Date' } },
      ],
    },
    locked: {
      basicAuth: {
        realm: 'my "shop"',
        users: [
          { name: 'joe', passwordHash: hashOf('pa:ss') },
          { name: 'jim', passwordHash: hashOf('wörd', '-5') },
        ],
      },
      responseHeaders: [{ change: { $case: 'set', value: { name: 'X-Own', value: 'too' } } }],
    },
    inside: { allow: ['127.0.0.0/24', '2001:db8::/32'], deny: ['127.0.0.9'] },
    limited: { rateLimit: { requests: 3, periodMs: 10_000 } },
    brief: { rateLimit: { requests: 1, periodMs: 1_000 } },
    closed: { maintenance: page },
    quiet: { maintenance: { body: '', contentType: '', retryAfterS: 0 } },
    hurried: { responseTimeoutMs: 300 },
  });
  await using _driven = await DrivenProxy.start(
    aSnapshot(port, {
      frontends: [{ name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'web', routes }],
      targets: [aTarget({ id: 'web-1.a.1', port: web.port })],
    }),
  );

  expect((await ask(port, 'brief.test')).status).toBe(200);
  await eventually(async () => {
    expect((await ask(port, 'brief.test')).status).toBe(429);
  });

  const whole = await ask(port, 'whole.test', { path: '/a?b' });
  expect([whole.status, whole.headers.location]).toEqual([301, 'https://new.test/%[src]']);
  const prefix = await ask(port, 'prefix.test', { path: '/a?b' });
  expect([prefix.status, prefix.headers.location]).toEqual([307, 'https://new.test/base/a?b']);
  const plain = await ask(port, 'plain.test', { path: '/a?b' });
  expect([plain.status, plain.headers.location]).toEqual([302, '/login']);
  const moved = await ask(port, 'moved.test', { path: '/a?b' });
  expect([moved.status, moved.headers.location]).toEqual([308, '/v2/a?b']);
  const secure = await ask(port, `secure.test:${port}`, {
    path: '/x?y',
    headers: { 'x-forwarded-proto': 'https' },
  });
  expect([secure.status, secure.headers.location]).toEqual([308, 'https://secure.test/x?y']);
  expect(secure.headers['strict-transport-security']).toBeUndefined();

  const changed = await ask(port, 'headers.test', {
    headers: { 'x-gone': '1', 'x-more': '1', 'x-set': '0' },
  });
  expect(changed.headers).toMatchObject({ 'x-answer': '100% $HOME', 'set-cookie': ['a=1', 'b=2'] });
  expect(changed.headers).not.toHaveProperty('date');
  expect(web.headers.at(-1)).toMatchObject({ 'x-set': 'it\'s %[src] "}"', 'x-more': '1, 2' });
  expect(web.headers.at(-1)).not.toHaveProperty('x-gone');

  const locked = await ask(port, 'locked.test');
  expect(locked.status).toBe(401);
  expect(locked.headers).toMatchObject({
    ...{ 'www-authenticate': 'Basic realm="my shop"', 'x-own': 'too' },
  });
  const login = (text: string) => ({
    headers: { authorization: `Basic ${Buffer.from(text).toString('base64')}` },
  });
  expect((await ask(port, 'locked.test', login('joe:pa:ss'))).status).toBe(200);
  expect((await ask(port, 'locked.test', login('jim:wörd'))).status).toBe(200);
  expect((await ask(port, 'locked.test', login('joe:wrong'))).status).toBe(401);

  expect((await ask(port, 'inside.test')).status).toBe(200);
  expect((await ask(port, 'inside.test', { from: '127.0.0.9' })).status).toBe(403);
  const pretended = { from: '127.0.1.1', headers: { 'x-forwarded-for': '127.0.0.1' } };
  expect((await ask(port, 'inside.test', pretended)).status).toBe(403);

  const limited = [];
  for (let count = 0; count < 5; count++) limited.push((await ask(port, 'limited.test')).status);
  expect(limited).toEqual([200, 200, 200, 429, 429]);
  expect((await ask(port, 'limited.test', { from: '127.0.0.2' })).status).toBe(200);

  const closed = await ask(port, 'closed.test');
  expect(closed).toMatchObject({ status: 503, body: page.body });
  expect(closed.headers).toMatchObject({ 'content-type': page.contentType, 'retry-after': '60' });
  expect((await ask(port, 'quiet.test')).body).toBe('closed for maintenance\n');
  expect((await ask(port, 'hurried.test', { path: '/slow' })).status).toBe(504);

  const spoofed = {
    ...{ 'x-forwarded-for': '1.1.1.1', 'x-forwarded-proto': 'https' },
    ...{ 'x-forwarded-host': 'a.test', forwarded: 'for=1.1.1.1', 'X-REAL-IP': '1.1.1.1' },
    // What goes by CGI reads these as the same; some take the last for a setting of their own.
    ...{ 'X-Original-URL': '/admin', x_rewrite_url: '/admin' },
    ...{ X_Forwarded_For: '1.1.1.1', 'x-forwarded_prefix': '/a', x_real_ip: '1.1.1.1' },
    ...{ proxy: 'http://a.test', 'x-forwarder': 'kept' },
  };
  expect((await ask(port, 'other.test', { headers: spoofed })).status).toBe(200);
  const seen = web.headers.at(-1);
  const rest = { host: 'other.test', 'x-forwarder': 'kept' };
  expect(seen).toEqual({ ...rest, 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http' });

  // Whoever was too quick is let in again; those that are refused count too.
  await eventually(
    async () => {
      expect((await ask(port, 'brief.test')).status).toBe(200);
    },
    { intervalMs: 2_100 },
  );
});

test('serves services that are called as what it has of its own', async () => {
  const port = await freePort();
  await using web = await TestBackend.start('web');
  const names = ['demo', 'http', 'routes', `handoff-${port}`, 'rate-web', 'users-web', 'next'];
  const backends = names.map((name) => `fairlead-${name}.80`);
  // Of this route there are a table of rates, and a list of names, besides.
  const guarded = aProtoRoute({
    ...{ hosts: ['guarded.test'], rateLimit: { requests: 9, periodMs: 60_000 } },
    basicAuth: { realm: 'a', users: [{ name: 'joe', passwordHash: hashOf('secret') }] },
  });
  await using driven = await DrivenProxy.start(
    aSnapshot(port, {
      frontends: [
        {
          ...{ name: `http_${port}`, port, mode: FrontendMode.HTTP, defaultBackend: 'default' },
          routes: [
            ...backends.map((backend, index) => ({
              ...{ id: `${backend.slice(0, -3)}.1`, backend, split: [] },
              route: aProtoRoute({ hosts: [`${names[index]!}.test`] }),
            })),
            { id: 'web.80', backend: 'web.80', split: [], route: guarded },
          ],
        },
      ],
      backends: [...backends, 'web.80'].map((name) => ({ name, mode: FrontendMode.HTTP })),
      targets: [],
    }),
  );
  const { coordinator } = driven;
  expect(coordinator.status?.message).toBe('');
  const targets = [...backends, 'web.80'].map((backend) =>
    aTarget({ id: `${backend}-1`, backend, port: web.port }),
  );
  await coordinator.untilApplied(coordinator.change(targets));
  for (const name of names)
    expect([name, (await ask(port, `${name}.test`)).status]).toEqual([name, 200]);
  expect((await ask(port, 'guarded.test')).status).toBe(401);
  // Their servers are known, and taken out as others are.
  await coordinator.untilApplied(coordinator.change([], [targets[0]!.id]));
  expect((await ask(port, 'demo.test')).status).toBe(503);
});

test('adds to headers what it may, however long what is sent and answered is', async () => {
  const port = await freePort();
  await using web = await new LongServer().listen();
  const fields = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      change: { $case: 'set' as const, value: { name: `X-${index}`, value: 'v'.repeat(1_000) } },
    }));
  const page = { body: 'x'.repeat(8_192), contentType: 'text/plain', retryAfterS: 0 };
  const changes = { requestHeaders: fields(8), responseHeaders: fields(8) };
  await using _driven = await DrivenProxy.start(
    aSnapshot(port, {
      frontends: [
        {
          ...{ name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'web' },
          routes: routesOf({
            one: { requestHeaders: fields(1), responseHeaders: fields(1) },
            most: changes,
            closed: { ...changes, maintenance: page },
          }),
        },
      ],
      targets: [aTarget({ id: 'web-1.a.1', port: web.port })],
    }),
  );
  const send = async (host: string, bytes: number) => {
    const outgoing = request({
      ...{ host: '127.0.0.1', port, method: 'POST', path: `/${bytes}`, agent: false },
      headers: { host, 'content-length': bytes },
    });
    outgoing.end(Buffer.alloc(bytes));
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    const answered = (await buffer(response)).length;
    return [response.statusCode, response.headers['x-0']?.length, answered];
  };
  for (const bytes of [10, 14_000, 100_000]) {
    for (const host of ['one.test', 'most.test', 'none.test']) {
      const length = host === 'none.test' ? undefined : 1_000;
      expect([host, ...(await send(host, bytes))]).toEqual([host, 200, length, bytes]);
      expect(web.told).toEqual([length, bytes]);
    }
  }
  expect(await send('closed.test', 10)).toEqual([503, 1_000, 8_192]);
});

/** Answers each request with as many bytes as its path says, and keeps what it was told. */
class LongServer extends LocalServer {
  /** The length of a header field that was added, and of the body. */
  told: (number | undefined)[] = [];

  constructor() {
    super(createHttpServer());
    this.server.on('request', (incoming: IncomingMessage, response: ServerResponse) => {
      void buffer(incoming).then(({ length }) => {
        this.told = [(incoming.headers['x-0'] as string | undefined)?.length, length];
        response.end(Buffer.alloc(Number(incoming.url?.slice(1))));
      });
    });
  }
}

test('leads clients to the port at which they reach https, unless they come by a mapping or an upstream', async () => {
  const [port, direct] = [await freePort(), await freePort()];
  await using web = await TestBackend.start('web');
  const frontend = (own: number, clientsPort: number) => ({
    ...{ name: `http_${own}`, port: own, mode: FrontendMode.HTTP, defaultBackend: 'web' },
    ...{ clientsPort, httpsPort: 8443, trustedUpstreams: ['127.0.0.3'] },
    routes: routesOf({ secure: { forceHttps: true } }),
  });
  await using _driven = await DrivenProxy.start(
    aSnapshot(port, {
      frontends: [frontend(port, 80), frontend(direct, 8080)],
      targets: [aTarget({ id: 'web-1.a.1', port: web.port })],
    }),
  );
  const led = async (at: number, host: string, from = '127.0.0.1') =>
    (await ask(at, host, { from })).headers.location;
  expect(await led(port, 'secure.test')).toBe('https://secure.test:8443/');
  expect(await led(port, 'secure.test:80')).toBe('https://secure.test:8443/');
  expect(await led(port, 'secure.test:8080')).toBe('https://secure.test/');
  expect(await led(port, 'secure.test', '127.0.0.3')).toBe('https://secure.test/');
  expect(await led(direct, 'secure.test:8080')).toBe('https://secure.test:8443/');
  expect(await led(direct, 'secure.test')).toBe('https://secure.test/');
});

test('believes what trusted upstreams say of clients, and nobody else', async () => {
  const port = await freePort();
  await using web = await TestBackend.start('web');
  const trusted = {
    ...{ name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'web' },
    trustedUpstreams: ['127.0.0.3'],
    routes: routesOf({
      inside: { allow: ['10.0.0.0/8', 'fd00::/8'] },
      limited: { rateLimit: { requests: 1, periodMs: 10_000 } },
      secure: { forceHttps: true, strictTransport: { maxAgeS: 9, includeSubdomains: false } },
    }),
  };
  await using _driven = await DrivenProxy.start(
    aSnapshot(port, {
      frontends: [trusted],
      targets: [aTarget({ id: 'web-1.a.1', port: web.port })],
    }),
  );
  const headers = { 'x-forwarded-for': '1.1.1.1, 10.1.1.1', 'x-forwarded-proto': 'https' };
  expect((await ask(port, 'inside.test', { from: '127.0.0.3', headers })).status).toBe(200);
  expect(web.headers.at(-1)).toMatchObject({
    ...{ 'x-forwarded-for': '1.1.1.1, 10.1.1.1, 127.0.0.3', 'x-forwarded-proto': 'https' },
  });
  expect((await ask(port, 'inside.test', { headers })).status).toBe(403);
  // Each client behind the upstream has its own rate; of somebody else the address of the connection counts.
  const limited = async (from: string, client: string) =>
    (await ask(port, 'limited.test', { from, headers: { 'x-forwarded-for': client } })).status;
  expect(await limited('127.0.0.3', '10.1.1.1')).toBe(200);
  expect(await limited('127.0.0.3', '10.1.1.1')).toBe(429);
  expect(await limited('127.0.0.3', '10.1.1.1:50123')).toBe(429);
  expect(await limited('127.0.0.3', '10.1.1.2')).toBe(200);
  expect(await limited('127.0.0.3', '2001:db8::1')).toBe(200);
  expect(await limited('127.0.0.3', '2001:db8::ffff:0:0:2')).toBe(429);
  expect(await limited('127.0.0.3', '2001:db8:0:1::1')).toBe(200);
  expect(await limited('127.0.0.1', '10.1.1.3')).toBe(200);
  expect(await limited('127.0.0.1', '10.1.1.4')).toBe(429);
  // With a port behind it, and in brackets, as other load balancers say it; of what is no address the upstream counts.
  const said: readonly (readonly [string, number])[] = [
    ['10.1.1.1:50123', 200],
    ['1.1.1.1:1, 10.1.1.1:2', 200],
    ['11.1.1.1:50123', 403],
    ['fd00::1', 200],
    ['[fd00::1]', 200],
    ['[fd00::1]:50123', 200],
    ['10.1.1.1, [2001:db8::1]:50123', 403],
    ['10.1.1.1, unknown', 403],
    ['10.1.1.1, _hidden:7', 403],
    ['', 403],
  ];
  const answers = await Promise.all(
    said.map(async ([client]) => {
      const told = { 'x-forwarded-for': client };
      return (await ask(port, 'inside.test', { from: '127.0.0.3', headers: told })).status;
    }),
  );
  expect(said.map(([client], at) => [client, answers[at]])).toEqual(said);
  const secure = await ask(port, 'secure.test', { from: '127.0.0.3', headers });
  expect(secure.status).toBe(200);
  expect(secure.headers['strict-transport-security']).toBe('max-age=9');
  expect((await ask(port, 'secure.test', { headers })).status).toBe(308);
});

/** A list of one backend with two servers, and what is said of it. */
function balanced(
  port: number,
  [one, two]: readonly [TestBackend, TestBackend],
  balancing: NonNullable<DeepPartial<BackendSnapshot>['backends']>[number]['balancing'],
  changes: {
    readonly version?: number;
    readonly oneMode?: TargetMode;
    readonly backup?: boolean;
  } = {},
) {
  return aSnapshot(port, {
    version: changes.version ?? 1,
    frontends: [{ name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'web' }],
    backends: [{ name: 'web', mode: FrontendMode.HTTP, balancing, cookieKey: 'abc' }],
    targets: [
      aTarget({ id: 'web-1.a.1', port: one.port, mode: changes.oneMode ?? TargetMode.READY }),
      changes.backup === true
        ? aTarget({ id: 'web-2.a.1.for-web', port: two.port, backup: true })
        : aTarget({ id: 'web-2.a.1', port: two.port }),
    ],
  });
}

test('keeps a client at its server by a cookie, moves it when that goes, and compresses', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using directory = new HaproxyDirectory();
  const unavailable = { body: 'nobody\n', contentType: 'text/plain', retryAfterS: 5 };
  const balancing = { stickyCookie: 'SRV', compress: true, unavailable };
  await using coordinator = await FakeProxyCoordinator.start(balanced(port, [one, two], balancing));
  const config = proxyConfig({ coordinator: coordinator.address, stateDir: directory.path });
  await using _agent = new RunningProxyAgent(config);
  await coordinator.untilApplied(1);
  const cookieOf = ({ headers }: Answer) => headers['set-cookie']?.[0]?.split(';')[0] ?? '';
  let first = await ask(port, 'a.test');
  while (first.body !== 'one') first = await ask(port, 'a.test');
  const cookie = cookieOf(first);
  expect(cookie).toMatch(/^SRV=[0-9a-f]{24}$/);
  for (let count = 0; count < 4; count++) {
    expect((await ask(port, 'a.test', { headers: { cookie } })).body).toBe('one');
  }
  // A container in place of another has its slot, and so its clients.
  await using next = await TestBackend.start('next');
  const successor = aTarget({ id: 'web-1.b.2', port: next.port });
  await coordinator.untilApplied(coordinator.change([successor]));
  await coordinator.untilApplied(
    coordinator.change([aTarget({ id: 'web-1.a.1', port: one.port, mode: TargetMode.DRAIN })]),
  );
  const others = { headers: { cookie: `a=1; ${cookie}; b=2` } };
  for (let count = 0; count < 4; count++) {
    const answer = await ask(port, 'a.test', others);
    expect([answer.body, answer.headers['set-cookie']]).toEqual(['next', undefined]);
  }
  const told = () => next.headers.at(-1)?.['cookie'];
  expect(told()).toBe('a=1; b=2');
  await ask(port, 'a.test', { headers: { cookie: `${cookie}; XSRV=1` } });
  expect(told()).toBe('XSRV=1');
  await ask(port, 'a.test', { headers: { cookie: `a=1;${cookie}` } });
  expect(told()).toBe('a=1');
  await ask(port, 'a.test', { headers: { cookie } });
  expect(told()).toBeUndefined();
  // Some proxies write a line for each cookie.
  const lines = connect(port, '127.0.0.1');
  lines.write(
    `GET / HTTP/1.1\r\nHost: a.test\r\nCookie: a=1\r\nCookie: ${cookie}\r\nConnection: close\r\n\r\n`,
  );
  await once(lines.resume(), 'close');
  expect(told()).toMatch(/^a=1(; )?$/);
  // It failed, and the one before is back.
  await coordinator.untilApplied(
    coordinator.change([
      aTarget({ id: 'web-1.a.1', port: one.port }),
      aTarget({ id: 'web-1.b.2', port: next.port, mode: TargetMode.DRAIN }),
    ]),
  );
  expect((await ask(port, 'a.test', { headers: { cookie } })).body).toBe('one');
  const drain = aTarget({ id: 'web-1.a.1', port: one.port, mode: TargetMode.DRAIN });
  await coordinator.untilApplied(coordinator.change([drain]));
  const moved = await ask(port, 'a.test', { headers: { cookie } });
  expect(moved.body).toBe('two');
  await eventually(() => {
    expect(coordinator.target('web-1.a.1')).toMatchObject({ drained: true });
  });
  // A server that was added at run time has a cookie of its own too, and the others keep theirs.
  const third = aTarget({ id: 'web-3.a.1', port: one.port });
  await coordinator.untilApplied(coordinator.change([third], ['web-1.a.1']));
  const kept = cookieOf(moved);
  expect((await ask(port, 'a.test', { headers: { cookie: kept } })).body).toBe('two');
  let fresh = await ask(port, 'a.test');
  while (fresh.body !== 'one') fresh = await ask(port, 'a.test');
  expect((await ask(port, 'a.test', { headers: { cookie: cookieOf(fresh) } })).body).toBe('one');

  const gzip = { 'accept-encoding': 'gzip' };
  const encoding = async (path: string, headers: Record<string, string>) =>
    (await ask(port, 'a.test', { path, headers })).headers['content-encoding'];
  expect(await encoding('/text', gzip)).toBe('gzip');
  expect(await encoding('/text', {})).toBeUndefined();
  expect(await encoding('/', gzip)).toBeUndefined();
  await coordinator.untilApplied(coordinator.change([], ['web-3.a.1', 'web-2.a.1']));
  const nobody = await ask(port, 'a.test');
  expect([nobody.status, nobody.body, nobody.headers['retry-after']]).toEqual([
    503,
    'nobody\n',
    '5',
  ]);
});

test('balances as it is told, and gives backups requests only when nothing else is there', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  const by = (algorithm: BalanceAlgorithm, version: number, backup = false) =>
    balanced(port, [one, two], { algorithm }, { version, backup });
  await using driven = await DrivenProxy.start(by(BalanceAlgorithm.URI, 1));
  const { coordinator } = driven;
  const answers = async (paths: readonly string[], from = '127.0.0.1') => {
    const bodies: string[] = [];
    for (const path of paths) bodies.push((await ask(port, 'a.test', { path, from })).body);
    return bodies;
  };
  const bodies = async (...args: Parameters<typeof answers>) => new Set(await answers(...args));
  const different = (count: number) => Array.from({ length: count }, (_, n) => `/${n}`);
  const follow = async (algorithm: BalanceAlgorithm, version: number, backup = false) => {
    coordinator.replace(by(algorithm, version, backup));
    await coordinator.untilApplied(version);
  };
  expect((await bodies(Array(6).fill('/same'))).size).toBe(1);
  expect((await bodies(different(40))).size).toBe(2);

  await follow(BalanceAlgorithm.SOURCE, 2);
  const perClient = [];
  for (let client = 1; client <= 20; client++) {
    perClient.push([...(await bodies(different(3), `127.0.0.${client}`))]);
  }
  expect(perClient.filter(({ length }) => length !== 1)).toEqual([]);
  expect(new Set(perClient.flat())).toEqual(new Set(['one', 'two']));

  await follow(BalanceAlgorithm.ROUND_ROBIN, 3);
  const inTurn = await answers(Array(6).fill('/'));
  const [first, second] = inTurn;
  expect(inTurn).toEqual([first, second, first, second, first, second]);
  expect(first).not.toBe(second);

  await follow(BalanceAlgorithm.RANDOM, 4);
  // Neither in turn nor always the same: by chance once in some 2^38.
  const random = await answers(Array(40).fill('/'));
  expect(new Set(random).size).toBe(2);
  expect(random.some((body, n) => body === random[n + 1])).toBe(true);

  await follow(BalanceAlgorithm.LEAST_CONNECTIONS, 5);
  const slow = ask(port, 'a.test', { path: '/slow' });
  await eventually(() => {
    expect(one.waiting + two.waiting).toBe(1);
  });
  const [busy, idle] = one.waiting === 1 ? [one, 'two'] : [two, 'one'];
  expect(await answers(Array(5).fill('/'))).toEqual(Array(5).fill(idle));
  busy.finishSlow();
  expect((await slow).body).toBe(busy.name);

  await follow(BalanceAlgorithm.LEAST_CONNECTIONS, 6, true);
  expect(await bodies(Array(6).fill('/'))).toEqual(new Set(['one']));
  const drain = aTarget({ id: 'web-1.a.1', port: one.port, mode: TargetMode.DRAIN });
  await coordinator.untilApplied(coordinator.change([drain]));
  expect(await bodies(Array(3).fill('/'))).toEqual(new Set(['two']));
});

test.each(['', 'SRV'])(
  'all containers of a backup take over while nothing else answers, and clients go back: cookie "%s"',
  async (stickyCookie) => {
    const port = await freePort();
    const diedAt = await freePort();
    await using one = await TestBackend.start('one');
    await using two = await TestBackend.start('two');
    const web = aTarget({ id: 'web-1.a.1', port: diedAt });
    await using driven = await DrivenProxy.start(
      aSnapshot(port, {
        frontends: [{ name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'web' }],
        backends: [
          { name: 'web', mode: FrontendMode.HTTP, cookieKey: 'abc', balancing: { stickyCookie } },
        ],
        targets: [web, aTarget({ id: 'rest-1.a.1.for-web', port: one.port, backup: true })],
      }),
    );
    // One more, that comes at run time.
    const { coordinator } = driven;
    const more = aTarget({ id: 'rest-2.a.1.for-web', port: two.port, backup: true });
    await coordinator.untilApplied(coordinator.change([more]));
    const visit = async (cookie = '') => {
      const { body, headers } = await ask(port, 'a.test', { headers: cookie ? { cookie } : {} });
      return { body, cookie: headers['set-cookie']?.[0]?.split(';')[0] ?? '' };
    };
    await eventually(async () => {
      expect(['one', 'two']).toContain((await visit()).body);
    });
    const clients: { readonly body: string; readonly cookie: string }[] = [];
    for (let count = 0; count < 8; count++) clients.push(await visit());
    expect(new Set(clients.map(({ body }) => body))).toEqual(new Set(['one', 'two']));
    // A client stays at its container of the backup.
    for (const { body, cookie } of clients) {
      if (stickyCookie !== '') expect(await visit(cookie)).toEqual({ body, cookie: '' });
    }
    const process = createHttpServer((_, response) => response.end('web'));
    process.listen(diedAt, '127.0.0.1');
    try {
      await eventually(async () => {
        expect((await visit()).body).toBe('web');
      });
      for (const { cookie } of clients) {
        const back = await visit(cookie);
        expect(back.body).toBe('web');
        if (stickyCookie === '') continue;
        expect(back.cookie).not.toBe('');
        expect(await visit(back.cookie)).toEqual({ body: 'web', cookie: '' });
      }
    } finally {
      process.close();
      process.closeAllConnections();
    }
  },
);

test('splits the requests of a route, and changes the parts without a reload', async () => {
  const port = await freePort();
  await using blue = await TestBackend.start('blue');
  await using green = await TestBackend.start('green');
  const list = (version: number, percent: number) =>
    aSnapshot(port, {
      version,
      frontends: [
        {
          ...{ name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'default' },
          routes: [
            {
              ...{ id: 'blue.1', backend: 'blue', route: aProtoRoute() },
              split: percent === 0 ? [] : [{ backend: 'green', percent }],
            },
          ],
        },
      ],
      backends: [
        { name: 'blue', mode: FrontendMode.HTTP },
        { name: 'green', mode: FrontendMode.HTTP },
      ],
      targets: [
        aTarget({ id: 'blue-1', backend: 'blue', port: blue.port }),
        aTarget({ id: 'green-1', backend: 'green', port: green.port }),
      ],
    });
  await using driven = await DrivenProxy.start(list(1, 0));
  const { coordinator, directory } = driven;
  const { pid } = await directory.info();
  const shareOfGreen = async () => {
    const before = green.requests;
    for (let count = 0; count < 200; count++) await ask(port, 'a.test');
    return green.requests - before;
  };
  expect(await shareOfGreen()).toBe(0);
  coordinator.replace(list(2, 30));
  await coordinator.untilApplied(2);
  const some = await shareOfGreen();
  expect(some).toBeGreaterThan(20);
  expect(some).toBeLessThan(120);
  coordinator.replace(list(3, 100));
  await coordinator.untilApplied(3);
  expect(await shareOfGreen()).toBe(200);
  expect((await directory.info()).pid).toBe(pid);
});

test('switches from blue to green and back at once under load, and fails and mixes nothing', async () => {
  const port = await freePort();
  await using blue = await TestBackend.start('blue');
  await using green = await TestBackend.start('green');
  const pool = (name: string) => ({ name, mode: FrontendMode.HTTP });
  const list = (version: number, to: 'blue' | 'green', known: readonly TestBackend[]) =>
    aSnapshot(port, {
      version,
      frontends: [
        {
          ...{ name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'default' },
          routes: [
            {
              ...{ id: 'blue.1', backend: 'blue', route: aProtoRoute() },
              split: to === 'blue' ? [] : [{ backend: 'green', percent: 100 }],
            },
          ],
        },
      ],
      backends: known.map(({ name }) => pool(name)),
      targets: known.map((each) =>
        aTarget({ id: `${each.name}-1.a`, backend: each.name, port: each.port }),
      ),
    });
  await using driven = await DrivenProxy.start(list(1, 'blue', [blue]));
  const { coordinator } = driven;
  const load = new Load(port);
  await load.more(30);
  // The first time by a reload, with clients that keep their connections to the worker before it.
  for (const [version, to, from] of [
    [2, green, blue],
    [3, blue, green],
    [4, green, blue],
  ] as const) {
    coordinator.replace(list(version, to === blue ? 'blue' : 'green', [blue, green]));
    await coordinator.untilApplied(version);
    // What was on its way is answered, whoever had it.
    await load.more(60);
    const [stays, grows] = [from.requests, to.requests];
    await load.more(60);
    expect(from.requests).toBe(stays);
    expect(to.requests).toBeGreaterThan(grows);
  }
  expect((await load.stop()).failures).toEqual([]);
});

test('keeps a client at the part of a split that its cookie is of, for as long as that is given any', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using green = await TestBackend.start('green');
  const sticky = (name: string, stickyCookie = 'SRV') => ({
    ...{ name, mode: FrontendMode.HTTP, cookieKey: `key-of-${name}` },
    balancing: { stickyCookie },
  });
  const list = (version: number, percent: number, cookie = 'SRV') =>
    aSnapshot(port, {
      version,
      frontends: [
        {
          ...{ name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'default' },
          routes: [
            {
              ...{ id: 'blue.1', backend: 'blue', route: aProtoRoute() },
              split: percent === 0 ? [] : [{ backend: 'green', percent }],
            },
          ],
        },
      ],
      backends: [sticky('blue'), sticky('green', cookie)],
      targets: [
        aTarget({ id: 'blue-1.a', backend: 'blue', port: one.port }),
        aTarget({ id: 'blue-2.a', backend: 'blue', port: two.port }),
        aTarget({ id: 'green-1.a', backend: 'green', port: green.port }),
      ],
    });
  await using driven = await DrivenProxy.start(list(1, 50));
  const { coordinator, directory } = driven;
  const { pid } = await directory.info();
  const follow = async (...args: Parameters<typeof list>) => {
    coordinator.replace(list(...args));
    await coordinator.untilApplied(args[0]);
  };
  const visit = async (cookie: string) => {
    const { body, headers } = await ask(port, 'a.test', { headers: cookie ? { cookie } : {} });
    return { body, cookie: headers['set-cookie']?.[0]?.split(';')[0] ?? '' };
  };
  const clients: { readonly body: string; readonly cookie: string }[] = [];
  for (let count = 0; count < 40; count++) clients.push(await visit(''));
  expect(new Set(clients.map(({ body }) => body))).toEqual(new Set(['one', 'two', 'green']));
  const stays = async () => {
    for (const { body, cookie } of clients) {
      expect(await visit(`a=1; ${cookie}`)).toEqual({ body, cookie: '' });
    }
  };
  await stays();
  await follow(2, 1);
  await stays();
  // In one switch, whatever cookie they have; and back.
  await follow(3, 100);
  for (const { cookie } of clients) expect((await visit(cookie)).body).toBe('green');
  await follow(4, 0);
  for (const { cookie } of clients) expect((await visit(cookie)).body).not.toBe('green');
  await follow(5, 50);
  await stays();
  expect((await directory.info()).pid).toBe(pid);
  // Others' cookies, and what was made up, say nothing.
  for (const cookie of ['SRV=', 'SRV=x', 'SRV=%', `SRV=${'a'.repeat(3_000)}`]) {
    expect(['one', 'two', 'green']).toContain((await visit(cookie)).body);
  }
  // Each by a cookie of its own.
  await follow(6, 50, 'OTHER');
  let other = await visit('');
  while (other.body !== 'green') other = await visit('');
  expect(other.cookie).toMatch(/^OTHER=/);
  for (let count = 0; count < 10; count++) {
    expect(await visit(other.cookie)).toEqual({ body: 'green', cookie: '' });
  }
});

test('passes connections on as they are, by port and by the name in TLS, with the PROXY protocol', async () => {
  const [port, tlsPort] = [await freePort(), await freePort()];
  await using plain = await new ByteServer('plain').listen();
  await using shop = await new ByteServer('shop').listen();
  await using rest = await new ByteServer('rest').listen();
  const passed = { kind: 30 as const, port: tlsPort };
  const tcp = FrontendMode.TCP;
  await using _driven = await DrivenProxy.start(
    aSnapshot(port, {
      frontends: [
        {
          ...{ name: 'tcp', port, mode: tcp, defaultBackend: 'plain', acceptProxy: true },
          routes: [
            {
              ...{ id: 'plain.1', backend: 'plain' },
              route: aProtoRoute({ kind: 20, port, deny: ['192.0.2.9'] }),
            },
          ],
        },
        {
          ...{ name: 'tls', port: tlsPort, mode: tcp, defaultBackend: 'rest' },
          routes: [
            {
              id: 'shop.1',
              backend: 'shop',
              route: aProtoRoute({ ...passed, hosts: ['*.shop.test'], deny: ['127.0.0.9'] }),
            },
            { id: 'rest.1', backend: 'rest', route: aProtoRoute({ ...passed }) },
          ],
        },
      ],
      backends: [
        { name: 'plain', mode: tcp, balancing: { sendProxy: true } },
        { name: 'shop', mode: tcp },
        { name: 'rest', mode: tcp },
      ],
      targets: [
        aTarget({ id: 'plain-1', backend: 'plain', port: plain.port }),
        aTarget({ id: 'shop-1', backend: 'shop', port: shop.port }),
        aTarget({ id: 'rest-1', backend: 'rest', port: rest.port }),
      ],
    }),
  );
  const header = (from: string) => `PROXY TCP4 ${from} 192.0.2.1 1234 80\r\n`;
  expect(await talk(port, Buffer.from(`${header('192.0.2.7')}hello`))).toBe('plain');
  expect(plain.received.subarray(0, 12).toString('latin1')).toBe('\r\n\r\n\0\r\nQUIT\n');
  expect([...plain.received.subarray(16, 20)]).toEqual([192, 0, 2, 7]);
  expect(await talk(port, Buffer.from(`${header('192.0.2.9')}hello`))).toBe('');
  expect(await talk(tlsPort, clientHello('www.shop.test'))).toBe('shop');
  expect(await talk(tlsPort, clientHello('WWW.Shop.test'))).toBe('shop');
  expect(await talk(tlsPort, clientHello('other.test'))).toBe('rest');
  expect(await talk(tlsPort, clientHello('www.shop.test'), '127.0.0.9')).toBe('');
  expect(await talk(tlsPort, clientHello('other.test'), '127.0.0.9')).toBe('rest');
  // Neither may get by the lists of addresses of a route, which counts for those who say hello.
  const noHello = Buffer.from('GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n');
  const halfOfIt = clientHello('www.shop.test').subarray(0, 20);
  expect(await Promise.all([noHello, halfOfIt].map((bytes) => talk(tlsPort, bytes)))).toEqual([
    '',
    '',
  ]);
});

/** Answers the first bytes of every connection with its name, and ends it. */
class ByteServer extends LocalServer {
  received: Buffer = Buffer.alloc(0);

  constructor(name: string) {
    super(createServer());
    this.server.on('connection', (socket) => {
      socket.once('data', (data: Buffer) => {
        this.received = data;
        socket.end(name);
      });
    });
  }
}

/** What comes back for some bytes until the connection ends. */
async function talk(port: number, bytes: Buffer, from = '127.0.0.1'): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', localAddress: from });
  socket.on('error', () => socket.destroy());
  let answer = '';
  socket.on('data', (data) => (answer += data.toString('latin1')));
  socket.write(bytes);
  await once(socket, 'close');
  return answer;
}

/** The first message of a TLS client that asks for a host. */
function clientHello(host: string): Buffer {
  const u16 = (value: number) => [value >> 8, value & 0xff];
  const name = [...Buffer.from(host)];
  const list = [0, ...u16(name.length), ...name];
  const extension = [0, 0, ...u16(list.length + 2), ...u16(list.length), ...list];
  const body = [
    ...[3, 3, ...Array<number>(32).fill(7), 0, ...u16(2), 0x13, 0x01, 1, 0],
    ...u16(extension.length),
    ...extension,
  ];
  const message = [1, 0, ...u16(body.length), ...body];
  return Buffer.from([22, 3, 1, ...u16(message.length), ...message]);
}
