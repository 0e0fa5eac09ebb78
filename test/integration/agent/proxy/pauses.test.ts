import { once } from 'node:events';
import { request } from 'node:http';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import {
  FrontendMode,
  type BackendSnapshot,
  type DeepPartial,
} from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
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
  proxyConfig,
  RunningProxyAgent,
  TestBackend,
} from '../../../support/haproxy.ts';
import { aProtoRoute } from '../../../support/routes.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** One request on a connection of its own. */
async function ask(port: number, host: string, body = ''): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const method = body === '' ? 'GET' : 'POST';
    const options = { host: '127.0.0.1', port, agent: false, method, headers: { host } };
    request(options, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body: text });
      });
    })
      .on('error', reject)
      .end(body);
  });
}

/** A list with a route to `web` for web.test, and one to `api` for everything else. */
function aList(
  port: number,
  [web, api]: readonly [TestBackend, TestBackend],
  changes: {
    readonly version: number;
    /** How long requests of the route to `web` are held. */
    readonly route?: number;
    /** How long all requests to `api` are held. */
    readonly api?: number;
    /** Where the route for web.test leads. */
    readonly to?: string;
    readonly frontends?: DeepPartial<BackendSnapshot>['frontends'];
  },
): BackendSnapshot {
  const unavailable = { body: 'soon\n', contentType: 'text/plain', retryAfterS: 5 };
  return aSnapshot(port, {
    version: changes.version,
    frontends: [
      {
        ...{ name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'api' },
        routes: [
          {
            ...{ id: 'web.1', backend: changes.to ?? 'web', split: [] },
            route: aProtoRoute({ hosts: ['web.test'], pauseMs: changes.route ?? 0 }),
          },
        ],
      },
      ...(changes.frontends ?? []),
    ],
    backends: [
      { name: 'web', mode: FrontendMode.HTTP },
      {
        ...{ name: 'api', mode: FrontendMode.HTTP },
        balancing: { pauseMs: changes.api ?? 0, unavailable },
      },
    ],
    targets: [
      aTarget({ id: 'web-1', port: web.port }),
      aTarget({ id: 'api-1', backend: 'api', port: api.port }),
    ],
  });
}

/** Requests that HAProxy has from clients. */
async function untilHeld(directory: HaproxyDirectory, count: number): Promise<void> {
  await eventually(async () => {
    const sessions = await directory.ask('show sess');
    expect(sessions.split('\n').filter((line) => line.includes('fe=http ')).length).toBe(count);
  });
}

test('holds what comes by a route that is paused, and lets all of it go on at once to where it leads then', async () => {
  const port = await freePort();
  await using web = await TestBackend.start('web');
  await using api = await TestBackend.start('api');
  const list = (changes: Parameters<typeof aList>[2]) => aList(port, [web, api], changes);
  await using driven = await DrivenProxy.start(list({ version: 1 }));
  const { coordinator, directory } = driven;
  const { pid } = await directory.info();
  coordinator.replace(list({ version: 2, route: 60_000 }));
  await coordinator.untilApplied(2);
  const big = 'x'.repeat(200_000);
  const held = [ask(port, 'web.test'), ask(port, 'web.test'), ask(port, 'web.test', big)];
  const text = (method: string) => `${method} / HTTP/1.1\r\nHost: web.test\r\n`;
  const ends = connect(port, '127.0.0.1');
  ends.write(`${text('GET')}\r\n`);
  const breaks = connect(port, '127.0.0.1');
  breaks.write(`${text('POST')}Content-Length: 3\r\n\r\nabc`);
  const http2 = connectHttp2(`http://127.0.0.1:${port}`);
  const call = http2.request({ ':path': '/', ':authority': 'web.test' });
  call.on('error', () => undefined);
  await untilHeld(directory, 6);
  const heldBy = Math.floor(Date.now() / 1_000);
  ends.destroy();
  breaks.resetAndDestroy();
  call.close(constants.NGHTTP2_CANCEL);
  await Promise.all([ends, breaks, call].map((each) => once(each, 'close')));
  http2.close();
  expect(await ask(port, 'other.test')).toEqual({ status: 200, body: 'api' });
  expect([web.requests, api.requests]).toEqual([0, 1]);
  // Blue and green while nobody is served: what waited goes to where the route leads when it may go on.
  coordinator.replace(list({ version: 3, route: 60_000, to: 'api' }));
  await coordinator.untilApplied(3);
  // What was held for less is not asked about.
  await eventually(() => {
    expect(Math.floor(Date.now() / 1_000) - heldBy).toBeGreaterThan(1);
  });
  coordinator.replace(list({ version: 4, to: 'api' }));
  expect(await Promise.all(held)).toEqual(Array(3).fill({ status: 200, body: 'api' }));
  expect(web.requests).toBe(0);
  expect((await ask(port, 'web.test')).body).toBe('api');
  expect((await directory.info()).pid).toBe(pid);
  // Of clients that are gone nothing is left, and nothing was passed on.
  await eventually(async () => {
    expect(await directory.ask('show sess')).not.toContain('fe=http ');
  });
  expect(api.requests).toBe(5);
});

