/**
 * What the proxy agent adds to HAProxy, with 10, 1,000 and 10,000 servers: how long a change takes until
 * the new server answers its first request, and how many changes a second there can be, against the same
 * commands written to the socket of the same HAProxy; what 50 changes a second cost those who send
 * requests; and how much memory the agent needs.
 *
 * From the kill of a container to its server being out of turn is measured by bench:propagation.
 */
import { join } from 'node:path';
import { systemClock } from '../../shared/clock.ts';
import { requireBuild } from '../support/fleet/programs.ts';
import { TemporaryDirectory } from '../support/temporary-directory.ts';
import { FairleadSide } from './proxy/fairlead-side.ts';
import { FloorSide } from './proxy/floor-side.ts';
import { measureLoad, type UnderLoad } from './proxy/load-beside-changes.ts';
import type { LoadResult } from './proxy/load.ts';
import { Probe } from './proxy/probe.ts';
import { ShippedAgent } from './proxy/shipped-agent.ts';
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
/** Of the first ones in a row a single one may be twice as fast as its neighbour: many are needed. */
const bursts = { rows: 4, inRow: 12, changes: 200 };
/**
 * An agent and a HAProxy run for weeks: each side has its code compiled and its memory in use before it is measured.
 * What the bursts left behind is deleted five seconds later, and is to be gone by then.
 */
const warmUp = { bursts: 12, settleMs: 6_500 };
/** The p99 of two windows differs by a fifth at random: with 10 rounds the median ratio was 0.05 to 0.1 off. */
const load = {
  rounds: numberArgument('--rounds') ?? 24,
  ...{ seconds: 4, servers: 10, changesPerSecond: 50 },
};
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
  readonly rateRatio: number;
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
  const underLoad = await measureLoad(join(directory.path, 'load'), listen, load, signal);
  say(`memory with ${crowd.servers} servers`);
  const memoryMiB = await measureMemory(signal);
  return evaluate(results, underLoad, memoryMiB);
}

async function warmBothUp(sides: readonly Side[], signal: AbortSignal): Promise<void> {
  for (let i = 0; i < warmUp.bursts; i++) {
    signal.throwIfAborted();
    for (const side of sides) await burst(side);
  }
  await settle(sides, signal);
}

/** Until what the bursts left behind is deleted. */
async function settle(sides: readonly Side[], signal: AbortSignal): Promise<void> {
  await systemClock.sleep(warmUp.settleMs, signal);
  // The floor deletes what is due when it takes away.
  for (const side of sides) await side.remove([]);
}

async function measureChanges(
  directory: string,
  { servers, singles }: (typeof sizes)[number],
  signal: AbortSignal,
): Promise<SizeResult> {
  await using fairlead = await FairleadSide.start(`${directory}f`, listen.fairlead, servers);
  await using floor = await FloorSide.start(`${directory}r`, listen.floor, fairlead);
  const sides = [fairlead, floor];
  await warmBothUp(sides, signal);
  const samples: Record<Side['name'], Samples> = {
    fairlead: { inEffectMs: [], firstMs: [], perSecond: [] },
    floor: { inEffectMs: [], firstMs: [], perSecond: [] },
  };
  for (let i = 0; i < bursts.rows * bursts.inRow; i++) {
    signal.throwIfAborted();
    for (const side of i % 2 === 0 ? sides : sides.toReversed()) {
      samples[side.name].perSecond.push(await burst(side));
    }
    if ((i + 1) % bursts.inRow === 0) await settle(sides, signal);
  }
  if (singles > 10) for (const side of sides) await single(side);
  for (let i = 0; i < singles; i++) {
    signal.throwIfAborted();
    for (const side of i % 2 === 0 ? sides : sides.toReversed()) {
      const { inEffectMs, firstMs } = await single(side);
      samples[side.name].inEffectMs.push(inEffectMs);
      samples[side.name].firstMs.push(firstMs);
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
    // Of neighbours: the more servers were taken away and are not deleted yet, the slower are both.
    rateRatio: percentile(
      samples.fairlead.perSecond.map((each, i) => each / (samples.floor.perSecond[i] ?? each)),
      0.5,
    ),
  };
}

/** From a change until the server that it adds is in turn, and until it has answered a request. */
async function single(side: Side): Promise<{ inEffectMs: number; firstMs: number }> {
  using probe = await Probe.open(side.port);
  const added = someServers(1);
  const fromMs = systemClock.monotonic();
  const elapsed = () => systemClock.monotonic() - fromMs;
  // Whichever fails first: without a HAProxy the other would never end.
  const [inEffectMs, firstMs] = await Promise.all([
    side.add(added).then(elapsed),
    probe.untilNew().then(elapsed),
  ]);
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
  // Of the two windows of a round, which are neighbours.
  const ratio = (pick: (each: LoadResult) => number) =>
    percentile(
      underLoad.fairlead.map((each, round) => pick(each) / pick(underLoad.floor[round] ?? each)),
      0.5,
    );
  const checks: Check[] = [
    ...sizesFound.flatMap(({ servers, first, rateRatio }) => [
      atMost(
        `p50 of change to first request over the floor's, ${servers} servers`,
        first.fairlead.p50 / first.floor.p50,
        limits.change,
      ),
      atLeast(`changes a second over the floor's, ${servers} servers`, rateRatio, limits.rate),
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
      percentile(
        underLoad.fairlead.map((r) => r.failures),
        1,
      ),
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
    side === 'fairlead' ? percentile(underLoad.agentMsPerChange, 0.5) : 0,
  ]);
  return {
    results: { sizes: sizesFound, underLoad, memoryMiB },
    tables: [
      renderTable(
        ['servers', 'side', 'in effect ms p50', 'first ms p50', 'p99', 'changes/s p50', 'min'],
        rows,
      ),
      renderTable(['side', 'requests/s', 'p99 ms', 'agent ms a change'], loadRows),
    ],
    checks,
  };
}

await runBenchmark({ name: 'bench:proxy', limitMs: 15 * 60_000 }, measure);
