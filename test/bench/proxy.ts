/**
 * What the proxy agent adds to HAProxy, with 10, 1,000 and 10,000 servers: how long a change takes until
 * the new server answers its first request, and how many changes a second there can be, against the same
 * commands written to the socket of the same HAProxy; what 50 changes a second cost those who send
 * requests; and how much memory the agent needs.
 *
 * From the kill of a container to its server being out of turn is measured by bench:propagation.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { TargetMode } from '../../shared/gen/fairlead/v1/load_balancer.ts';
import { systemClock } from '../../shared/clock.ts';
import { eventually } from '../support/eventually.ts';
import {
  aSnapshot,
  aTarget,
  FakeProxyCoordinator,
  proxyToken,
} from '../support/fake-proxy-coordinator.ts';
import { programs, requireBuild } from '../support/fleet/programs.ts';
import { HaproxyDirectory } from '../support/haproxy.ts';
import { TemporaryDirectory } from '../support/temporary-directory.ts';
import { FairleadSide, maxConnections } from './proxy/fairlead-side.ts';
import { FloorSide } from './proxy/floor-side.ts';
import { runLoad, type LoadResult } from './proxy/load.ts';
import { Probe } from './proxy/probe.ts';
import type { NewServer, Side } from './proxy/side.ts';
import { addressOf, ports, startSink } from './proxy/sink.ts';
import { numberArgument } from './support/arguments.ts';
import {
  atLeast,
  atMost,
  runBenchmark,
  type Check,
  type Findings,
  type Say,
} from './support/benchmark.ts';
import { readUsage } from './support/process-usage.ts';
import { percentile, summarize, type Summary } from './support/statistics.ts';
import { renderTable } from './support/table.ts';

/**
 * Among many servers a new one waits for its turn, much longer than the change takes: fewer one by one.
 * `--up-to 1000` leaves out what takes long, and `--up-to 0` measures load and memory alone.
 */
const sizes = [
  { servers: 10, singles: 100 },
  { servers: 1_000, singles: 30 },
  { servers: 10_000, singles: 2 },
].filter(({ servers }) => servers <= (numberArgument('--up-to') ?? Infinity));
const bursts = { count: 6, changes: 200 };
const load = { rounds: 4, seconds: 5, servers: 10, changesPerSecond: 50 };
const crowd = { servers: 10_000, seconds: 15 };
const limits = { change: 1.2, rate: 1 / 1.2, requests: 0.95, p99: 1.1, memoryMiB: 100 };
const listen = { fairlead: 19_100, floor: 19_101 };

interface Samples {
  readonly inEffectMs: number[];
  readonly firstMs: number[];
  readonly perSecond: number[];
}

interface SizeResult {
  readonly servers: number;
  readonly inEffect: Readonly<Record<Side['name'], Summary>>;
  readonly first: Readonly<Record<Side['name'], Summary>>;
  readonly rate: Readonly<Record<Side['name'], Summary>>;
}

let names = 0;

function someServers(count: number): NewServer[] {
  return Array.from({ length: count }, () => {
    const number = ++names;
    return { id: `new-${number}`, address: addressOf(10_000 + (number % 10_000)), port: ports.new };
  });
}

async function measure(say: Say, signal: AbortSignal): Promise<Findings> {
  requireBuild();
  await using directory = new TemporaryDirectory();
  await using _sink = await startSink(directory.path);
  const results: SizeResult[] = [];
  for (const size of sizes) {
    say(`changes among ${size.servers} servers`);
    results.push(await measureChanges(join(directory.path, String(size.servers)), size, signal));
  }
  say('load beside changes');
  const underLoad = await measureLoad(directory.path, signal);
  say(`memory with ${crowd.servers} servers`);
  const memoryMiB = await measureMemory(signal);
  return evaluate(results, underLoad, memoryMiB);
}

