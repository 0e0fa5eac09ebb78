import { Agent } from 'node:http';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import {
  ProxyLoadingKind,
  TargetHealth,
  TargetMode,
} from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
import { FrontendMode } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { eventually } from '../../../support/eventually.ts';
import {
  aSnapshot,
  aTarget,
  FakeProxyCoordinator,
  proxyToken,
} from '../../../support/fake-proxy-coordinator.ts';
import {
  freePort,
  get,
  HaproxyDirectory,
  Load,
  proxyConfig,
  RunningProxyAgent,
  SpawnedProxyAgent,
  takesOneNameTwice,
  TestBackend,
} from '../../../support/haproxy.ts';

function applied(coordinator: FakeProxyCoordinator, version: number): Promise<void> {
  return eventually(
    () => {
      expect(coordinator.appliedVersion).toBe(version);
    },
    { intervalMs: 2 },
  );
}

/** Of a request that is cut HAProxy 2.6 says so by its status; 3.0 closes the connection. */
async function endOf(request: Promise<{ readonly status: number }>): Promise<string> {
  return await request.then(
    ({ status }) => (status >= 500 ? 'cut' : `answered with status ${status}`),
    () => 'cut',
  );
}

function drained(coordinator: FakeProxyCoordinator, id: string): Promise<void> {
  return eventually(() => {
    expect(coordinator.target(id)).toMatchObject({ drained: true, inFlight: 0 });
  });
}

test('adds, drains and removes targets at run time, and never reloads for them', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [aTarget({ id: 'web-1.a.80', port: one.port })] }),
  );
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );

  await applied(coordinator, 1);
  expect(coordinator.authorizations).toEqual([`Bearer ${proxyToken}`]);
  expect(coordinator.hellos).toMatchObject([
    { protocolVersion: 1, name: 'lb-1', service: 'lb', epoch: '', version: 0 },
  ]);
  expect(await get(port)).toEqual({ status: 200, body: 'one' });
  const { pid } = await directory.info();
  await eventually(() => {
    expect(coordinator.status).toMatchObject({ haproxyPid: pid, message: '' });
  });

  coordinator.change([aTarget({ id: 'web-2.b.80', port: two.port })]);
  await applied(coordinator, 2);
  expect([(await get(port)).body, (await get(port)).body].sort()).toEqual(['one', 'two']);

  coordinator.change([aTarget({ id: 'web-1.a.80', port: one.port, mode: TargetMode.DRAIN })]);
  await applied(coordinator, 3);
  const before = one.requests;
  for (let i = 0; i < 6; i++) expect((await get(port)).body).toBe('two');
  expect(one.requests).toBe(before);
  await drained(coordinator, 'web-1.a.80');
  expect((await directory.servers()).get('web-1.a.80')?.mode).toBe('maint');

  coordinator.change([], ['web-1.a.80']);
  await applied(coordinator, 4);
  expect((await directory.servers()).has('web-1.a.80')).toBe(true);
  await eventually(
    async () => {
      expect([...(await directory.servers()).keys()]).toEqual(['web-2.b.80']);
    },
    { timeoutMs: 15_000 },
  );
  expect((await directory.info()).pid).toBe(pid);
  await eventually(() => {
    expect(coordinator.target('web-2.b.80')).toMatchObject({
      health: TargetHealth.UP,
      requests: two.requests,
      drained: false,
    });
  });
});

test('L12 tells backends of the client and keeps connections to them', async () => {
  const port = await freePort();
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port));
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  expect((await get(port)).status).toBe(503);
  expect((await get(port, '/_lb_ping')).status).toBe(200);

  coordinator.change([aTarget({ id: 'web-1.a.80', port: backend.port })]);
  await applied(coordinator, 2);
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < 20; i++) {
    await get(port, '/', { agent: kept, headers: { 'x-forwarded-proto': 'https' } });
  }
  kept.destroy();

  expect(backend.headers.at(-1)).toMatchObject({
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
  });
  const stat = (await directory.ask('show stat web 4 -1')).split('\n').map((row) => row.split(','));
  const column = (stat[0] ?? []).indexOf('reuse');
  expect(Number(stat.find(([, id]) => id?.startsWith('web-'))?.[column])).toBeGreaterThan(15);
});

