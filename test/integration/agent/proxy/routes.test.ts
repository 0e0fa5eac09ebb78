import { once } from 'node:events';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect } from 'node:net';
import { posix } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import type { Route } from '../../../../shared/gen/fairlead/v1/route.ts';
import { FrontendMode } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { TargetMode } from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
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
  TestBackend,
} from '../../../support/haproxy.ts';
import { aProtoRoute } from '../../../support/routes.ts';

const http = FrontendMode.HTTP;

/** A list with one frontend, a backend for each server of its name, and routes to them. */
function aRoutedList(
  port: number,
  servers: readonly TestBackend[],
  routes: readonly (readonly [to: string, route: Partial<Route>])[],
  version = 1,
) {
  const frontend = {
    ...{ name: `http_${port}`, port, mode: http, defaultBackend: 'default' },
    tls: undefined,
    routes: routes.map(([to, route], index) => ({
      ...{ id: `${to}.r${index}`, backend: to },
      route: aProtoRoute(route),
    })),
  };
  return aSnapshot(port, {
    version,
    frontends: [frontend],
    backends: servers.map(({ name }) => ({ name, mode: http })),
    targets: servers.map(({ name, port: own }) =>
      aTarget({ id: `${name}-1.a.${own}`, backend: name, port: own }),
    ),
  });
}

test('sends each request by host, path, method and header to the service whose route counts', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using three = await TestBackend.start('three');
  await using driven = await DrivenProxy.start(
    aRoutedList(
      port,
      [one, two, three],
      [
        ['one', { hosts: ['shop.test'] }],
        ['two', { hosts: ['shop.test'], paths: ['/api/*', '/exact'], replacePath: '/' }],
        ['three', { hosts: ['shop.test'], paths: ['/api/*'], methods: ['POST'] }],
        ['two', { hosts: ['*.shop.test'] }],
        [
          'three',
          { hosts: ['*.deep.shop.test', '*.test'], paths: ['/a/*'], replacePath: '/b%[src]' },
        ],
        ['three', { paths: ['/first/*'], priority: 5 }],
        ['one', { paths: ['/v/*'], headers: [{ name: 'X-Version', kind: 10, value: "it's }" }] }],
        ['one', { hosts: ['h.test'] }],
        ['two', { hosts: ['h.test'], headers: [{ name: 'X-A', kind: 20, value: 'ab' }] }],
        [
          'three',
          {
            hosts: ['h.test'],
            headers: [
              { name: 'X-A', kind: 30, value: 'z' },
              { name: 'Cookie', kind: 40, value: '' },
            ],
          },
        ],
        ['one', { hosts: ['h.test'], paths: ['/p/q'] }],
        ['two', { hosts: ['h.test'], paths: ['/p/q/*'] }],
        ['three', { hosts: ['h.test'], paths: ['/p/*'] }],
        ['three', { hosts: ['h.test'], paths: ['/low'], priority: -1 }],
      ],
    ),
  );
  const { coordinator } = driven;
  expect(coordinator.status?.message).toBe('');
  const answer = async (
    host: string,
    path: string,
    options: { method?: string; headers?: Record<string, string> } = {},
  ) => {
    const headers = { ...options.headers, host };
    const { status, body } = await get(port, path, { ...options, headers });
    return status === 200 ? body : status;
  };
  expect(await answer('shop.test', '/')).toBe('one');
  expect(await answer(`SHOP.test:${port}`, '/apix')).toBe('one');
  // A whole name is the same; several are none.
  expect(await answer('www.shop.test.', '/')).toBe('two');
  expect(await answer(`shop.test.:${port}`, '/')).toBe('one');
  expect(await answer('none,shop.test', '/')).toBe(400);
  expect(two.urls.splice(0)).toEqual(['/']);
  expect(await answer('shop.test', '/api/x?y=/z')).toBe('two');
  expect(await answer('shop.test', '/api')).toBe('two');
  expect(await answer('shop.test', '/exact')).toBe('two');
  expect(await answer('shop.test', '/exact/')).toBe('one');
  expect(two.urls).toEqual(['/x?y=/z', '/', '/']);
  expect(await answer('shop.test', '/api/x', { method: 'POST' })).toBe('three');
  expect(await answer('www.shop.test', '/')).toBe('two');
  expect(await answer('a.b.shop.test', '/x')).toBe('two');
  expect(await answer('x.deep.shop.test', '/a/c?d')).toBe('three');
  expect(three.urls.at(-1)).toBe('/b%[src]/c?d');
  expect(await answer('other.test', '/')).toBe(404);
  expect(await answer('other.test', '/a')).toBe('three');
  expect(await answer('shop.test', '/first')).toBe('three');
  expect(await answer('none', '/v/1')).toBe(404);
  expect(await answer('none', '/v/1', { headers: { 'X-Version': "it's }" } })).toBe('one');
  expect(await answer('none', '/v/1', { headers: { 'X-Version': 'its' } })).toBe(404);
  const by = (headers: Record<string, string>) => answer('h.test', '/', { headers });
  expect(await by({})).toBe('one');
  expect(await by({ 'X-A': 'abc' })).toBe('two');
  expect(await by({ 'x-a': 'cab' })).toBe('one');
  expect(await by({ 'X-A': 'azb' })).toBe('one');
  expect(await by({ 'X-A': 'azb', Cookie: 'a=1' })).toBe('three');
  // Two conditions before one, an exact path before prefixes, of those the longer, and priority before all of it.
  expect(await by({ 'X-A': 'abz', Cookie: 'a=1' })).toBe('three');
  expect(await answer('h.test', '/p/q')).toBe('one');
  expect(await answer('h.test', '/p/q/r')).toBe('two');
  expect(await answer('h.test', '/p/r')).toBe('three');
  expect(await answer('h.test', '/low')).toBe('one');
});