test.each([
  ['of clients', '127.0.0.1', []],
  ['of clients with IPv6', '::1', []],
  ['of clients behind an upstream', '127.0.0.1', ['127.0.0.0/8']],
])('passes nothing on %s who left while it was held', async (_, address, trusted) => {
  const port = await freePort();
  await using web = await TestBackend.start('web');
  await using api = await TestBackend.start('api');
  const list = (version: number, route: number) => {
    const made = aList(port, [web, api], { version, route });
    for (const each of made.frontends) each.trustedUpstreams = trusted;
    return made;
  };
  await using driven = await DrivenProxy.start(list(1, 60_000));
  const { coordinator, directory } = driven;
  const about = 'HTTP/1.1\r\nHost: web.test\r\nX-Forwarded-For: 2001:db8::7\r\n';
  const clients = [1, 2, 3, 4, 5].map(() => connect(port, address));
  const [ends, breaks, uploads, stays, halves] = clients as [
    Socket,
    Socket,
    Socket,
    Socket,
    Socket,
  ];
  ends.write(`GET / ${about}\r\n`);
  breaks.write(`POST / ${about}Content-Length: 3\r\n\r\nabc`);
  uploads.write(`PUT / ${about}Content-Length: 100000\r\n\r\n${'x'.repeat(100_000)}`);
  // The second request of a connection, whose client was told of with the first.
  stays.write(`GET /first HTTP/1.1\r\nHost: any.test\r\nX-Forwarded-For: 2001:db8::8\r\n\r\n`);
  await once(stays, 'data');
  stays.write(`GET / ${about}\r\n`);
  halves.write(`POST / ${about}Content-Length: 3\r\n\r\nabc`);
  await untilHeld(directory, 5);
  const heldBy = Math.floor(Date.now() / 1_000);
  halves.on('error', () => undefined).end();
  ends.destroy();
  breaks.resetAndDestroy();
  uploads.resetAndDestroy();
  await Promise.all([ends, breaks, uploads].map((each) => once(each, 'close')));
  await eventually(() => {
    expect(Math.floor(Date.now() / 1_000) - heldBy).toBeGreaterThan(1);
  });
  const answered = once(stays, 'data');
  coordinator.replace(list(2, 0));
  expect(String(await answered)).toMatch(/^HTTP\/1.1 200 /);
  stays.destroy();
  await eventually(async () => {
    expect(await directory.ask('show sess')).not.toContain('fe=http ');
  });
  halves.destroy();
  expect([web.requests, api.requests]).toEqual([1, 1]);
});

test('gives up on what it held for as long as it may, and pauses a service whatever its requests come by', async () => {
  const port = await freePort();
  await using web = await TestBackend.start('web');
  await using api = await TestBackend.start('api');
  await using _driven = await DrivenProxy.start(
    aList(port, [web, api], { version: 1, route: 1_000, api: 2_000 }),
  );
  const [first, second] = await Promise.all([ask(port, 'web.test'), ask(port, 'any.test')]);
  expect(first).toEqual({ status: 503, body: 'paused\n' });
  expect(second).toEqual({ status: 503, body: 'soon\n' });
  expect([web.requests, api.requests]).toEqual([0, 0]);
});

test('lets requests go on that the worker before a reload holds, and those that were held while the agent was away', async () => {
  const [port, other] = [await freePort(), await freePort()];
  await using web = await TestBackend.start('web');
  await using api = await TestBackend.start('api');
  await using directory = new HaproxyDirectory();
  const list = (changes: Parameters<typeof aList>[2]) => aList(port, [web, api], changes);
  const more = { name: 'more', port: other, mode: FrontendMode.HTTP, defaultBackend: 'web' };
  await using coordinator = await FakeProxyCoordinator.start(list({ version: 1, route: 60_000 }));
  const config = proxyConfig({ coordinator: coordinator.address, stateDir: directory.path });
  const first = new RunningProxyAgent(config);
  await coordinator.untilApplied(1);
  const { pid } = await directory.info();
  const before = ask(port, 'web.test');
  await untilHeld(directory, 1);
  coordinator.replace(list({ version: 2, route: 60_000, frontends: [more] }));
  await coordinator.untilApplied(2);
  expect((await directory.info()).pid).not.toBe(pid);
  await first[Symbol.asyncDispose]();
  const meanwhile = ask(port, 'web.test');
  await untilHeld(directory, 1);
  coordinator.replace(list({ version: 3, frontends: [more] }));
  await using _second = new RunningProxyAgent(config);
  expect(await meanwhile).toEqual({ status: 200, body: 'web' });
  expect(await before).toEqual({ status: 200, body: 'web' });
  expect(web.requests).toBe(2);
});
