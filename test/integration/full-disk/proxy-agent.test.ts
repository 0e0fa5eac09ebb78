import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FrontendMode } from '../../../shared/gen/fairlead/v1/proxy_service.ts';
import { ClientCertificates, TlsPolicy } from '../../../shared/gen/fairlead/v1/tls.ts';
import { eventually } from '../../support/eventually.ts';
import { aSnapshot, aTarget, FakeProxyCoordinator } from '../../support/fake-proxy-coordinator.ts';
import {
  freePort,
  get,
  proxyConfig,
  RunningProxyAgent,
  TestBackend,
} from '../../support/haproxy.ts';
import { describeWithMounts } from '../../support/needs.ts';
import { aProtoRoute } from '../../support/routes.ts';
import { SiteAuthority } from '../../support/site-certificates.ts';
import { SmallDisk } from '../../support/small-disk.ts';
import { TestAuthority, testAuthority } from '../../support/test-authority.ts';
import { getTls, untilShown } from '../../support/tls-client.ts';

const patience = { timeoutMs: 30_000 };

/** A port for TLS whose requests go to the first server, and for one path to the second. */
function aSecuredList(
  {
    port,
    version,
    path,
  }: { readonly port: number; readonly version: number; readonly path: string },
  servers: readonly [TestBackend, TestBackend],
) {
  const [first, second] = servers;
  const route = { id: 'two.r', backend: second.name, route: aProtoRoute({ paths: [path] }) };
  const frontend = {
    ...{ name: 'https', port, mode: FrontendMode.HTTP, defaultBackend: first.name },
    tls: {
      ...{ policy: TlsPolicy.INTERMEDIATE, clientCertificates: ClientCertificates.NONE },
      clientCaPem: '',
    },
    routes: [route],
  };
  return aSnapshot(port, {
    version,
    frontends: [frontend],
    backends: servers.map(({ name }) => ({ name, mode: FrontendMode.HTTP })),
    targets: servers.map(({ name, port: own }) =>
      aTarget({ id: `${name}-1.a.${own}`, backend: name, port: own }),
    ),
  });
}

