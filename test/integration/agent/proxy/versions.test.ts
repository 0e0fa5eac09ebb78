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
  const capabilities = () => ({ dynamicServers: false });
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
