import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseCounters } from '../../../../agent/proxy/server-state.ts';
import { TargetMode } from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
import { FrontendMode } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
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
  haproxyProgram,
  Load,
  proxyConfig,
  RunningProxyAgent,
  TestBackend,
} from '../../../support/haproxy.ts';

/** HAProxy is read every 5 s. */
const mended = { timeoutMs: 30_000, intervalMs: 100 };

function frontends(...ports: readonly number[]) {
  return ports.map((port) => ({
    ...{ name: `http-${port}`, port, mode: FrontendMode.HTTP, defaultBackend: 'web' },
  }));
}

test('mends what somebody else did to servers, slots and frontends of HAProxy, without a reload', async () => {
  const port = await freePort();
  await using one = await TestBackend.start('one');
  const ids = [1, 2, 3, 4, 5].map((slot) => `web-${slot}.a.80`);
  await using driven = await DrivenProxy.start(
    aSnapshot(port, {
      backends: [
        {
          ...{ name: 'web', mode: FrontendMode.HTTP, cookieKey: 'abc' },
          balancing: { stickyCookie: 'SRV' },
        },
      ],
      targets: ids.map((id) => aTarget({ id, port: one.port })),
    }),
  );
  const { coordinator, directory } = driven;
  const { pid } = await directory.info();
  const slots = async () => {
    const lines = (await directory.ask(`show map ${directory.path}/maps/slots.map`)).split('\n');
    return lines.flatMap((line) => line.split(' ')[2] ?? []).sort();
  };
  expect(await slots()).toEqual(ids);

  const [drained = '', disabled = '', deleted = '', lighter = '', unchecked = ''] = ids;
  await directory.ask(`set server web/${drained} state drain`);
  await directory.ask(`disable server web/${disabled}`);
  await directory.ask(`set server web/${deleted} state maint`);
  await directory.ask(`del server web/${deleted}`);
  await directory.ask(`set server web/${lighter} weight 0`);
  await directory.ask(`set maxconn server web/${lighter} 1`);
  await directory.ask(`disable health web/${unchecked}`);
  await directory.ask(`add server web/stray 127.0.0.1:${one.port}`);
  await directory.ask('set server web/stray state ready');
  await directory.ask(`clear map ${directory.path}/maps/slots.map`);
  await directory.ask('disable frontend http');
  // Each would have clients wait in line, and the next one is refused.
  await directory.ask('set maxconn global 1');
  await directory.ask('set maxconn frontend http 1');
  await directory.ask('set rate-limit connections global 1');
  await directory.ask('set rate-limit sessions global 1');
  await directory.ask('set rate-limit ssl-sessions global 1');
  const before = await directory.servers();
  expect([...before.keys()].sort()).toEqual(
    [...ids.filter((id) => id !== deleted), 'stray'].sort(),
  );
  expect([lighter, unchecked].map((id) => before.get(id)?.altered)).toEqual([true, true]);

  await eventually(async () => {
    const servers = [...(await directory.servers()).values()];
    const ready = servers.filter(({ mode, altered }) => mode === 'ready' && !altered);
    expect(ready.map(({ id }) => id).sort()).toEqual(ids);
    expect(await slots()).toEqual(ids);
    expect((await get(port)).status).toBe(200);
    const limits = { connections: 500, configured: 500, rates: [] };
    expect((await directory.info()).limits).toEqual(limits);
    const counters = parseCounters(await directory.ask('show stat -1 5 -1'));
    expect(counters.frontends.filter(({ limit }) => limit !== 500)).toEqual([]);
    expect(counters.servers.filter(({ limit }) => limit !== 0)).toEqual([]);
  }, mended);
  // All at once, in less time than a rate by the second would take.
  const statuses = await Promise.all(
    Array.from({ length: 40 }, async () => (await get(port)).status),
  );
  expect(new Set(statuses)).toEqual(new Set([200]));
  expect((await directory.info()).pid).toBe(pid);
  expect(coordinator.status?.history?.reloads).toBe(0);
});

test.each(['the same agent', 'another agent'])(
  'cuts what leaves the list in a drain of sticky clients, also when %s has read HAProxy anew meanwhile',
  async (who) => {
    const port = await freePort();
    await using one = await TestBackend.start('one');
    await using two = await TestBackend.start('two');
    const leaving = aTarget({ id: 'web-1.a.80', port: one.port });
    const stays = aTarget({ id: 'web-2.b.80', port: two.port });
    await using driven = await DrivenProxy.start(
      aSnapshot(port, {
        backends: [
          {
            ...{ name: 'web', mode: FrontendMode.HTTP, cookieKey: 'abc' },
            balancing: { stickyCookie: 'SRV' },
          },
        ],
        targets: [leaving],
      }),
    );
    const { coordinator, directory } = driven;
    let isOver = false;
    // What HAProxy never repeats elsewhere.
    const slow = get(port, '/slow', { method: 'POST' })
      .then(
        ({ status }) => status,
        () => 0,
      )
      .finally(() => (isOver = true));
    await eventually(() => {
      expect(one.waiting).toBe(1);
    });
    await coordinator.untilApplied(coordinator.change([stays]));
    const drain = { ...leaving, mode: TargetMode.DRAIN, drainTimeoutMs: 600_000 };
    await coordinator.untilApplied(coordinator.change([drain]));
    expect((await directory.servers()).get(leaving.id)?.mode).toBe('maint');

    let next: RunningProxyAgent | undefined;
    if (who === 'another agent') {
      await driven.agent.stop();
      const own = { coordinator: coordinator.address, stateDir: directory.path };
      next = new RunningProxyAgent(proxyConfig(own));
      await eventually(() => {
        expect(coordinator.hellos.length).toBe(2);
      });
      await coordinator.untilApplied(3);
    } else {
      // It is mended by an agent that has read it.
      await directory.ask(`set server web/${stays.id} weight 0`);
      await eventually(async () => {
        expect((await directory.servers()).get(stays.id)?.altered).toBe(false);
      }, mended);
    }
    await using _next = next;
    expect(isOver).toBe(false);
    await coordinator.untilApplied(coordinator.change([], [leaving.id]));
    await eventually(() => {
      expect(isOver).toBe(true);
    });
    expect(await slow).not.toBe(200);
  },
);

