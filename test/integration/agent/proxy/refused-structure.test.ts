import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { ApiRole, connect, Role } from '../../../../client/index.ts';
import { TargetMode } from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
import {
  FrontendMode,
  type BackendSnapshot,
  type DeepPartial,
} from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { CoordinatorInProcess } from '../../../support/coordinator-in-process.ts';
import { DrivenProxy } from '../../../support/driven-proxy.ts';
import { eventually } from '../../../support/eventually.ts';
import { aSnapshot, aTarget } from '../../../support/fake-proxy-coordinator.ts';
import {
  freePort,
  get,
  HaproxyDirectory,
  haproxyProgram,
  proxyConfig,
  RunningProxyAgent,
  TestBackend,
} from '../../../support/haproxy.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const mode = FrontendMode.HTTP;

/** A HAProxy that refuses, while it is told so, each configuration that has some word in it. */
class Choosy extends TemporaryDirectory {
  readonly program = this.join('choosy-haproxy');
  readonly #order = this.join('refuse');

  constructor() {
    super();
    const lines = [
      '#!/bin/sh',
      'for file; do',
      `  if [ -e ${this.#order} ] && grep -qf ${this.#order} -- "$file" 2>/dev/null; then`,
      "    echo '[ALERT] not today' >&2; exit 1",
      '  fi',
      'done',
      `exec ${haproxyProgram} "$@"`,
    ];
    writeFileSync(this.program, `${lines.join('\n')}\n`, { mode: 0o700 });
  }

