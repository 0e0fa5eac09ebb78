import { request } from 'node:http';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { DrivenProxy } from '../../../support/driven-proxy.ts';
import { eventually } from '../../../support/eventually.ts';
import { aSnapshot, aTarget } from '../../../support/fake-proxy-coordinator.ts';
import { freePort, get, Load, TestBackend } from '../../../support/haproxy.ts';
import { LocalServer } from '../../../support/local-server.ts';

/** Hears requests, and ends the connection without an answer. */
class SilentServer extends LocalServer {
  readonly heard: string[] = [];

  constructor() {
    super(createServer());
    this.server.on('connection', (socket) => {
      socket.on('data', (bytes) => {
        this.heard.push(bytes.toString('latin1').split(' ')[0] ?? '');
        socket.destroy();
      });
    });
  }
}

test('L5 repeats what a server may not have done, and nothing else: no POST, no WebSocket', async () => {
  const port = await freePort();
  await using silent = await new SilentServer().listen();
  await using well = await TestBackend.start('well');
  await using driven = await DrivenProxy.start(
    aSnapshot(port, {
      targets: [
        aTarget({ id: 'web-1.a', port: silent.port }),
        aTarget({ id: 'web-2.b', port: well.port }),
      ],
    }),
  );
  const { coordinator } = driven;
  const upgrade = {
    ...{ connection: 'Upgrade', upgrade: 'websocket' },
    ...{ 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' },
  };
  // In turn: every other one comes to the server that does not answer, and to it alone.
  const statuses: number[] = [];
  for (const options of [{ method: 'POST' }, { headers: upgrade }]) {
    for (let count = 0; count < 4; count++) statuses.push((await get(port, '/', options)).status);
  }
  expect(statuses.toSorted()).toEqual([
    ...Array<number>(4).fill(200),
    ...Array<number>(4).fill(502),
  ]);
  expect(silent.heard).toEqual(['POST', 'POST', 'GET', 'GET']);
  expect(well.requests).toBe(4);
  // These are repeated, until the one that is well answers.
  const answers = [];
  for (let count = 0; count < 4; count++) answers.push((await get(port)).body);
  expect(answers).toEqual(Array(4).fill('well'));
  expect(silent.heard.length).toBeGreaterThan(4);

  // What was never sent may be anything. Nobody listens at this port any more.
  const dead = aTarget({ id: 'web-3.c', port: await freePort() });
  await coordinator.untilApplied(coordinator.change([dead], ['web-1.a']));
  const posted = [];
  for (let count = 0; count < 4; count++) {
    posted.push((await get(port, '/', { method: 'POST' })).body);
  }
  expect(posted).toEqual(Array(4).fill('well'));
});

/** Its status, and the cookies that it sets. */
async function cookiesOf(port: number, path: string): Promise<[number | undefined, ...string[]]> {
  return await new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      response.resume();
      resolve([response.statusCode, ...(response.headers['set-cookie'] ?? [])]);
    })
      .on('error', reject)
      .end();
  });
}

test('repeats what was in flight over a reload at servers of now, none of which the old worker knows', async () => {
  const [port, otherPort] = [await freePort(), await freePort()];
  const before = [await TestBackend.start('one'), await TestBackend.start('two')];
  await using well = await TestBackend.start('well');
  const list = (version: number, ports: readonly number[]) =>
    aSnapshot(port, {
      version,
      frontends: ports.map((each) => ({ ...aSnapshot(each).frontends[0]!, name: `http-${each}` })),
      backends: [
        { ...aSnapshot(port).backends[0]!, balancing: { stickyCookie: 'SLOT' }, cookieKey: 'key' },
      ],
      targets: before.map(({ name, port: at }) => aTarget({ id: `web-1.${name}`, port: at })),
    });
  await using driven = await DrivenProxy.start(list(1, [port]));
  const { coordinator, directory } = driven;
  const { pid } = await directory.info();
  const answers = Promise.all(Array.from({ length: 8 }, () => cookiesOf(port, '/slow')));
  await eventually(() => {
    expect(before.map(({ waiting }) => waiting)).toEqual([4, 4]);
  });
  coordinator.replace(list(2, [port, otherPort]));
  await coordinator.untilApplied(2);
  expect((await directory.info()).pid).not.toBe(pid);
  await coordinator.untilApplied(
    coordinator.change(
      [aTarget({ id: 'web-2.well', port: well.port })],
      ['web-1.one', 'web-1.two'],
    ),
  );
  for (const each of before) await each[Symbol.asyncDispose]();
  await eventually(() => {
    expect(well.waiting).toBe(8);
  });
  well.finishSlow();
  const cookies = await answers;
  expect(new Set(cookies.map((each) => each.join()))).toEqual(new Set([cookies[0]?.join()]));
  expect(cookies[0]).toEqual([200, expect.stringMatching(/^SLOT=/)]);
  // Nothing was done to them twice.
  expect(well.headers.map((each) => each['x-forwarded-for'])).toEqual(Array(8).fill('127.0.0.1'));
});

test('repeats at no server that has gone since a reload, of however many', async () => {
  const [port, otherPort] = [await freePort(), await freePort()];
  const gone = await TestBackend.start('gone');
  await using well = await TestBackend.start('well');
  const ids = Array.from({ length: 600 }, (_, index) => `web-${index}.a.80`);
  const list = (version: number, ports: readonly number[]) =>
    aSnapshot(port, {
      version,
      frontends: ports.map((each) => ({ ...aSnapshot(each).frontends[0]!, name: `http-${each}` })),
      targets: ids.map((id) => aTarget({ id, port: gone.port })),
    });
  await using driven = await DrivenProxy.start(list(1, [port]));
  const { coordinator, directory } = driven;
  const { pid } = await directory.info();
  const count = 60;
  const answers = Promise.all(Array.from({ length: count }, () => cookiesOf(port, '/slow')));
  await eventually(() => {
    expect(gone.waiting).toBe(count);
  });
  coordinator.replace(list(2, [port, otherPort]));
  await coordinator.untilApplied(2);
  expect((await directory.info()).pid).not.toBe(pid);
  await coordinator.untilApplied(
    coordinator.change([aTarget({ id: 'web-0.b.80', port: well.port })], ids),
  );
  await gone[Symbol.asyncDispose]();
  await eventually(() => {
    expect(well.waiting).toBe(count);
  });
  well.finishSlow();
  expect(await answers).toEqual(Array(count).fill([200]));
});

test('L7 answers 503 at once while nothing is there, and 200 as soon as something is', async () => {
  const port = await freePort();
  await using web = await TestBackend.start('web');
  const target = aTarget({ id: 'web-1.a', port: web.port });
  await using driven = await DrivenProxy.start(aSnapshot(port, { targets: [target] }));
  const { coordinator, directory } = driven;
  expect((await get(port)).status).toBe(200);
  const { pid } = await directory.info();
  await coordinator.untilApplied(coordinator.change([], [target.id]));
  const begunAt = performance.now();
  expect((await get(port)).status).toBe(503);
  // The time for which requests wait in line is 10 s.
  expect(performance.now() - begunAt).toBeLessThan(5_000);
  await coordinator.untilApplied(coordinator.change([{ ...target, id: 'web-1.b' }]));
  const load = new Load(port, { keepAlive: 1, fresh: 1 });
  await load.more(10);
  expect((await load.stop()).failures).toEqual([]);
  expect((await directory.info()).pid).toBe(pid);
});