test('finds the route by what a container may take the path for, and nothing gets by a guarded one', async () => {
  const port = await freePort();
  await using open = await TestBackend.start('open');
  await using guarded = await TestBackend.start('guarded');
  await using driven = await DrivenProxy.start(
    aRoutedList(
      port,
      [open, guarded],
      [
        ['open', { hosts: ['shop.test'], paths: ['/public/*', '/caf%C3%A9/*'] }],
        ['open', { hosts: ['shop.test'], paths: ['/cut/*'], replacePath: '/' }],
        ['guarded', { hosts: ['shop.test'], paths: ['/admin/*'], deny: ['127.0.0.0/8'] }],
      ],
    ),
  );
  const { coordinator } = driven;
  expect(coordinator.status?.message).toBe('');
  const answer = async (path: string, host = 'shop.test') => {
    const { status, body } = await get(port, path, { headers: { host } });
    return status === 200 ? body : status;
  };
  const slashes = ['/admin', '/admin/x', '//admin', '/%61dmin/x', '/admin%2Fx', '/%2fadmin'];
  // Backslashes are slashes to readers of URLs by the rules of browsers, and servlets leave out what follows a semicolon.
  const others = [
    '/admin\\x',
    '/\\admin',
    '/admin%5cx',
    '/admin;/x',
    '/admin;a=b',
    '/;a/;/admin/x',
  ];
  for (const path of [...slashes, ...others]) {
    expect([path, await answer(path)]).toEqual([path, 403]);
  }
  const steppingBack = ['/public/../admin', '/public/./../admin', '/public/..;/admin', '/public/.'];
  const otherSteps = [
    '/public\\..\\admin',
    '/public/.;a/..;b/admin',
    '/public/..;',
    '/public/..\\',
  ];
  const encoded = ['/public/%2e%2e/admin', '/public%2f..%2fadmin', '/public/..', '/public/%00'];
  for (const path of [...steppingBack, ...otherSteps, ...encoded, '/public/%zz']) {
    expect([path, await answer(path)]).toEqual([path, 400]);
  }
  const noHosts = ['shop.test/public', 'shop.test?', 'shop.test#a', 'a:b@shop.test', 'a\\b'];
  for (const host of [...noHosts, 'shop.test;a', '%73hop.test', 'a b', 'a\tb']) {
    expect([host, await answer('/admin', host)]).toEqual([host, 400]);
  }
  for (const host of ['SHOP.test.', 'shop.test:', 'Shop.Test:80']) {
    expect([host, await answer('/admin', host)]).toEqual([host, 403]);
  }
  for (const host of ['[::1]', '[2001:DB8::1]:80', '192.0.2.1:80', 'a_b.test', '']) {
    expect([host, await answer('/admin', host)]).toEqual([host, 404]);
  }
  expect(await answer('/cut/%2e')).toBe(400);
  expect(await answer('/%63ut/x')).toBe(400);
  expect(open.urls).toEqual([]);
  const served = [
    '/public//a',
    '/public/a;b=c\\d/;/e',
    '/public/a..b/.c/d%20e+f',
    '/caf%c3%a9/x',
    '/caf%C3%A9',
  ];
  for (const path of served) expect([path, await answer(path)]).toEqual([path, 'open']);
  expect(await answer('/cut/x//%79?a=/../')).toBe('open');
  expect(open.urls).toEqual([...served, '/x//%79?a=/../']);
});

/** The paths that readers of URLs take a request line for, one habit after the other, each kept or not. */
function readingsOf(url: string): string[] {
  const path = url.split('?', 1)[0] ?? '';
  const habits: ((text: string) => string)[] = [
    (text) => decodeURIComponent(text),
    (text) => text.replaceAll('\\', '/'),
    (text) => text.replaceAll(/;[^/]*/g, ''),
    // What `//host/path` is to a container that asks for the path of a URL.
    (text) => new URL(text, 'http://here.test').pathname,
    (text) => posix.normalize(text),
  ];
  const readings = habits.reduce<string[]>(
    (known, habit) => [...known, ...known.map(habit)],
    [path],
  );
  return readings.map((each) => each.replace(/^\/+/, '/'));
}