describeWithMounts('while the disk is full', () => {
  test('a proxy agent serves and follows the list, says it, and saves when there is space', async () => {
    const port = await freePort();
    await using one = await TestBackend.start('one');
    await using two = await TestBackend.start('two');
    await using disk = await SmallDisk.mount(4);
    const targets = [aTarget({ id: 'web-1.a.80', port: one.port })];
    await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port, { targets }));
    const stateDir = disk.join('proxy');
    const list = () => readFileSync(`${stateDir}/list.json`, 'utf8');
    const config = proxyConfig({ coordinator: coordinator.address, stateDir, onStop: 'stop' });
    await using _agent = new RunningProxyAgent(config);
    await eventually(() => {
      expect(list()).toContain('web-1');
      expect(coordinator.statuses.at(-1)).toMatchObject({ message: '' });
      expect(coordinator.applied.at(-1)?.version).toBe(1);
    }, patience);
    expect((await get(port)).body).toBe('one');
    disk.fill();
    const saved = list();
    coordinator.change([aTarget({ id: 'web-2.b.80', port: two.port })], ['web-1.a.80']);
    await eventually(async () => {
      expect((await get(port)).body).toBe('two');
    }, patience);
    await eventually(() => {
      expect(coordinator.statuses.at(-1)?.message).toMatch(
        /state directory cannot be written: .*list\.json.*ENOSPC/,
      );
    }, patience);
    expect(list()).toBe(saved);
    const pid = coordinator.statuses.at(-1)?.haproxyPid ?? 0;
    process.kill(pid, 'SIGKILL');
    await eventually(async () => {
      expect(coordinator.statuses.at(-1)?.haproxyPid, 'another HAProxy').not.toBe(pid);
      expect((await get(port)).body, 'by the list that is in memory alone').toBe('two');
    }, patience);
    expect(list()).toBe(saved);
    disk.free();
    await eventually(() => {
      expect(list()).toContain('web-2');
      expect(coordinator.statuses.at(-1)?.message).toBe('');
    }, patience);
    await eventually(() => {
      expect(readdirSync(stateDir).filter((name) => name.endsWith('.new'))).toEqual([]);
    }, patience);
    expect((await get(port)).body).toBe('two');
  });

  test('a proxy agent does not start for the first time, says why, and does with space', async () => {
    const port = await freePort();
    await using one = await TestBackend.start('one');
    await using disk = await SmallDisk.mount(4);
    const targets = [aTarget({ id: 'web-1.a.80', port: one.port })];
    await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port, { targets }));
    const stateDir = disk.join('proxy');
    const config = proxyConfig({ coordinator: coordinator.address, stateDir, onStop: 'stop' });
    disk.fill();
    await using refused = new RunningProxyAgent(config);
    await expect(refused.ended).rejects.toThrow(/ cannot be written: .*ENOSPC.*; free space/);
    disk.free();
    await using _again = new RunningProxyAgent(config);
    await eventually(async () => {
      expect((await get(port)).body).toBe('one');
      expect(coordinator.statuses.at(-1)?.message).toBe('');
    }, patience);
  });

  test('a proxy agent takes certificates, routes and another authority, and saves them when there is space', async () => {
    const authority = await SiteAuthority.make();
    const [site, next] = [await authority.site('a.test'), await authority.site('a.test')];
    const other = await TestAuthority.make();
    const port = await freePort();
    await using one = await TestBackend.start('one');
    await using two = await TestBackend.start('two');
    await using disk = await SmallDisk.mount(4);
    const list = (version: number, path: string) =>
      aSecuredList({ port, version, path }, [one, two]);
    await using coordinator = await FakeProxyCoordinator.start(list(1, '/first'));
    coordinator.hand({ a: site });
    const stateDir = disk.join('proxy');
    const read = (...names: readonly string[]) => readFileSync(join(stateDir, ...names), 'utf8');
    const saved = () => ({
      certificate: read('certificates', 'a.pem').includes(next.key),
      list: read('list.json').includes('/second'),
      maps: readdirSync(join(stateDir, 'maps')).some((name) =>
        read('maps', name).includes('/second'),
      ),
      trust: existsSync(join(stateDir, 'trust.json')),
    });
    const config = proxyConfig({ coordinator: coordinator.address, stateDir, onStop: 'stop' });
    await using agent = new RunningProxyAgent(config);
    await eventually(() => {
      expect(coordinator.serving).toEqual({ a: site.serialNumber });
      expect(coordinator.statuses.at(-1)).toMatchObject({ message: '' });
      expect(coordinator.applied.at(-1)?.version).toBe(1);
      expect(read('list.json')).toContain('/first');
    }, patience);
    const routed = async (path: string) => (await getTls(port, 'a.test', { path })).body;
    expect([await routed('/first'), await routed('/second')]).toEqual(['two', 'one']);

    disk.fill();
    coordinator.hand({ a: next });
    coordinator.replace(list(2, '/second'));
    const pem = `${testAuthority.bundle}${other.bundle}`;
    coordinator.send({ $case: 'trust', value: { pem, renewWithinMs: 0 } });
    await untilShown(port, 'a.test', next.serialNumber);
    await eventually(async () => {
      expect([await routed('/first'), await routed('/second')]).toEqual(['one', 'two']);
      expect(coordinator.serving).toEqual({ a: next.serialNumber });
      const { message = '' } = coordinator.statuses.at(-1) ?? {};
      expect(message).toMatch(
        /certificates cannot be written to disk: .*a\.pem.*ENOSPC.*free space/,
      );
      expect(message).toMatch(/list\.json.*ENOSPC/);
    }, patience);
    await eventually(() => {
      expect(JSON.stringify(agent.log)).toMatch(/trust\.json cannot be written: ENOSPC/);
    }, patience);
    expect(saved()).toEqual({ certificate: false, list: false, maps: false, trust: false });

    disk.free();
    await eventually(() => {
      expect(saved()).toEqual({ certificate: true, list: true, maps: true, trust: true });
      expect(coordinator.statuses.at(-1)?.message).toBe('');
    }, patience);
    expect(read('trust.json')).toContain(JSON.stringify(other.bundle).slice(1, -1));
  });
});
