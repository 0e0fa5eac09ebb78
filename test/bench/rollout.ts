/**
 * What clients notice while a service of eight containers on four hosts is scaled, replaced and moved, and while
 * parts die: a ledger of every request through the load balancer, and how long each change takes. The same with
 * Swarm mode of the same engines, with HAProxy before it as one sets it up there.
 *
 *   rollout.ts [--json] [--side fairlead|swarm] [--only WORDS]
 */
import { setMaxListeners } from 'node:events';
import { ChildController } from '../../shared/abort.ts';
import { systemClock } from '../../shared/clock.ts';
import { Traffic, type Entry } from '../support/churn/traffic.ts';
import { helloImage, proxyImage } from '../support/fleet/lab-site.ts';
import { programs } from '../support/fleet/programs.ts';
import { prepareImages } from '../support/lab/images.ts';
import { Lab } from '../support/lab/lab.ts';
import { FairleadSide } from './rollout/fairlead-side.ts';
import { scenes, type Outcome, type Scene } from './rollout/scenes.ts';
import type { Side } from './rollout/side.ts';
import { SwarmSide } from './rollout/swarm-side.ts';
import { atMost, runBenchmark, type Check, type Findings, type Say } from './support/benchmark.ts';
import { renderTable } from './support/table.ts';

/** Some 100 short requests a second, half of them on connections of their own, and nearly 3 that take 3 s. */
const load = { clients: { kept: 3, fresh: 3, slow: 8 }, pauseMs: 50 } as const;
/** Before and after each scene, so that what is odd belongs to it. */
const calmMs = 1_000;
/** A short request that takes longer waited for something that was not there. */
const promptMs = 1_000;
const sceneLimitMs = 90_000;

type SideName = Side['name'];

/** What clients noticed of a scene. */
interface SceneRecord {
  readonly scene: string;
  readonly side: SideName;
  readonly tookMs: number | null;
  readonly requests: number;
  readonly slow: number;
  readonly failed: number;
  /** Of those, and of short ones that had to wait: what began when the harm should have been over. */
  readonly late: number;
  /** Of the short ones that were answered. */
  readonly worstMs: number;
  readonly failures: readonly (Pick<Entry, 'kind' | 'server' | 'failure'> & {
    readonly atMs: number;
  })[];
}

async function measure(say: Say, signal: AbortSignal): Promise<Findings> {
  const images = await prepareImages(
    { hello: helloImage, proxy: { tag: proxyImage, bundlePath: programs.proxy } },
    signal,
  );
  const sides = {
    fairlead: { hosts: 5, start: (lab: Lab) => FairleadSide.start(lab, signal) },
    swarm: { hosts: 6, start: (lab: Lab) => SwarmSide.start(lab, signal) },
  } satisfies { readonly [Name in SideName]: object };
  const chosen = option('--side');
  const only = option('--only') ?? '';
  const records: SceneRecord[] = [];
  for (const name of ['fairlead', 'swarm'] as const) {
    if (chosen !== undefined && chosen !== name) continue;
    say(`starting ${name}`);
    const { hosts, start } = sides[name];
    await using lab = await Lab.start({ hosts, label: 'bench:rollout', images }, signal);
    await using side = await start(lab);
    for (const scene of scenes.filter((each) => each.name.includes(only))) {
      const record = await play(side, scene, signal);
      records.push(record);
      say(`${name}, ${scene.name}: ${secondsOf(record)} s, ${record.failed} failed`);
    }
  }
  return evaluate(records);
}

