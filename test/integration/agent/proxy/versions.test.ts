import { expect, test } from 'vitest';
import { TargetMode } from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
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

test('reloads for new servers where HAProxy takes none at run time, and fails no request', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  await using three = await TestBackend.start('three');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [aTarget({ id: 'web-1.a.80', port: one.port })] }),
  );
  const config = proxyConfig({ coordinator: coordinator.address, stateDir: directory.path });
  const capabilities = () => ({ dynamicServers: false, repeatsEnded: true });
  await using _agent = new RunningProxyAgent(config, capabilities);
  /** In effect as a whole: HAProxy serves every target of it. */
  const admitted = (version: number) =>
    eventually(
      () => {
        expect(coordinator.appliedVersion).toBe(version);
        expect(coordinator.errors.size).toBe(0);
      },
      { timeoutMs: 20_000 },
    );
  await admitted(1);
  const { pid } = await directory.info();
  const load = new Load(port);
  await load.more(30);

  // Both in one reload.
  coordinator.change([aTarget({ id: 'web-2.b.80', port: two.port })]);
  await admitted(coordinator.change([aTarget({ id: 'web-3.c.80', port: three.port })]));
  await load.more(60);
  expect(two.requests).toBeGreaterThan(0);
  expect(three.requests).toBeGreaterThan(0);
  const reloaded = await directory.info();
  expect(reloaded.pid).not.toBe(pid);

  // What goes needs none.
  const leaving = aTarget({ id: 'web-1.a.80', port: one.port, mode: TargetMode.DRAIN });
  await admitted(coordinator.change([leaving]));
  await eventually(() => {
    expect(coordinator.target('web-1.a.80')).toMatchObject({ drained: true });
  });
  const begun = one.requests;
  await admitted(coordinator.change([], ['web-1.a.80']));
  await load.more(60);
  expect(one.requests).toBe(begun);
  expect((await directory.info()).pid).toBe(reloaded.pid);
  expect((await load.stop()).failures).toEqual([]);
  expect(coordinator.status?.history).toMatchObject({
    reloads: 1,
    loadings: [{ reason: 'there are new servers' }, { reason: 'none ran' }],
  });
});

test('where servers come by reloads alone, they come, drain, come back, move and go under load', async () => {
  const port = await freePort();
  await using directory = new HaproxyDirectory();
  const backends: TestBackend[] = [];
  const begin = async (name: string) => {
    const backend = await TestBackend.start(name);
    backends.push(backend);
    return { backend, target: aTarget({ id: `${name}.x.80`, port: backend.port }) };
  };
  try {
    const first = await begin('web-0');
    await using coordinator = await FakeProxyCoordinator.start(
      aSnapshot(port, { targets: [first.target] }),
    );
    const config = proxyConfig({ coordinator: coordinator.address, stateDir: directory.path });
    await using _agent = new RunningProxyAgent(config, () => ({
      dynamicServers: false,
      repeatsEnded: true,
    }));
    const admitted = (version: number) =>
      eventually(
        () => {
          expect(coordinator.appliedVersion).toBe(version);
          expect([...coordinator.errors]).toEqual([]);
        },
        { timeoutMs: 20_000 },
      );
    const drained = async (target: typeof first.target) => {
      await admitted(coordinator.change([{ ...target, mode: TargetMode.DRAIN }]));
      await eventually(() => {
        expect(coordinator.target(target.id)).toMatchObject({ drained: true, inFlight: 0 });
      });
    };
    const pid = async () => (await directory.info()).pid;
    const namesOf = async () => [...(await directory.servers()).keys()].sort();
    await admitted(1);
    const load = new Load(port);
    await load.more(20);

    let last = first;
    for (let cycle = 1; cycle <= 3; cycle++) {
      const before = { pid: await pid(), names: await namesOf() };
      const next = await begin(`web-${cycle}`);
      await admitted(coordinator.change([next.target]));
      // Never at run time: a worker has the servers that it began with.
      expect(await pid()).not.toBe(before.pid);
      await load.more(40);
      expect(next.backend.requests).toBeGreaterThan(0);

      // What drains may be wanted again, and what has drained too.
      const worker = await pid();
      const servers = await namesOf();
      await admitted(coordinator.change([{ ...last.target, mode: TargetMode.DRAIN }]));
      await admitted(coordinator.change([last.target]));
      await drained(last.target);
      await admitted(coordinator.change([last.target]));
      const begun = last.backend.requests;
      await load.more(40);
      expect(last.backend.requests).toBeGreaterThan(begun);
      await drained(last.target);
      await admitted(coordinator.change([], [last.target.id]));
      const ended = last.backend.requests;
      await load.more(40);
      expect(last.backend.requests).toBe(ended);
      expect([await pid(), await namesOf()]).toEqual([worker, servers]);
      last = next;
    }

    // A container that comes back at another port, as one that was restarted does.
    await using stable = await TestBackend.start('stable');
    await admitted(coordinator.change([aTarget({ id: 'web-9.x.80', port: stable.port })]));
    await drained(last.target);
    const moved = await begin('moved');
    await admitted(coordinator.change([aTarget({ id: last.target.id, port: moved.backend.port })]));
    await load.more(40);
    expect(moved.backend.requests).toBeGreaterThan(0);
    expect(await namesOf()).toEqual([last.target.id, 'web-9.x.80'].sort());
    expect((await load.stop()).failures).toEqual([]);
    expect(coordinator.status?.history).toMatchObject({ reloads: 5, restarts: 0 });

    process.kill(await pid(), 'SIGKILL');
    await eventually(async () => {
      expect((await get(port)).status).toBe(200);
      expect(await namesOf()).toEqual([last.target.id, 'web-9.x.80'].sort());
    });
  } finally {
    for (const backend of backends) await backend[Symbol.asyncDispose]();
  }
}, 90_000);