const slashes = ['/', '//', '/./', '/\\', '/%2f', '/%2F', '/%5c', '/;a/', '/%2e/', '/x/../'];
const hosts = ['', '/evil.test', '/evil.test:80', '\\evil.test', '%2fevil.test', '%5Cevil.test'];
const names = ['admin', '%61dmin', '%61%64%6D%69%6e', 'admin;a=b', 'admin%3Ba', 'admin%3f'];
const wholeUrls = ['http://shop.test', 'http://shop.test/', 'http://a@shop.test//evil.test/'];

/** What HTTP/1 answers to a head of a request. */
async function answerTo(port: number, ...head: readonly string[]) {
  const socket = connect(port, '127.0.0.1');
  socket.write([...head, 'Connection: close', '', ''].join('\r\n'));
  const said = await text(socket);
  const location = /^location: (.*)\r$/im.exec(said)?.[1];
  return { status: Number(said.split(' ', 2)[1]), location };
}

/** `GET` of a path as it is written, over HTTP/1.1, or HTTP/2 by a client that knows that it is spoken. */
async function getAsWritten(port: number, path: string, version: 1 | 2): Promise<number> {
  if (version === 1) {
    return (await answerTo(port, `GET ${path} HTTP/1.1`, 'Host: shop.test')).status;
  }
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request({ ':path': path, ':authority': 'shop.test' });
    const [headers] = (await once(stream.resume(), 'response')) as [IncomingHttpHeaders];
    return Number(headers[':status']);
  } finally {
    session.close();
  }
}

test.each([
  { guard: 'a prefix', paths: ['/admin/*'], beginnings: ['', '/'] },
  { guard: 'a path', paths: ['/admin'], beginnings: ['', '/'] },
  {
    guard: 'a prefix below one that is stripped',
    paths: ['/cut/admin/*'],
    beginnings: ['/cut', '/cut/'],
  },
])(
  'however a path is written, no container reads what is guarded as $guard without the guard',
  async ({ paths, beginnings }) => {
    const port = await freePort();
    await using open = await TestBackend.start('open');
    await using driven = await DrivenProxy.start(
      aRoutedList(
        port,
        [open],
        [
          ['open', { hosts: ['shop.test'], paths: ['/*'] }],
          ['open', { hosts: ['shop.test'], paths: ['/cut/*'], replacePath: '/' }],
          ['open', { hosts: ['shop.test'], paths, deny: ['127.0.0.0/8'] }],
        ],
      ),
    );
    expect(driven.coordinator.status?.message).toBe('');
    const written = beginnings.flatMap((beginning) =>
      hosts.flatMap((host) =>
        slashes.flatMap((slash) => names.map((name) => [beginning, host, slash, name].join(''))),
      ),
    );
    const all = [...written.map((path) => (path.startsWith('/') ? path : `/${path}`))];
    const whole = wholeUrls.flatMap((url) => all.slice(0, 60).map((path) => `${url}${path}`));
    const statuses = new Map<number, number>();
    for (const version of [1, 2] as const) {
      for (const path of version === 1 ? [...all, ...whole] : all) {
        open.urls.length = 0;
        const status = await getAsWritten(port, path, version);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        const read = open.urls.flatMap((url) =>
          readingsOf(url).filter((each) => /^\/admin\/?$/.test(each)),
        );
        expect([path, open.urls, read]).toEqual([path, open.urls, []]);
      }
    }
    // Some of each: what goes elsewhere is served.
    expect([...statuses.keys()].sort()).toEqual([200, 400, 403]);
  },
);