async function measureChanges(
  directory: string,
  { servers, singles }: (typeof sizes)[number],
  signal: AbortSignal,
): Promise<SizeResult> {
  await using fairlead = await FairleadSide.start(`${directory}f`, listen.fairlead, servers);
  await using floor = await FloorSide.start(`${directory}r`, listen.floor, fairlead);
  const sides = [fairlead, floor];
  const samples: Record<Side['name'], Samples> = {
    fairlead: { inEffectMs: [], firstMs: [], perSecond: [] },
    floor: { inEffectMs: [], firstMs: [], perSecond: [] },
  };
  if (singles > 10) for (const side of sides) await single(side);
  for (let i = 0; i < singles; i++) {
    signal.throwIfAborted();
    for (const side of i % 2 === 0 ? sides : sides.toReversed()) {
      const { inEffectMs, firstMs } = await single(side);
      samples[side.name].inEffectMs.push(inEffectMs);
      samples[side.name].firstMs.push(firstMs);
    }
  }
  for (let i = 0; i < bursts.count; i++) {
    signal.throwIfAborted();
    for (const side of i % 2 === 0 ? sides : sides.toReversed()) {
      samples[side.name].perSecond.push(await burst(side));
    }
  }
  const both = (pick: (each: Samples) => number[]) => ({
    fairlead: summarize(pick(samples.fairlead)),
    floor: summarize(pick(samples.floor)),
  });
  return {
    servers,
    inEffect: both((s) => s.inEffectMs),
    first: both((s) => s.firstMs),
    rate: both((s) => s.perSecond),
  };
}

/** From a change until the server that it adds is in turn, and until it has answered a request. */
async function single(side: Side): Promise<{ inEffectMs: number; firstMs: number }> {
  using probe = await Probe.open(side.port);
  const added = someServers(1);
  const fromMs = systemClock.monotonic();
  const elapsed = () => systemClock.monotonic() - fromMs;
  const inEffect = side.add(added).then(elapsed);
  await probe.untilNew();
  const firstMs = elapsed();
  const inEffectMs = await inEffect;
  await side.remove(added);
  return { inEffectMs, firstMs };
}

/** Changes a second, when many are there at once: half of them add, half take away. */
async function burst(side: Side): Promise<number> {
  const servers = someServers(bursts.changes);
  const fromMs = systemClock.monotonic();
  await side.add(servers);
  await side.remove(servers);
  return (2_000 * bursts.changes) / (systemClock.monotonic() - fromMs);
}

/** A proxy agent as it is shipped, and the coordinator that it follows. */
class ShippedAgent implements AsyncDisposable {
  readonly coordinator: FakeProxyCoordinator;
  readonly directory = new HaproxyDirectory();
  readonly port: number;
  readonly #child;