async function play(side: Side, scene: Scene, signal: AbortSignal): Promise<SceneRecord> {
  using limited = new ChildController(signal);
  const { signal: limit } = limited;
  setMaxListeners(0, limit);
  void systemClock.sleep(sceneLimitMs, limit).then(() => {
    limited.abort(new Error(`${scene.name} was not done within ${sceneLimitMs} ms`));
  });
  await using traffic = new Traffic(side.port, { host: side.host, ...load });
  await systemClock.sleep(calmMs, limit);
  let beganAtMs = systemClock.monotonic();
  let outcome: Outcome = { tookMs: null };
  try {
    await side.settled(limit);
    beganAtMs = systemClock.monotonic();
    outcome = await scene.run(side, limit);
    if (scene.isLast !== true) await side.settled(limit);
  } catch (error) {
    // One that does not come to its end is a finding, and what clients noticed of it as well.
    if (!limit.aborted || signal.aborted) throw error;
  }
  await systemClock.sleep(calmMs, signal);
  await traffic.stop();
  return recordOf(side.name, scene, { ...outcome, beganAtMs, ledger: traffic.ledger });
}

function recordOf(
  side: SideName,
  { name: scene, harmMs = 0 }: Scene,
  outcome: Outcome & { readonly beganAtMs: number; readonly ledger: readonly Entry[] },
): SceneRecord {
  const { tookMs, beganAtMs, ledger, incidentAtMs = beganAtMs } = outcome;
  const failures = ledger.filter(({ failure }) => failure !== '');
  const short = ledger.filter(({ kind }) => kind !== 'slow');
  const waited = short.filter((entry) => durationOf(entry) > promptMs && entry.failure === '');
  const isLate = (entry: Entry) => entry.beganAtMs > incidentAtMs + harmMs;
  return {
    ...{ scene, side, tookMs, requests: ledger.length, failed: failures.length },
    slow: ledger.length - short.length,
    late: [...failures, ...waited].filter(isLate).length,
    worstMs: Math.max(0, ...short.filter(({ failure }) => failure === '').map(durationOf)),
    failures: failures.map(({ kind, server, failure, beganAtMs: atMs }) => ({
      ...{ kind, server, failure, atMs: atMs - incidentAtMs },
    })),
  };
}

function durationOf({ beganAtMs, endedAtMs }: Entry): number {
  return endedAtMs - beganAtMs;
}

function evaluate(records: readonly SceneRecord[]): Findings {
  const rows = scenes.flatMap(({ name }) =>
    records
      .filter(({ scene }) => scene === name)
      .map((record) => [
        ...[name, record.side, secondsOf(record), record.requests, record.slow],
        ...[record.failed, record.late, Math.round(record.worstMs)],
      ]),
  );
  const headings = ['scene', 'side', 'seconds', 'requests', 'slow', 'failed', 'late', 'worst ms'];
  const table = renderTable(headings, rows);
  return {
    results: { load, records },
    tables: [
      `each scene under load; slow: requests that take 3 s; late: of those that failed or waited longer than ${promptMs} ms,\n` +
        `what began when it should have been over; worst: of the short ones that were answered\n\n${table}`,
    ],
    checks: scenes.flatMap((scene) => checksOf(scene, records)),
  };
}

function checksOf(scene: Scene, records: readonly SceneRecord[]): Check[] {
  const of = (side: SideName) =>
    records.find((record) => record.scene === scene.name && record.side === side);
  const ours = of('fairlead');
  const theirs = of('swarm');
  if (ours === undefined) return [];
  const { name, aimMs, harmMs } = scene;
  const tookMs = ours.tookMs ?? Infinity;
  return [
    harmMs === undefined
      ? atMost(`${name}: failed requests`, ours.failed, 0)
      : atMost(`${name}: requests that failed or waited, begun ${harmMs} ms after`, ours.late, 0),
    ...(aimMs === undefined ? [] : [atMost(`${name}: seconds`, tookMs / 1_000, aimMs / 1_000)]),
    ...(theirs?.tookMs == null
      ? []
      : [atMost(`${name}: time over that of Swarm`, tookMs / theirs.tookMs, 1)]),
  ];
}

function secondsOf({ tookMs }: SceneRecord): string | number {
  return tookMs === null ? 'never' : tookMs / 1_000;
}

function option(name: string): string | undefined {
  const index = process.argv.indexOf(name);
  return index < 0 ? undefined : process.argv[index + 1];
}

await runBenchmark({ name: 'bench:rollout', limitMs: 15 * 60_000 }, measure);