test('L10 lets a slow request finish in drain, and gives the target no other', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [aTarget({ id: 'web-1.a.80', port: one.port })] }),
  );
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  const slow = get(port, '/slow');
  await eventually(() => {
    expect(one.waiting).toBe(1);
  });

  coordinator.change([
    aTarget({ id: 'web-1.a.80', port: one.port, mode: TargetMode.DRAIN }),
    aTarget({ id: 'web-2.b.80', port: two.port }),
  ]);
  await applied(coordinator, 2);
  await eventually(() => {
    expect(coordinator.target('web-1.a.80')).toMatchObject({ inFlight: 1, drained: false });
  });
  for (let i = 0; i < 4; i++) expect((await get(port)).body).toBe('two');
  expect(coordinator.target('web-1.a.80')?.drained).toBe(false);

  one.finishSlow();
  expect(await slow).toEqual({ status: 200, body: 'one' });
  await drained(coordinator, 'web-1.a.80');
  expect(one.requests).toBe(1);
});

test('L10 cuts what is in flight when the time of a drain is over, and at once when a target is gone', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [aTarget({ id: 'web-1.a.80', port: one.port })] }),
  );
  await using agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  // A POST: what can be repeated elsewhere without harm is not lost even then.
  const slow = get(port, '/slow', { method: 'POST' });
  await eventually(() => {
    expect(one.waiting).toBe(1);
  });

  coordinator.change([
    aTarget({ id: 'web-1.a.80', port: one.port, mode: TargetMode.DRAIN, drainTimeoutMs: 300 }),
    aTarget({ id: 'web-2.b.80', port: two.port }),
  ]);
  expect(await endOf(slow)).toBe('cut');
  await drained(coordinator, 'web-1.a.80');
  expect(agent.log.map(({ msg }) => msg)).toContain(
    'cutting requests that outlived their drain time',
  );
  expect(two.requests).toBe(0);

  const lost = get(port, '/slow', { method: 'POST' });
  await eventually(() => {
    expect(two.waiting).toBe(1);
  });
  coordinator.change([], ['web-2.b.80']);
  expect(await endOf(lost)).toBe('cut');
});

test('replaces a target whose address changes, though names are for one address only', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [aTarget({ id: 'web-1.a.80', port: one.port })] }),
  );
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  const slow = get(port, '/slow', { method: 'POST' });
  await eventually(() => {
    expect(one.waiting).toBe(1);
  });
  coordinator.change([aTarget({ id: 'web-1.a.80', port: two.port })]);
  expect(await endOf(slow)).toBe('cut');
  await eventually(
    async () => {
      expect(await get(port)).toEqual({ status: 200, body: 'two' });
    },
    { timeoutMs: 30_000 },
  );
});

test('L1 fails no request while targets come and go under load', async () => {
  const port = await freePort();
  await using directory = new HaproxyDirectory();
  await using stable = await TestBackend.start('stable');
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [aTarget({ id: 'web-0.x.80', port: stable.port })] }),
  );
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  const { pid } = await directory.info();
  const load = new Load(port);
  for (let cycle = 1; cycle <= 8; cycle++) {
    const id = `web-${cycle}.x.80`;
    await using backend = await TestBackend.start(id);
    const target = aTarget({ id, port: backend.port });
    await applied(coordinator, coordinator.change([target]));
    await load.more(60);
    expect(backend.requests).toBeGreaterThan(0);

    await applied(coordinator, coordinator.change([{ ...target, mode: TargetMode.DRAIN }]));
    const begun = backend.requests;
    await drained(coordinator, id);
    expect(backend.requests - begun).toBeLessThanOrEqual(1);
    coordinator.change([], [id]);
    // Its container ends here, as it would now.
  }
  const { requests, failures } = await load.stop();
  expect(failures).toEqual([]);
  expect(requests).toBeGreaterThan(500);
  expect((await directory.info()).pid).toBe(pid);
});

test('L6 merges a burst of changes and ends in the last state', async () => {
  const port = await freePort();
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port));
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  for (let i = 0; i < 100; i++) {
    const id = `web-${i}.x.80`;
    if (i % 2 === 0) coordinator.change([aTarget({ id, port: backend.port })]);
    else coordinator.change([], [`web-${i - 1}.x.80`]);
  }
  coordinator.change([aTarget({ id: 'web-last.x.80', port: backend.port })]);
  await applied(coordinator, 102);
  expect(coordinator.applied.length).toBeLessThan(60);
  const ready = [...(await directory.servers()).values()].filter(({ mode }) => mode === 'ready');
  expect(ready.map(({ id }) => id)).toEqual(['web-last.x.80']);
});