test('a redirect leads where it says, and a whole URL to the route of its host', async () => {
  const port = await freePort();
  await using open = await TestBackend.start('open');
  const redirect = { to: 'https://new.test', whole: false, status: 302 };
  const paths = ['/cut/*'];
  await using driven = await DrivenProxy.start(
    aRoutedList(
      port,
      [open],
      [
        ['open', { hosts: ['old.test'], redirect }],
        ['open', { hosts: ['secure.test'], forceHttps: true }],
        ['open', { hosts: ['shop.test'], paths, replacePath: '/' }],
        ['open', { hosts: ['*.test'], deny: ['127.0.0.0/8'] }],
      ],
    ),
  );
  expect(driven.coordinator.status?.message).toBe('');
  const leads = async (host: string, path: string) =>
    (await answerTo(port, `GET ${path} HTTP/1.1`, `Host: ${host}`)).location;
  for (const path of ['//evil.test/a?b', '/\\evil.test/a?b', '/%2F%5cevil.test/a?b']) {
    expect([path, await leads('old.test', path)]).toEqual([path, 'https://new.test/evil.test/a?b']);
    expect(await leads('secure.test', path)).toBe('https://secure.test/evil.test/a?b');
  }
  expect(await leads('old.test', 'http://old.test')).toBe('https://new.test/');
  expect(await leads('old.test', 'http://old.test//evil.test')).toBe('https://new.test/evil.test');
  for (const path of ['/cut//a', '/cut/%2fa', '/cut/\\a?/cut//b']) {
    expect((await answerTo(port, `GET ${path} HTTP/1.1`, 'Host: shop.test')).status).toBe(200);
  }
  expect(open.urls).toEqual(['/a', '/a', '/a?/cut//b']);
  const whole = 'GET http://any.test';
  expect((await answerTo(port, `${whole} HTTP/1.1`, 'Host: any.test')).status).toBe(403);
  expect((await answerTo(port, `${whole}/ HTTP/1.1`, 'Host: old.test')).status).toBe(400);
  expect((await answerTo(port, `${whole}/ HTTP/1.0`)).status).toBe(400);
  expect((await answerTo(port, 'GET /?http://any.test HTTP/1.0')).status).toBe(404);
});

test('takes another host, path or backend without a reload, and mends what was changed by hand', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using directory = new HaproxyDirectory();
  const list = (version: number, ...routes: (readonly [string, Partial<Route>])[]) =>
    aRoutedList(port, [one, two], routes, version);
  await using coordinator = await FakeProxyCoordinator.start(
    list(1, ['one', { hosts: ['a.test'] }]),
  );
  const config = proxyConfig({ coordinator: coordinator.address, stateDir: directory.path });
  const agent = new RunningProxyAgent(config);
  await coordinator.untilApplied(1);
  const { pid } = await directory.info();
  const load = new Load(port, { host: 'a.test' });
  await load.more(20);

  coordinator.replace(
    list(
      2,
      ['one', { hosts: ['b.test', '*.c.test'], paths: ['/x/*'] }],
      ['two', { hosts: ['a.test'] }],
    ),
  );
  await coordinator.untilApplied(2);
  expect((await get(port, '/x/1', { headers: { host: 'b.test' } })).body).toBe('one');
  expect((await get(port, '/x', { headers: { host: 'd.c.test' } })).body).toBe('one');
  expect((await get(port, '/', { headers: { host: 'b.test' } })).status).toBe(404);
  expect((await get(port, '/', { headers: { host: 'a.test' } })).body).toBe('two');
  await load.more(20);
  expect((await load.stop()).failures).toEqual([]);
  expect((await directory.info()).pid).toBe(pid);

  await agent.stop();
  const map = `${directory.path}/maps/http_${port}.paths.map`;
  await directory.ask(`clear map ${map}`);
  await using _next = new RunningProxyAgent(config);
  await eventually(async () => {
    expect((await get(port, '/', { headers: { host: 'a.test' } })).body).toBe('two');
  });
  expect((await directory.info()).pid).toBe(pid);
  const { haproxyPid } = coordinator.status ?? {};
  expect(haproxyPid).toBe(pid);
});

test('fails no request when a service that shared the default pool gets routes of its own', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  const pooled = { id: 'one-1.a.1', port: one.port, backend: 'default', containerId: 'c1' };
  const before = aSnapshot(port, {
    frontends: [
      { name: 'http', port, mode: http, defaultBackend: 'default', routes: [], tls: undefined },
    ],
    backends: [{ name: 'default', mode: http }],
    targets: [aTarget(pooled)],
  });
  await using driven = await DrivenProxy.start(before);
  const { coordinator } = driven;
  const load = new Load(port, { host: 'one.test' });
  await load.more(30);
  const route = { id: 'one.1', route: aProtoRoute({ hosts: ['one.test'] }), backend: 'one.80' };
  coordinator.replace(
    aSnapshot(port, {
      version: 2,
      frontends: [
        {
          name: 'http',
          port,
          mode: http,
          defaultBackend: 'default',
          routes: [route],
          tls: undefined,
        },
      ],
      backends: [{ name: 'one.80', mode: http }],
      targets: [
        aTarget({ ...pooled, mode: TargetMode.DRAIN }),
        aTarget({ ...pooled, id: 'one-1.a.1.80', backend: 'one.80' }),
      ],
    }),
  );
  await coordinator.untilApplied(2);
  await eventually(() => {
    expect(coordinator.target('one-1.a.1')).toMatchObject({ drained: true });
  });
  await load.more(60);
  expect((await load.stop()).failures).toEqual([]);
  expect((await get(port, '/', { headers: { host: 'two.test' } })).status).toBe(404);
});
