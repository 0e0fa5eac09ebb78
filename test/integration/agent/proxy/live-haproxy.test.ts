import { expect, test } from 'vitest';
import { capabilitiesOf } from '../../../../agent/proxy/capabilities.ts';
import { HaproxyProcess } from '../../../../agent/proxy/haproxy-process.ts';
import { LiveHaproxy } from '../../../../agent/proxy/live-haproxy.ts';
import type { ServerStep } from '../../../../agent/proxy/plan-servers.ts';
import { statePaths } from '../../../../agent/proxy/state-directory.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { createLogger } from '../../../../shared/logger.ts';
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
  proxyConfig,
  RunningProxyAgent,
  TestBackend,
} from '../../../support/haproxy.ts';

const never = new AbortController().signal;
const server = { backend: 'web', id: 'web-1.a.80' };
const drain: ServerStep = { kind: 'drain', server };

/** A HAProxy with one server, which no agent looks after any more. */
async function startHaproxy(directory: HaproxyDirectory, port: number, backend: TestBackend) {
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [aTarget({ id: server.id, port: backend.port })] }),
  );
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await eventually(() => {
    expect(coordinator.appliedVersion).toBe(1);
  });
}

async function attach(directory: HaproxyDirectory): Promise<LiveHaproxy> {
  const haproxy = new HaproxyProcess(
    statePaths(directory.path),
    {
      binary: haproxyProgram,
      ...{ commandTimeoutMs: 2_000, startTimeoutMs: 10_000, sharesOutput: false, capabilitiesOf },
    },
    { clock: systemClock, log: createLogger({ level: 'silent', process: 'test' }) },
  );
  return await LiveHaproxy.attach(await haproxy.connect(never), haproxy, never);
}

test('what drains is read with the order, once, and not any more when it was told to serve in between', async () => {
  const port = await freePort();
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  await startHaproxy(directory, port, backend);
  const live = await attach(directory);
  const inFlight = async () =>
    (await live.readInFlight(['web/web-1.a.80'], never)).get('web/web-1.a.80');
  const withSlowRequest = async (action: () => Promise<unknown>) => {
    const slow = get(port, '/slow');
    await eventually(() => {
      expect(backend.waiting).toBe(1);
    });
    await action();
    backend.finishSlow();
    await slow;
    await eventually(async () => {
      expect(await directory.ask('show stat web 4 -1')).toMatch(/^web,web-1\.a\.80,0,\d+,0,/m);
    });
  };

  await withSlowRequest(() => live.carryOut([drain]));
  expect(await inFlight()).toBe(1);
  expect(await inFlight()).toBe(0);

  await live.carryOut([{ kind: 'ready', server }]);
  await live.carryOut([drain]);
  await live.carryOut([{ kind: 'ready', server }]);
  await withSlowRequest(async () => {
    expect(await inFlight()).toBe(1);
  });
  await withSlowRequest(() => live.carryOut([drain]));
  live.forgetReadings();
  expect(await inFlight()).toBe(0);
  live.close();
});