test('L8 starts HAProxy again when it is killed, with the whole list from its first request on', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [aTarget({ id: 'web-1.a.80', port: one.port })] }),
  );
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  coordinator.change([aTarget({ id: 'web-2.b.80', port: two.port })]);
  await applied(coordinator, 2);
  const { pid } = await directory.info();

  process.kill(pid, 'SIGKILL');
  const statuses = await eventually(
    async () => [(await get(port)).status, (await get(port)).status],
    { intervalMs: 2 },
  );
  expect(statuses).toEqual([200, 200]);
  expect(one.requests).toBe(1);
  expect(two.requests).toBe(1);
  await eventually(() => {
    expect(coordinator.statuses.map(({ haproxyPid }) => haproxyPid)).toContain(0);
    expect(coordinator.status?.haproxyPid).not.toBe(pid);
    expect(coordinator.status).toMatchObject({
      message: '',
      history: {
        reloads: 0,
        restarts: 1,
        loadings: [
          { kind: ProxyLoadingKind.START, reason: 'the one before ended' },
          { kind: ProxyLoadingKind.START, reason: 'none ran' },
        ],
        lastError: expect.stringMatching(/^HAProxy died/) as string,
      },
    });
  });
  expect((await directory.info()).pid).toBe(coordinator.status?.haproxyPid);
});

test('leaves HAProxy alone when the agent is killed, and the next one adopts it', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [aTarget({ id: 'web-1.a.80', port: one.port })] }),
  );
  const config = proxyConfig({ coordinator: coordinator.address, stateDir: directory.path });
  await using first = new SpawnedProxyAgent(config);
  await applied(coordinator, 1);
  const { pid } = await directory.info();
  const load = new Load(port, { keepAlive: 3, fresh: 2 });

  await first.kill();
  await load.more(50);
  expect((await directory.info()).pid).toBe(pid);

  coordinator.change([aTarget({ id: 'web-2.b.80', port: two.port })]);
  await using second = new RunningProxyAgent(config);
  await applied(coordinator, 2);
  await load.more(50);
  expect((await directory.info()).pid).toBe(pid);
  expect(two.requests).toBeGreaterThan(0);
  expect(coordinator.hellos.at(-1)?.proxyId).toBe(coordinator.hellos[0]?.proxyId);

  // Nor does it end when its agent is stopped in good order.
  await second.stop();
  await load.more(50);
  await using _third = new RunningProxyAgent(config);
  await eventually(() => {
    expect(coordinator.hellos.length).toBe(3);
    expect(coordinator.status?.haproxyPid).toBe(pid);
  });
  expect((await load.stop()).failures).toEqual([]);

  // An adopted HAProxy is no child of the agent's, and its death is noticed all the same.
  process.kill(pid, 'SIGKILL');
  await eventually(async () => {
    expect((await get(port)).status).toBe(200);
  });
});

test('goes on with a drain that an agent before it began, without the coordinator', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, {
      targets: [
        aTarget({ id: 'web-1.a.80', port: one.port }),
        aTarget({ id: 'web-2.b.80', port: two.port }),
      ],
    }),
  );
  const config = proxyConfig({ coordinator: coordinator.address, stateDir: directory.path });
  await using first = new SpawnedProxyAgent(config);
  await applied(coordinator, 1);
  const slow: Promise<unknown>[] = [];
  slow.push(get(port, '/slow'), get(port, '/slow'));
  await eventually(() => {
    expect([one.waiting, two.waiting]).toEqual([1, 1]);
  });
  coordinator.change([aTarget({ id: 'web-1.a.80', port: one.port, mode: TargetMode.DRAIN })]);
  await applied(coordinator, 2);
  await first.kill();
  coordinator.shutdown();

  await using _second = new RunningProxyAgent(config);
  two.finishSlow();
  for (let i = 0; i < 10; i++) expect((await get(port)).body).toBe('two');
  one.finishSlow();
  await eventually(async () => {
    expect((await directory.servers()).get('web-1.a.80')?.mode).toBe('maint');
  });
  two.finishSlow();
  await Promise.all(slow);
});