  private constructor(coordinator: FakeProxyCoordinator, port: number) {
    this.coordinator = coordinator;
    this.port = port;
    this.#child = spawn(process.execPath, [programs.proxy], {
      env: {
        PATH: process.env['PATH'],
        FAIRLEAD_COORDINATOR: coordinator.address,
        FAIRLEAD_TOKEN: proxyToken,
        FAIRLEAD_SERVICE: 'lb',
        FAIRLEAD_STATE_DIR: this.directory.path,
        FAIRLEAD_MAX_CONNECTIONS: String(maxConnections),
        FAIRLEAD_STATS_PORT: '0',
        FAIRLEAD_LOG_LEVEL: 'silent',
      },
      stdio: 'ignore',
    });
  }

  static async start(port: number, servers: number): Promise<ShippedAgent> {
    const targets = Array.from({ length: servers }, (_, index) =>
      aTarget({ id: `old-${index}`, address: addressOf(index), port: ports.old }),
    );
    const coordinator = await FakeProxyCoordinator.start(aSnapshot(port, { targets }));
    const agent = new ShippedAgent(coordinator, port);
    await agent.inEffect(1);
    return agent;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get original() {
    const { path } = this.directory;
    return { configuration: this.directory.read('haproxy.cfg'), directory: path, port: this.port };
  }

  async inEffect(version: number): Promise<void> {
    await eventually(
      () => {
        const { appliedVersion } = this.coordinator;
        if (appliedVersion < version) throw new Error(`version ${appliedVersion} is in effect`);
      },
      { timeoutMs: 60_000 },
    );
  }

  /** Servers come, drain and go, so many changes a second, until the signal aborts. */
  async churn(perSecond: number, signal: AbortSignal): Promise<void> {
    const fromMs = systemClock.monotonic();
    for (let made = 0; !signal.aborted; made++) {
      const id = `churn-${Math.floor(made / 3)}`;
      const target = aTarget({ id, address: addressOf(20_000 + (made % 1_000)), port: ports.old });
      if (made % 3 === 0) this.coordinator.change([target]);
      if (made % 3 === 1) this.coordinator.change([{ ...target, mode: TargetMode.DRAIN }]);
      if (made % 3 === 2) this.coordinator.change([], [id]);
      const dueMs = fromMs + ((made + 1) * 1_000) / perSecond;
      await systemClock.sleep(Math.max(0, dueMs - systemClock.monotonic()), signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
    await this.coordinator[Symbol.asyncDispose]();
    await this.directory[Symbol.asyncDispose]();
  }
}

type UnderLoad = Readonly<Record<Side['name'], LoadResult[]>>;

async function measureLoad(directory: string, signal: AbortSignal): Promise<UnderLoad> {
  await using agent = await ShippedAgent.start(listen.fairlead, load.servers);
  await using floor = await FloorSide.start(join(directory, 'load'), listen.floor, agent.original);
  const results: UnderLoad = { fairlead: [], floor: [] };
  for (const { port } of [agent, floor]) await runLoad(port, 1, signal);
  for (let round = 0; round < load.rounds; round++) {
    const withChanges = async () => {
      const stop = new AbortController();
      const churn = agent.churn(load.changesPerSecond, stop.signal);
      results.fairlead.push(await runLoad(agent.port, load.seconds, signal));
      stop.abort();
      await churn;
    };
    const alone = async () => {
      results.floor.push(await runLoad(floor.port, load.seconds, signal));
    };
    for (const run of round % 2 === 0 ? [withChanges, alone] : [alone, withChanges]) await run();
  }
  return results;
}

/** The most that the agent had, while servers came and went. */
async function measureMemory(signal: AbortSignal): Promise<number> {
  await using agent = await ShippedAgent.start(listen.fairlead, crowd.servers);
  const stop = AbortSignal.timeout(crowd.seconds * 1_000);
  const churn = agent.churn(load.changesPerSecond, stop);
  let rssMiB = 0;
  while (!stop.aborted && !signal.aborted) {
    rssMiB = Math.max(rssMiB, readUsage(agent.pid).rssMiB);
    await systemClock.sleep(100, stop);
  }
  await churn;
  return rssMiB;
}

function evaluate(
  sizesFound: readonly SizeResult[],
  underLoad: UnderLoad,
  memoryMiB: number,
): Findings {
  const middle = (side: Side['name'], pick: (each: LoadResult) => number) =>
    percentile(underLoad[side].map(pick), 0.5);
  const ratio = (pick: (each: LoadResult) => number) =>
    middle('fairlead', pick) / middle('floor', pick);
  const checks: Check[] = [
    ...sizesFound.flatMap(({ servers, first, rate }) => [
      atMost(
        `p50 of change to first request over the floor's, ${servers} servers`,
        first.fairlead.p50 / first.floor.p50,
        limits.change,
      ),
      atLeast(
        `changes a second over the floor's, ${servers} servers`,
        rate.fairlead.p50 / rate.floor.p50,
        limits.rate,
      ),
    ]),
    atLeast(
      'requests a second over the floor',
      ratio((r) => r.requestsPerSecond),
      limits.requests,
    ),
    atMost(
      'p99 of requests over the floor',
      ratio((r) => r.p99Ms),
      limits.p99,
    ),
    atMost(
      'failed requests beside changes',
      middle('fairlead', (r) => r.failures),
      0,
    ),
    atMost(`MiB of the agent with ${crowd.servers} servers`, memoryMiB, limits.memoryMiB),
  ];
  const sides = ['fairlead', 'floor'] as const;
  const rows = sizesFound.flatMap(({ servers, inEffect, first, rate }) =>
    sides.map((side) => [
      ...[servers, side, inEffect[side].p50, first[side].p50, first[side].p99],
      ...[rate[side].p50, rate[side].min],
    ]),
  );
  const loadRows = sides.map((side) => [
    side,
    middle(side, (r) => r.requestsPerSecond),
    middle(side, (r) => r.p99Ms),
  ]);
  return {
    results: { sizes: sizesFound, underLoad, memoryMiB },
    tables: [
      renderTable(
        ['servers', 'side', 'in effect ms p50', 'first ms p50', 'p99', 'changes/s p50', 'min'],
        rows,
      ),
      renderTable(['side', 'requests/s', 'p99 ms'], loadRows),
    ],
    checks,
  };
}

await runBenchmark({ name: 'bench:proxy', limitMs: 15 * 60_000 }, measure);
