import { expect, test } from 'vitest';
import { systemClock } from '../../../../shared/clock.ts';
import { TargetMode } from '../../../../shared/gen/fairlead/v1/load_balancer.ts';
import { FrontendMode } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { BackendProcess } from '../../../support/churn/backend-process.ts';
import { Traffic, type Entry } from '../../../support/churn/traffic.ts';
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
  proxyConfig,
  SpawnedProxyAgent,
} from '../../../support/haproxy.ts';

const plannedMs = 20_000;

/** Something that nobody planned, from its beginning until it had no effect any more. */
interface Incident {
  /** Name of the server that died; undefined: it was HAProxy. */
  readonly server: string | undefined;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Why a request failed, if it may have; undefined: it may not. */
function explain(entry: Entry, incidents: readonly Incident[]): string | undefined {
  const { kind, server, beganAtMs, endedAtMs } = entry;
  for (const incident of incidents) {
    if (beganAtMs > incident.toMs || endedAtMs < incident.fromMs) continue;
    if (incident.server === undefined) return 'HAProxy was away';
    // What the server may have begun to carry out is repeated only if that does no harm.
    const isOnce = kind === 'post' || kind === 'websocket';
    if (isOnce && server === '') return `${incident.server} died with it`;
    const isBegun = kind === 'big' || kind === 'websocket';
    if (isBegun && server === incident.server) return `${server} died in the middle of its answer`;
  }
  return undefined;
}

test('fails no request of any kind over planned changes, and explains each that fails over others', async () => {
  const [port, otherPort] = [await freePort(), await freePort()];
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port));
  const config = proxyConfig({ coordinator: coordinator.address, stateDir: directory.path });
  let agent = new SpawnedProxyAgent(config);
  const backends: BackendProcess[] = [];
  const incidents: Incident[] = [];
  let names = 0;

  const inEffect = (version: number) =>
    eventually(
      () => {
        expect(coordinator.appliedVersion).toBe(version);
      },
      { intervalMs: 2, timeoutMs: 30_000 },
    );
  const targetOf = ({ name, port: backendPort }: BackendProcess) =>
    aTarget({ id: name, port: backendPort });
  const add = async () => {
    const backend = await BackendProcess.start(`web-${++names}.x.80`);
    backends.push(backend);
    await inEffect(coordinator.change([targetOf(backend)]));
    return backend;
  };
  const drain = async (backend: BackendProcess) => {
    coordinator.change([{ ...targetOf(backend), mode: TargetMode.DRAIN }]);
    await eventually(
      () => {
        expect(coordinator.target(backend.name)).toMatchObject({ drained: true, inFlight: 0 });
      },
      { timeoutMs: 30_000 },
    );
    await backend.kill();
    coordinator.change([], [backend.name]);
  };
  const flap = async (backend: BackendProcess) => {
    for (let i = 0; i < 3; i++) {
      coordinator.change([{ ...targetOf(backend), mode: TargetMode.DRAIN }]);
      await inEffect(coordinator.change([targetOf(backend)]));
    }
  };
  const reload = async (more: boolean) => {
    const { version, targets } = coordinator.list!;
    const frontends = [port, ...(more ? [otherPort] : [])].map((each) => ({
      ...aSnapshot(each).frontends[0]!,
      name: `http-${each}`,
      mode: FrontendMode.HTTP,
    }));
    coordinator.replace(aSnapshot(port, { frontends, targets, version: version + 1 }));
    await inEffect(version + 1);
  };
  const upsets = [
    () => reload(true),
    async () => {
      await agent.kill();
      agent = new SpawnedProxyAgent(config);
    },
    () => reload(false),
    async () => {
      coordinator.shutdown();
      await coordinator.listen();
    },
  ];

  try {
    for (let i = 0; i < 3; i++) await add();
    await using traffic = new Traffic(port);
    const plannedUntil = systemClock.monotonic() + plannedMs;
    let cycles = 0;
    while (systemClock.monotonic() < plannedUntil || cycles < upsets.length) {
      const fresh = await add();
      await traffic.answered(fresh.name, 20);
      await flap(fresh);
      await upsets[cycles++ % upsets.length]!();
      await drain(backends.shift()!);
    }
    expect(traffic.failures).toEqual([]);
    expect(new Set(traffic.ledger.map(({ kind }) => kind)).size).toBe(6);

    for (let i = 0; i < 3; i++) {
      const victim = backends.shift()!;
      await traffic.answered(victim.name, 5);
      const fromMs = systemClock.monotonic();
      await victim.kill();
      // Until the coordinator has it from the node, HAProxy is on its own.
      await traffic.answered(backends[0]!.name, 50);
      await inEffect(coordinator.change([], [victim.name]));
      incidents.push({ server: victim.name, fromMs, toMs: systemClock.monotonic() });
      await add();
    }
    const fromMs = systemClock.monotonic();
    process.kill((await directory.info()).pid, 'SIGKILL');
    await eventually(
      async () => {
        expect((await get(port)).status).toBe(200);
      },
      { intervalMs: 5, timeoutMs: 30_000 },
    );
    incidents.push({ server: undefined, fromMs, toMs: systemClock.monotonic() });
    await traffic.answered(backends[0]!.name, 50);
    await traffic.stop();

    expect(traffic.failures.filter((entry) => explain(entry, incidents) === undefined)).toEqual([]);
    expect(traffic.ledger.length).toBeGreaterThan(2_000);
    expect(coordinator.status?.history?.restarts).toBe(1);
  } finally {
    await agent.kill();
    for (const backend of backends) await backend.kill();
  }
}, 180_000);
