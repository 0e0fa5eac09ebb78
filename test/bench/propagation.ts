/**
 * How long it takes from an event of the engine until it is in effect in HAProxy, with 10, 100 and 1,000
 * backends, against a floor that is measured in turns with it: the same hops with no logic.
 *
 * A container's process is killed by SIGKILL, and its engine starts it again: that makes one change that
 * takes a server out and one that brings one in. Time runs from the SIGKILL, or from the time that the
 * engine gives its start, to HAProxy's own notice that the server's state changed.
 *
 * The floor takes what the engine and its containerd tell, as a script would; Fairlead's agent has the end of a
 * process from the kernel, before either tells, and asks the engine about a start before it tells of it.
 */
import { Lab } from '../support/lab/lab.ts';
import { prepareImages } from '../support/lab/images.ts';
import { Changes, type Delays } from './propagation/changes.ts';
import { Fairlead } from './propagation/fairlead.ts';
import { Floor } from './propagation/floor.ts';
import { startSimulatedBackends, type Place } from './propagation/place.ts';
import type { Side } from './propagation/side.ts';
import { numberArgument } from './support/arguments.ts';
import { atMost, runBenchmark, type Findings, type Say } from './support/benchmark.ts';
import { EngineEvents } from './support/engine-events.ts';
import { summarize, type Summary } from './support/statistics.ts';
import { renderTable } from './support/table.ts';
import { FineWallClock } from './support/wall-clock.ts';

/** Real containers of each side. */
const realContainers = 10;
/** One size is measured alone by `--backends 100 --kills 30`. */
const backends = numberArgument('--backends');
/** Up and down again, so that a machine that gets slower or faster meanwhile favours no size. */
const wholeRun = [
  { backends: 10, kills: 50 },
  { backends: 100, kills: 50 },
  { backends: 1_000, kills: 100 },
  { backends: 100, kills: 50 },
  { backends: 10, kills: 50 },
];
const phases =
  backends === undefined ? wholeRun : [{ backends, kills: numberArgument('--kills') ?? 50 }];
const warmUpKills = 4;

const limits = { out: 1.3, p50: 1.5, p99: 2, flat: 1.2 };

type Samples = Record<Side['name'], Delays[]>;

async function measure(say: Say, signal: AbortSignal): Promise<Findings> {
  const images = await prepareImages({}, signal);
  await using lab = await Lab.start({ hosts: 1, label: 'bench:propagation', images }, signal);
  const place: Place = { lab, host: lab.hosts[0]!, image: images.base };
  await startSimulatedBackends(place);
  const clock = new FineWallClock();
  say('starting Fairlead');
  await using fairlead = await Fairlead.start(place, realContainers, clock, signal);
  say('starting the floor');
  await using floor = await Floor.start(place, realContainers, clock, signal);
  await using events = await EngineEvents.open(place.host.dockerSocket);
  const changes = new Changes(place.host.dockerSocket, events, clock);
  const sides: readonly [Side, Side] = [fairlead, floor];

  const bySize = new Map<number, Samples>();
  for (const { backends, kills } of phases) {
    say(`resizing to ${backends} backends`);
    for (const side of sides) await side.resize(backends, signal);
    clock.synchronize();
    say(`killing ${kills} containers of each side`);
    await takeTurns(changes, sides, warmUpKills, signal);
    const taken = await takeTurns(changes, sides, kills, signal);
    const samples = bySize.get(backends) ?? { fairlead: [], floor: [] };
    for (const { name } of sides) samples[name].push(...taken[name]);
    bySize.set(backends, samples);
  }
  return evaluate(bySize);
}

/** One kill on each side, then again, each side going first every other time. */
async function takeTurns(
  changes: Changes,
  [one, other]: readonly [Side, Side],
  kills: number,
  signal: AbortSignal,
): Promise<Samples> {
  const samples: Samples = { fairlead: [], floor: [] };
  for (let kill = 0; kill < kills; kill++) {
    for (const side of kill % 2 === 0 ? [one, other] : [other, one]) {
      samples[side.name].push(await changes.make(side, signal));
    }
  }
  return samples;
}

interface SideResult {
  readonly out: Summary;
  readonly in: Summary;
}

function evaluate(bySize: ReadonlyMap<number, Samples>): Findings {
  const results = [...bySize].map(([backends, samples]) => {
    const fairlead = summarizeSide(samples.fairlead);
    const floor = summarizeSide(samples.floor);
    return { backends, fairlead, floor };
  });
  const smallest = results[0]!;
  const largest = results.at(-1)!;
  const checks = results.flatMap(({ backends, fairlead, floor }) => [
    atMost(
      `p50 of kill to out over the floor's, ${backends} backends`,
      fairlead.out.p50 / floor.out.p50,
      limits.out,
    ),
    atMost(
      `p50 of start to in over the floor's, ${backends} backends`,
      fairlead.in.p50 / floor.in.p50,
      limits.p50,
    ),
    atMost(
      `p99 of start to in over the floor's, ${backends} backends`,
      fairlead.in.p99 / floor.in.p99,
      limits.p99,
    ),
  ]);
  const growth = largest.fairlead.in.p50 / smallest.fairlead.in.p50;
  const words = `p50 of start to in with ${largest.backends} backends over p50 with ${smallest.backends}`;
  const rows = results.flatMap(({ backends, ...each }) =>
    (['fairlead', 'floor'] as const).flatMap((side) =>
      (['out', 'in'] as const).map((direction) => {
        const { count, min, p50, p90, p99, max } = each[side][direction];
        return [backends, side, direction, count, min, p50, p90, p99, max];
      }),
    ),
  );
  const headings = ['backends', 'side', 'change', 'count', 'min', 'p50', 'p90', 'p99', 'max'];
  return {
    results: { unit: 'ms', sizes: results },
    tables: [
      `ms from the kill, and from the engine's start, to the effect in HAProxy\n\n${renderTable(headings, rows)}`,
    ],
    checks: [...checks, atMost(words, growth, limits.flat)],
  };
}

function summarizeSide(delays: readonly Delays[]): SideResult {
  return {
    out: summarize(delays.map(({ outMs }) => outMs)),
    in: summarize(delays.map(({ inMs }) => inMs)),
  };
}

await runBenchmark({ name: 'bench:propagation', limitMs: 25 * 60_000 }, measure);
