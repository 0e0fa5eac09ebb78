import { Agent } from 'node:http';
import { expect, test } from 'vitest';
import { FrontendMode } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { capabilitiesOf } from '../../../../agent/proxy/capabilities.ts';
import { parseCounters } from '../../../../agent/proxy/server-state.ts';
import { eventually } from '../../../support/eventually.ts';
import { DrivenProxy } from '../../../support/driven-proxy.ts';
import {
  aSnapshot,
  aTarget,
  FakeProxyCoordinator,
} from '../../../support/fake-proxy-coordinator.ts';
import {
  freePort,
  get,
  HaproxyDirectory,
  proxyConfig,
  RunningProxyAgent,
  TestBackend,
} from '../../../support/haproxy.ts';
import { describeWithNetworks } from '../../../support/needs.ts';
import { VanishingHost } from '../../../support/vanishing-host.ts';

describeWithNetworks('a host that vanished', () => {
  test('what was sent there is ended and repeated elsewhere where that is safe, acknowledged or not', async () => {
    const port = await freePort();
    await using host = await VanishingHost.start();
    await using well = await TestBackend.start('well');
    await using directory = new HaproxyDirectory();
    await using coordinator = await FakeProxyCoordinator.start(
      aSnapshot(port, {
        targets: [aTarget({ id: 'web-1.a', address: host.address, port: host.port })],
      }),
    );
    await using _agent = new RunningProxyAgent(
      proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
    );
    const applied = async (version: number) => {
      await eventually(() => {
        expect(coordinator.appliedVersion).toBe(version);
      });
    };
    const inFlight = async (count: number) => {
      await eventually(async () => {
        const { servers } = parseCounters(await directory.ask('show stat -1 4 -1'));
        expect(servers.find(({ id }) => id === 'web-1.a')?.inFlight).toBe(count);
      });
    };
    await applied(1);
    const ask = async (method: string, agent?: Agent) => {
      const options = { method, ...(agent === undefined ? {} : { agent }) };
      return await get(port, '/30000', options).then(
        ({ status, body }) => (status === 200 ? body : String(status)),
        (error: unknown) => (error as NodeJS.ErrnoException).code ?? String(error),
      );
    };
    // What comes next from clients who were here before is sent by connections that HAProxy has kept.
    const clients = [1, 2].map(() => new Agent({ keepAlive: true, maxSockets: 1 }));
    await Promise.all(clients.map((agent) => get(port, '/100', { agent })));
    const acknowledged = [ask('GET'), ask('POST')];
    await inFlight(2);
    await host.vanish();
    const startedAt = performance.now();
    const unacknowledged = [ask('GET', clients[0]), ask('POST', clients[1])];
    await inFlight(4);
    await applied(coordinator.change([aTarget({ id: 'web-2.b', port: well.port })]));
    const answers = await Promise.all([...acknowledged, ...unacknowledged]);
    const { repeatsEnded } = capabilitiesOf((await directory.info()).version)!;
    // HTTP/1 has it that a kept connection on which nothing was answered is closed without a word.
    const last = [repeatsEnded ? 'well' : 'ECONNRESET', 'ECONNRESET'];
    expect(answers).toEqual(['well', '502', ...last]);
    // The time for which servers may be silent is 50 s.
    expect(performance.now() - startedAt).toBeLessThan(25_000);
    for (const each of clients) each.destroy();
  });

  test('what the worker before a reload sent there is ended too', async () => {
    const [port, other] = [await freePort(), await freePort()];
    await using host = await VanishingHost.start();
    const list = (version: number, ports: readonly number[]) =>
      aSnapshot(port, {
        version,
        frontends: ports.map((each) => ({
          ...{ name: `http_${each}`, port: each, mode: FrontendMode.HTTP, defaultBackend: 'web' },
        })),
        targets: [aTarget({ id: 'web-1.a', address: host.address, port: host.port })],
      });
    await using driven = await DrivenProxy.start(list(1, [port]));
    const { coordinator, directory } = driven;
    const { pid } = await directory.info();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await get(port, '/100', { agent });
    await host.vanish();
    const startedAt = performance.now();
    const sent = get(port, '/30000', { method: 'POST', agent }).then(
      ({ status }) => String(status),
      (error: unknown) => (error as NodeJS.ErrnoException).code,
    );
    await eventually(async () => {
      expect(await directory.ask('show sess')).toMatch(/ be=web srv=web-1.a /);
    });
    coordinator.replace(list(2, [port, other]));
    await coordinator.untilApplied(2);
    expect((await directory.info()).pid).not.toBe(pid);
    expect(await sent).toBe('ECONNRESET');
    expect(performance.now() - startedAt).toBeLessThan(25_000);
    agent.destroy();
  });
});