test('L9 serves by the list on disk while no coordinator can be reached', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { version: 7, targets: [aTarget({ id: 'web-1.a.80', port: one.port })] }),
  );
  const config = proxyConfig({
    coordinator: coordinator.address,
    stateDir: directory.path,
    onStop: 'stop',
  });
  {
    await using agent = new RunningProxyAgent(config);
    await applied(coordinator, 7);
    coordinator.shutdown();
    await eventually(() => {
      expect(agent.log.map(({ msg }) => msg)).toContain('no session with the coordinator');
    });
    expect((await get(port)).status).toBe(200);
    await agent.stop();
  }
  await expect(get(port)).rejects.toThrow('ECONNREFUSED');

  await using _agent = new RunningProxyAgent(config);
  await eventually(
    async () => {
      expect(await get(port)).toEqual({ status: 200, body: 'one' });
    },
    { timeoutMs: 30_000 },
  );
  const acknowledged = coordinator.applied.length;
  await coordinator.listen();
  await eventually(
    () => {
      expect(coordinator.applied.length).toBeGreaterThan(acknowledged);
    },
    { timeoutMs: 30_000 },
  );
  expect(coordinator.applied.at(-1)).toMatchObject({ version: 7 });

  // From here on it is sure of what HAProxy has: a session begins with that.
  const dialled = coordinator.hellos.length;
  coordinator.dropSessions();
  await eventually(
    () => {
      expect(coordinator.hellos.length).toBeGreaterThan(dialled);
    },
    { timeoutMs: 30_000 },
  );
  expect(coordinator.hellos[dialled]).toMatchObject({ epoch: 'epoch-1', version: 7 });

  // An empty list is meant so: it is not the absence of one.
  coordinator.replace(aSnapshot(port, { version: 8 }));
  await applied(coordinator, 8);
  expect((await get(port)).status).toBe(503);
});

test('lets requests in flight finish when it is told to stop HAProxy', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [aTarget({ id: 'web-1.a.80', port: one.port })] }),
  );
  await using agent = new RunningProxyAgent(
    proxyConfig({
      coordinator: coordinator.address,
      stateDir: directory.path,
      onStop: 'stop',
      stopGraceMs: 20_000,
    }),
  );
  await applied(coordinator, 1);
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  expect((await get(port, '/', { agent: kept })).status).toBe(200);
  const slow = get(port, '/slow');
  await eventually(() => {
    expect(one.waiting).toBe(1);
  });

  const stopped = agent.stop();
  await eventually(async () => {
    await expect(get(port)).rejects.toThrow('ECONNREFUSED');
  });
  // A client that kept its connection gets its answer, though no successor takes over.
  expect(await get(port, '/', { agent: kept })).toEqual({ status: 200, body: 'one' });
  one.finishSlow();
  expect(await slow).toEqual({ status: 200, body: 'one' });
  await stopped;
  expect(directory.masterPid).toBeUndefined();
  kept.destroy();
});

test('opens and closes ports by a reload that fails no request', async () => {
  const [port, otherPort] = [await freePort(), await freePort()];
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using directory = new HaproxyDirectory();
  const targets = [aTarget({ id: 'web-1.a.80', port: one.port })];
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port, { targets }));
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  const load = new Load(port);
  await load.more(30);
  const first = (await directory.info()).pid;

  const structure = {
    frontends: [
      {
        name: 'http',
        port,
        mode: FrontendMode.HTTP,
        defaultBackend: 'web',
        routes: [],
        tls: undefined,
      },
      {
        name: 'tcp',
        port: otherPort,
        mode: FrontendMode.TCP,
        defaultBackend: 'db',
        routes: [],
        tls: undefined,
      },
    ],
    backends: [
      { name: 'web', mode: FrontendMode.HTTP },
      { name: 'db', mode: FrontendMode.TCP },
    ],
  };
  coordinator.replace(
    aSnapshot(port, {
      ...structure,
      version: 2,
      targets: [...targets, aTarget({ id: 'db-1.c.5432', backend: 'db', port: two.port })],
    }),
  );
  await applied(coordinator, 2);
  expect((await directory.info()).pid).not.toBe(first);
  expect((await get(otherPort)).body).toBe('two');
  await load.more(60);

  coordinator.replace(aSnapshot(port, { version: 3, targets }));
  await applied(coordinator, 3);
  await load.more(60);
  await expect(get(otherPort)).rejects.toThrow('ECONNREFUSED');
  expect((await load.stop()).failures).toEqual([]);
  await eventually(() => {
    expect(coordinator.status?.history).toMatchObject({
      reloads: 2,
      restarts: 0,
      loadings: [
        { kind: ProxyLoadingKind.RELOAD, reason: 'frontend "tcp" is gone' },
        { kind: ProxyLoadingKind.RELOAD, reason: 'frontend "tcp" is new' },
        { kind: ProxyLoadingKind.START, reason: 'none ran' },
      ],
    });
  });
});

