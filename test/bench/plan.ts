/**
 * What decisions cost in a big fleet: where a container goes among 1,000 nodes that have 100,000 containers, what
 * comes next for a service of 1,000, and what it takes to load all of them at start, and to hold them.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Service } from '../../coordinator/model.ts';
import { systemClock } from '../../shared/clock.ts';
import { aContainer, aRollout } from '../support/builders.ts';
import { TemporaryDirectory } from '../support/temporary-directory.ts';
import { containerCount, fill, openCore, perService, type Core } from './plan/big-fleet.ts';
import { atMost, runBenchmark, type Findings, type Say } from './support/benchmark.ts';
import { summarize } from './support/statistics.ts';
import { renderTable } from './support/table.ts';

const runs = 50;
const loads = 3;

/** How long each of many calls took, in milliseconds. */
type Times = readonly number[];

interface Load {
  readonly ms: number;
  readonly containers: number;
  readonly heldBytes: number;
  readonly rss: number;
}

async function measure(say: Say, signal: AbortSignal): Promise<Findings> {
  await using directory = new TemporaryDirectory();
  const path = (name: string) => directory.join(`${name}.db`);
  say(`making ${containerCount} containers`);
  const times: Record<string, Times> = {};
  {
    using core = openCore(path('full'));
    fill(core);
    say('deciding');
    Object.assign(times, decisions(core), plans(core));
  }
  {
    using core = openCore(path('empty'));
    fill(core, 0);
  }
  const taken: Load[] = [];
  for (let n = 1; n <= loads; n++) {
    say(`loading, ${n} of ${loads}`);
    taken.push(await load(path('full'), signal));
  }
  const empty = await load(path('empty'), signal);
  return evaluate(times, taken, empty);
}

/** Each is made after something changed, as in a fleet that works. */
function decisions({ store, placement }: Core): Record<string, Times> {
  const service = [...store.services.values()][0]!;
  const spread: Service = { ...service, spec: { ...service.spec, strategy: 'high-availability' } };
  const pending = aContainer({ serviceId: service.id, nodeId: null, definition: null });
  const containers = [...store.containers.values()];
  const change = (turn: number) => {
    const container = containers[turn]!;
    store.transact((tx) => {
      tx.containers.put({ ...container, outdated: !container.outdated });
    });
  };
  return {
    'decision, emptiest node': timed((turn) => {
      placement.decide(service, [pending]);
      return () => {
        change(turn);
      };
    }),
    'decision, high availability': timed(() => void placement.decide(spread, [pending])),
    'decision, nowhere': timed(() => {
      const spec = { ...service.spec, tags: ['nowhere'] };
      placement.decide({ ...service, spec }, [pending]);
    }),
  };
}

function plans({ store, orchestrator }: Core): Record<string, Times> {
  const service = [...store.services.values()][1]!;
  const like = (change: Partial<Service['spec']>, more: Partial<Service> = {}): Service => ({
    ...{ ...service, ...more },
    spec: { ...service.spec, ...change },
  });
  const rollout = aRollout({ sinceMs: systemClock.now() });
  const next = { revision: 2, base: { revision: 1, alike: [] }, rollout };
  return {
    'plan, as wanted': timed(() => void orchestrator.preview(service)),
    'plan, 1,000 to 10': timed(() => void orchestrator.preview(like({ replicas: 10 }))),
    'plan, 1,000 to 2,000': timed(() => void orchestrator.preview(like({ replicas: 2_000 }))),
    'plan, another revision': timed(() => void orchestrator.preview(like({}, next))),
  };
}

/** Calls `act` often; what it returns is done between, and not counted. */
function timed(act: (turn: number) => unknown): Times {
  const times: number[] = [];
  for (let turn = 0; turn < runs + 10; turn++) {
    const startedAt = systemClock.monotonic();
    const between = act(turn);
    times.push(systemClock.monotonic() - startedAt);
    if (typeof between === 'function') (between as () => void)();
  }
  // The first calls warm up.
  return times.slice(10);
}

async function load(path: string, signal: AbortSignal): Promise<Load> {
  const script = join(import.meta.dirname, 'plan', 'load.ts');
  const args = ['--import', 'tsx', '--expose-gc', script, path];
  const { stdout } = await promisify(execFile)(process.execPath, args, { signal });
  return JSON.parse(stdout) as Load;
}

function evaluate(
  times: Readonly<Record<string, Times>>,
  taken: readonly Load[],
  empty: Load,
): Findings {
  const summaries = Object.entries(times).map(([name, ms]) => ({ name, ms: summarize(ms) }));
  const rows = summaries.map(({ name, ms }) => [name, ms.p50, ms.p99, ms.max]);
  const held = Math.min(...taken.map(({ heldBytes }) => heldBytes)) - empty.heldBytes;
  const each = held / containerCount;
  const fastest = Math.min(...taken.map(({ ms }) => ms));
  const loading = [...taken.map((one) => ['full', one] as const), ['empty', empty] as const];
  const worst = (kind: string) =>
    Math.max(...summaries.filter(({ name }) => name.startsWith(kind)).map(({ ms }) => ms.p50));
  return {
    results: { unit: 'ms', times: summaries, loads: taken, empty },
    tables: [
      `ms on 1,000 nodes with ${containerCount} containers\n\n${renderTable(['what', 'p50', 'p99', 'max'], rows)}`,
      renderTable(
        ['database', 'containers', 'loaded in ms', 'held MB', 'rss MB'],
        loading.map(([name, { containers, ms, heldBytes, rss }]) => [
          ...[name, containers, ms, heldBytes / 1e6, rss / 1e6],
        ]),
      ),
    ],
    checks: [
      atMost('p50 of a decision in ms', worst('decision'), 1),
      atMost(`p50 of a plan of ${perService} containers in ms`, worst('plan'), 5),
      atMost(`loading ${containerCount} containers in ms`, fastest, 2_000),
      atMost('memory a container in bytes', each, 2_000),
    ],
  };
}

await runBenchmark({ name: 'bench:plan', limitMs: 10 * 60_000 }, measure);