  refuse(word: string): void {
    writeFileSync(this.#order, `${word}\n`);
  }

  accept(): void {
    rmSync(this.#order);
  }
}

test('a list whose ports HAProxy refuses is in effect as far as it is, and drains go on', async () => {
  const [port, nextPort] = [await freePort(), await freePort()];
  await using haproxy = new Choosy();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  const list = (
    version: number,
    changes: DeepPartial<BackendSnapshot> & { readonly leadsTo: string },
  ) =>
    aSnapshot(port, {
      version,
      backends: ['web', 'api', 'new']
        .slice(0, version === 1 ? 2 : 3)
        .map((name) => ({ name, mode })),
      ...changes,
      frontends: [
        { ...{ name: 'http', port, mode, defaultBackend: changes.leadsTo }, routes: [] },
        ...(changes.frontends ?? []),
      ],
    });
  const web = (slot: number, to = one) => aTarget({ id: `web-${slot}.a.80`, port: to.port });
  const api = aTarget({ id: 'api-1.a.80', backend: 'api', port: two.port });
  const fresh = aTarget({ id: 'new-1.a.80', backend: 'new', port: two.port });
  await using driven = await DrivenProxy.start(
    list(1, { leadsTo: 'web', targets: [web(1), web(2, two), api] }),
    { haproxy: haproxy.program },
  );
  const { coordinator, directory } = driven;
  expect(coordinator.structureVersion).toBe(1);
  const { pid } = await directory.info();

  haproxy.refuse('frontend next ');
  const frontends = [{ name: 'next', port: nextPort, mode, defaultBackend: 'api' }];
  const targets = [web(1), web(2, two), web(3), api, fresh];
  coordinator.replace(list(2, { leadsTo: 'api', frontends, targets }));
  await eventually(() => {
    expect(coordinator.status?.message).toContain('not today');
    expect(coordinator.applied.at(-1)).toEqual({
      ...{ epoch: 'epoch-1', version: 2, structureVersion: 1, unreachedBackends: ['api'] },
      errors: [{ targetId: fresh.id, message: 'HAProxy has no backend "new"' }],
    });
  });
  // Never, at any moment, as a whole.
  expect(coordinator.applied.filter(({ structureVersion }) => structureVersion === 2)).toEqual([]);
  expect((await directory.servers()).get('web-3.a.80')?.mode).toBe('ready');

  coordinator.change([{ ...web(2, two), mode: TargetMode.DRAIN }]);
  await eventually(() => {
    expect(coordinator.applied.at(-1)).toMatchObject({ version: 3, structureVersion: 1 });
    expect(coordinator.target('web-2.a.80')).toMatchObject({ drained: true });
  });
  for (let i = 0; i < 4; i++) expect(await get(port)).toEqual({ status: 200, body: 'one' });

  // An agent that begins now does not know what it is that runs, but that it is not this.
  await driven.agent.stop();
  const own = { coordinator: coordinator.address, stateDir: directory.path };
  await using _next = new RunningProxyAgent(proxyConfig({ ...own, haproxy: haproxy.program }));
  await eventually(() => {
    expect(coordinator.hellos).toHaveLength(2);
    expect(coordinator.status?.message).toContain('not today');
    expect(coordinator.applied.at(-1)).toMatchObject({ version: 3, structureVersion: 0 });
  });
  expect((await directory.info()).pid).toBe(pid);

  haproxy.accept();
  coordinator.replace(list(4, { leadsTo: 'api', targets: [web(1), web(3), api, fresh] }));
  await coordinator.untilApplied(4);
  expect(coordinator.structureVersion).toBe(4);
  expect(await get(port)).toEqual({ status: 200, body: 'two' });
});

test('a HAProxy that ends while its list is refused, and its agent with it, is started as it was before', async () => {
  const [port, nextPort] = [await freePort(), await freePort()];
  await using haproxy = new Choosy();
  await using one = await TestBackend.start('one');
  await using two = await TestBackend.start('two');
  const targets = [aTarget({ id: 'web-1.a.80', port: one.port })];
  await using driven = await DrivenProxy.start(aSnapshot(port, { targets }), {
    haproxy: haproxy.program,
  });
  const { coordinator, directory } = driven;
  haproxy.refuse('frontend next ');
  const frontends = [port, nextPort].map((each) => ({
    ...{ name: each === port ? 'http' : 'next', port: each, mode, defaultBackend: 'web' },
  }));
  coordinator.replace(aSnapshot(port, { version: 2, targets, frontends }));
  await eventually(() => {
    expect(coordinator.applied.at(-1)).toMatchObject({ version: 2, structureVersion: 1 });
    expect(directory.read('list.json')).toContain('next');
  });
  await driven.agent.stop();
  process.kill(directory.masterPid!, 'SIGKILL');
  await eventually(() => {
    expect(directory.masterPid).toBeUndefined();
  });

  coordinator.change([aTarget({ id: 'web-2.b.80', port: two.port })], ['web-1.a.80']);
  const own = { coordinator: coordinator.address, stateDir: directory.path };
  await using _next = new RunningProxyAgent(proxyConfig({ ...own, haproxy: haproxy.program }));
  await eventually(async () => {
    expect(await get(port)).toEqual({ status: 200, body: 'two' });
    expect(coordinator.applied.at(-1)).toMatchObject({ version: 3, structureVersion: 0 });
    expect(coordinator.status?.message).toContain('not today');
  });
});

test('a list with a port that somebody else has is not in effect as a whole before that is free', async () => {
  const [port, takenPort] = [await freePort(), await freePort()];
  const other = createServer().listen(takenPort, '0.0.0.0');
  await once(other, 'listening');
  await using one = await TestBackend.start('one');
  await using driven = await DrivenProxy.start(aSnapshot(port));
  const { coordinator } = driven;
  coordinator.replace(
    aSnapshot(port, {
      version: 2,
      targets: [aTarget({ id: 'web-1.a.80', port: one.port })],
      frontends: [port, takenPort].map((each) => ({
        ...{ name: `http-${each}`, port: each, mode, defaultBackend: 'web' },
      })),
    }),
  );
  await eventually(async () => {
    expect(coordinator.applied.at(-1)).toMatchObject({ version: 2, structureVersion: 1 });
    expect(coordinator.errors.size).toBe(0);
    expect((await get(port)).status).toBe(200);
  });
  other.close();
  await eventually(
    () => {
      expect(coordinator.structureVersion).toBe(2);
    },
    { timeoutMs: 20_000 },
  );
  expect((await get(takenPort)).status).toBe(200);
});

test('a list of which something cannot be used is not in effect as a whole', async () => {
  const port = await freePort();
  await using driven = await DrivenProxy.start(aSnapshot(port));
  const { coordinator } = driven;
  const backends = ['web', 'not a name'].map((name) => ({ name, mode }));
  coordinator.replace(aSnapshot(port, { version: 2, backends }));
  await eventually(() => {
    expect(coordinator.applied.at(-1)).toMatchObject({ version: 2, structureVersion: 1 });
    expect(coordinator.status?.message).toContain('"not a name" is no name for a backend');
  });
  coordinator.replace(aSnapshot(port, { version: 3 }));
  await coordinator.untilApplied(3);
});

test('the coordinator shows as applied what is in effect as a whole', async () => {
  const port = await freePort();
  await using haproxy = new Choosy();
  await using directory = new HaproxyDirectory();
  await using coordinator = await CoordinatorInProcess.start(haproxy.join('state'));
  const token = readFileSync(haproxy.join('state/admin.token'), 'utf8').trim();
  await using client = await connect({ address: coordinator.address, token });
  const routes = [{ hosts: ['web.test'] }];
  const web = { image: 'web:1', ports: [{ containerPort: 80 }], routes };
  await client.control.createService({ name: 'web', spec: web });
  const lb = { image: 'lb:1', apiRole: ApiRole.PROXY };
  const ports = [{ containerPort: 80, published: true, hostPort: port }];
  await client.control.createService({ name: 'lb', spec: { ...lb, ports } });
  const role = { role: Role.PROXY, services: ['lb'] };
  const { secret } = await client.control.createToken({ name: 'of-lb', ...role });
  const own = { coordinator: coordinator.address, stateDir: directory.path };
  await using _agent = new RunningProxyAgent(
    proxyConfig({ ...own, token: secret, haproxy: haproxy.program }),
  );
  const proxy = async () => (await client.control.listProxies({})).proxies[0]!;
  const whole = (atLeast: number) =>
    eventually(async () => {
      const { appliedVersion, serversVersion, publishedVersion, message } = await proxy();
      expect(message).toBe('');
      expect(appliedVersion).toBeGreaterThanOrEqual(atLeast);
      expect([appliedVersion, serversVersion]).toEqual([publishedVersion, publishedVersion]);
      return appliedVersion;
    });
  await client.control.addLink({ service: 'lb', link: { service: 'web' } });
  const before = await whole(1);

  haproxy.refuse('fairlead rev=');
  await client.control.removeLink({ service: 'lb', alias: 'web' });
  await eventually(async () => {
    const { appliedVersion, serversVersion, publishedVersion, message } = await proxy();
    expect(message).toContain('not today');
    expect(publishedVersion).toBeGreaterThan(before);
    expect([appliedVersion, serversVersion]).toEqual([before, publishedVersion]);
  });
  await client.control.addLink({ service: 'lb', link: { service: 'web' } });
  await whole(before + 2);
});