test('counts a drain also in the workers before a reload, which begin nothing more', async () => {
  const [port, otherPort] = [await freePort(), await freePort()];
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using directory = new HaproxyDirectory();
  const targets = [aTarget({ id: 'web-1.a.80', port: one.port })];
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port, { targets }));
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  expect((await get(port, '/', { agent: kept })).body).toBe('one');
  const slow = get(port, '/slow');
  await eventually(() => {
    expect(one.waiting).toBe(1);
  });

  coordinator.replace(
    aSnapshot(port, {
      version: 2,
      targets,
      frontends: [
        {
          name: 'http',
          port,
          mode: FrontendMode.HTTP,
          defaultBackend: 'web',
          routes: [],
          tls: undefined,
        },
        {
          name: 'more',
          port: otherPort,
          mode: FrontendMode.HTTP,
          defaultBackend: 'web',
          routes: [],
          tls: undefined,
        },
      ],
    }),
  );
  await applied(coordinator, 2);
  coordinator.change([
    aTarget({ id: 'web-1.a.80', port: one.port, mode: TargetMode.DRAIN }),
    aTarget({ id: 'web-2.b.80', port: two.port }),
  ]);
  await applied(coordinator, 3);
  await eventually(() => {
    expect(coordinator.target('web-1.a.80')).toMatchObject({ inFlight: 1, drained: false });
  });
  // This connection is the old worker's, and its next request goes by the list of now.
  expect(await get(port, '/', { agent: kept })).toEqual({ status: 200, body: 'two' });
  expect(two.headers.at(-1)).toMatchObject({ 'x-forwarded-for': '127.0.0.1' });
  expect(coordinator.target('web-1.a.80')?.drained).toBe(false);

  one.finishSlow();
  expect(await slow).toEqual({ status: 200, body: 'one' });
  await drained(coordinator, 'web-1.a.80');
  expect(one.requests).toBe(2);
  kept.destroy();
});

test('cuts what an old worker still has in flight when the time of a drain is over', async () => {
  const [port, otherPort] = [await freePort(), await freePort()];
  await using one = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  const targets = [aTarget({ id: 'web-1.a.80', port: one.port })];
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port, { targets }));
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  const slow = get(port, '/slow').catch((error: unknown) => ({ status: 599, body: String(error) }));
  await eventually(() => {
    expect(one.waiting).toBe(1);
  });
  coordinator.replace(
    aSnapshot(port, {
      version: 2,
      targets,
      frontends: [
        {
          name: 'http',
          port: otherPort,
          mode: FrontendMode.HTTP,
          defaultBackend: 'web',
          routes: [],
          tls: undefined,
        },
      ],
    }),
  );
  await applied(coordinator, 2);
  coordinator.change([{ ...targets[0]!, mode: TargetMode.DRAIN, drainTimeoutMs: 200 }]);
  expect(await endOf(slow)).toBe('cut');
  await drained(coordinator, 'web-1.a.80');
});