test('opens what somebody shut for good by a reload, and takes up a worker that somebody else made serve', async () => {
  const [port, otherPort] = [await freePort(), await freePort()];
  await using one = await TestBackend.start('one');
  await using driven = await DrivenProxy.start(
    aSnapshot(port, {
      frontends: frontends(port, otherPort),
      targets: [aTarget({ id: 'web-1.a.80', port: one.port })],
    }),
  );
  const { coordinator, directory } = driven;
  const load = new Load(port, { keepAlive: 3, fresh: 2 });
  await load.more(20);
  await directory.ask(`shutdown frontend http-${otherPort}`);
  // The port stays open, and nobody takes what comes: who comes meanwhile waits.
  await eventually(async () => {
    expect((await get(otherPort)).status).toBe(200);
    expect(coordinator.status?.history).toMatchObject({
      reloads: 1,
      loadings: [
        { reason: `somebody else shut frontend "http-${otherPort}"` },
        { reason: 'none ran' },
      ],
    });
  }, mended);

  const { pid } = await directory.info();
  process.kill(directory.masterPid!, 'SIGUSR2');
  await eventually(async () => {
    expect((await directory.info()).pid).not.toBe(pid);
  });
  await load.more(20);
  expect((await load.stop()).failures).toEqual([]);
  coordinator.change([], ['web-1.a.80']);
  await eventually(async () => {
    expect((await get(port)).status).toBe(503);
  }, mended);
});

test('a reload carries the states of servers over, and the worker before it ends in bounded time', async () => {
  const [port, otherPort, nobody] = [await freePort(), await freePort(), await freePort()];
  await using one = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  // The first worker has to end 1 s after a reload, by the line that says 10 minutes to all others.
  const hasty = join(directory.path, 'hasty-haproxy');
  const lines = [
    '#!/bin/sh',
    'for file; do case $file in */haproxy.cfg)',
    '  sed -i "s/^  hard-stop-after 10m$/  hard-stop-after 1s/" "$file";;',
    'esac; done',
    `exec ${haproxyProgram} "$@"`,
  ];
  writeFileSync(hasty, `${lines.join('\n')}\n`, { mode: 0o700 });
  const targets = [
    aTarget({ id: 'web-1.a.80', port: one.port }),
    aTarget({ id: 'web-2.b.80', port: nobody }),
  ];
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port, { targets }));
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path, haproxy: hasty }),
  );
  await coordinator.untilApplied(1);
  const healths = async () => {
    const { servers } = parseCounters(await directory.ask('show stat web 4 -1'));
    return servers.filter(({ id }) => id.startsWith('web-')).map(({ id, health }) => [id, health]);
  };
  const known = [
    ['web-1.a.80', 'up'],
    ['web-2.b.80', 'down'],
  ];
  await eventually(async () => {
    expect(await healths()).toEqual(known);
  });
  const { pid } = await directory.info();
  expect(directory.read('haproxy.cfg')).toContain('hard-stop-after 1s');
  const slow = get(port, '/slow', { method: 'POST' }).then(
    ({ status }) => status,
    () => 0,
  );
  await eventually(() => {
    expect(one.waiting).toBe(1);
  });
  const load = new Load(port, { keepAlive: 0, fresh: 3 });
  await load.more(10);

  coordinator.replace(
    aSnapshot(port, { version: 2, targets, frontends: frontends(port, otherPort) }),
  );
  await coordinator.untilApplied(2);
  // Nobody would know so soon but by what the worker before knew.
  expect(await healths()).toEqual(known);
  expect(directory.read('haproxy.log')).not.toContain('corrupted');
  expect(await slow).not.toBe(200);
  await eventually(() => {
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });
  await load.more(10);
  expect((await load.stop()).failures).toEqual([]);
  expect(directory.read('haproxy.cfg')).toContain('hard-stop-after 10m');
});

test('a HAProxy that is killed while it reloads is started again at once, with what it was to load', async () => {
  const [port, otherPort] = [await freePort(), await freePort()];
  await using one = await TestBackend.start('one');
  const targets = [aTarget({ id: 'web-1.a.80', port: one.port })];
  await using driven = await DrivenProxy.start(aSnapshot(port, { targets }));
  const { coordinator, directory } = driven;
  const master = directory.masterPid!;
  const { pid } = await directory.info();
  const commandOf = (process: number) => readFileSync(`/proc/${process}/cmdline`, 'latin1');
  const before = commandOf(master);
  coordinator.replace(
    aSnapshot(port, { version: 2, targets, frontends: frontends(port, otherPort) }),
  );
  // It begins anew with other arguments, and has no new worker yet.
  await eventually(
    () => {
      expect(commandOf(master)).not.toBe(before);
    },
    { intervalMs: 1 },
  );
  for (const each of [master, pid]) process.kill(each, 'SIGKILL');
  await eventually(
    async () => {
      expect((await get(otherPort)).status).toBe(200);
      expect((await get(port)).status).toBe(200);
    },
    { timeoutMs: 5_000 },
  );
  await coordinator.untilApplied(2);
  expect(coordinator.status?.history?.loadings?.[0]?.reason).toBe('the one before ended');
});