test('drains connections of a TCP frontend, and cuts them when their time is over', async () => {
  const port = await freePort();
  // It does not know what is in flight on a server, also where it has the name of the backend.
  const frontend = takesOneNameTwice() ? 'db' : 'tcp';
  await using one = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  const target = aTarget({ id: 'db-1.a.80', backend: 'db', port: one.port });
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, {
      frontends: [
        {
          name: frontend,
          port,
          mode: FrontendMode.TCP,
          defaultBackend: 'db',
          routes: [],
          tls: undefined,
        },
      ],
      backends: [{ name: 'db', mode: FrontendMode.TCP }],
      targets: [target],
    }),
  );
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  const client = connect(port, '127.0.0.1');
  await once(client, 'connect');
  await eventually(() => {
    expect(coordinator.target('db-1.a.80')).toMatchObject({ inFlight: 1 });
  });
  const ended = once(client, 'close');
  client.resume();
  coordinator.change([{ ...target, mode: TargetMode.DRAIN, drainTimeoutMs: 500 }]);
  await applied(coordinator, 2);
  expect(client.destroyed).toBe(false);
  await ended;
  await drained(coordinator, 'db-1.a.80');
});

test('shows its statistics behind a password', async () => {
  const [port, statsPort] = [await freePort(), await freePort()];
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port));
  const config = proxyConfig({
    coordinator: coordinator.address,
    stateDir: directory.path,
    ...{ statsPort, statsAuth: 'joe:secret' },
  });
  await using _agent = new RunningProxyAgent(config);
  await applied(coordinator, 1);
  expect((await get(statsPort)).status).toBe(401);
  const authorization = `Basic ${Buffer.from('joe:secret').toString('base64')}`;
  const page = await get(statsPort, '/', { headers: { authorization } });
  expect(page.status).toBe(200);
  expect(page.body).toContain('Statistics Report');
});

test('reports what HAProxy or the list cannot have, and goes on with the rest', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port));
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  coordinator.change([
    aTarget({ id: 'no-backend.x.80', backend: 'nowhere', port: one.port }),
    aTarget({ id: 'no-address.x.80', address: 'web.example', port: one.port }),
    aTarget({ id: 'a word too many', port: one.port }),
    // HAProxy itself refuses this one: with the rest of the command it is longer than it reads.
    aTarget({ id: `long-${'x'.repeat(190)}`, port: one.port }),
    aTarget({ id: 'web-1.a.80', port: one.port }),
  ]);
  await applied(coordinator, 2);
  expect(await get(port)).toEqual({ status: 200, body: 'one' });
  expect(Object.fromEntries(coordinator.errors)).toMatchObject({
    'no-backend.x.80': 'HAProxy has no backend "nowhere"',
    'no-address.x.80': '"web.example" is no IP address',
    'a word too many': '"a word too many" is no name for a server',
  });

  coordinator.change([], ['no-backend.x.80', 'no-address.x.80', 'a word too many']);
  await applied(coordinator, 3);
  expect([...coordinator.errors.keys()]).toEqual([]);
});

test('does not share a port with another process, and takes it when it is free', async () => {
  const [port, takenPort] = [await freePort(), await freePort()];
  const other = createServer().listen(takenPort, '0.0.0.0');
  await once(other, 'listening');
  await using one = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, {
      targets: [aTarget({ id: 'web-1.a.80', port: one.port })],
      frontends: [
        {
          name: 'http',
          port,
          mode: FrontendMode.HTTP,
          defaultBackend: 'web',
          routes: [],
          tls: undefined,
        },
        {
          name: 'other',
          port: takenPort,
          mode: FrontendMode.HTTP,
          defaultBackend: 'web',
          routes: [],
          tls: undefined,
        },
      ],
    }),
  );
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await applied(coordinator, 1);
  expect((await get(port)).status).toBe(200);
  expect(coordinator.status?.message).toContain(`port ${takenPort} is in use by another process`);

  other.close();
  await eventually(
    async () => {
      expect((await get(takenPort)).status).toBe(200);
      expect(coordinator.status?.message).toBe('');
    },
    { timeoutMs: 20_000 },
  );
});

test('refuses a state directory that another agent has', async () => {
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start();
  const config = proxyConfig({ coordinator: coordinator.address, stateDir: directory.path });
  await using first = new RunningProxyAgent(config);
  await eventually(() => {
    expect(coordinator.connected).toBe(1);
  });
  await using second = new RunningProxyAgent(config);
  await expect(second.ended).rejects.toThrow('another proxy agent runs on the state directory');
  await first.stop();
  await using third = new RunningProxyAgent(config);
  await eventually(() => {
    expect(coordinator.hellos.length).toBe(2);
  });
  await third.stop();
});
