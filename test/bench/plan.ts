/**
 * What decisions cost in a big fleet: where a container goes among 1,000 nodes that have 100,000 containers, what
 * comes next for a service of 1,000, and what it takes to load all of them at start, and to hold them.
 */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { TemporaryDirectory } from '../support/temporary-directory.ts';
import { containerCount, fill, openCore, perService } from './plan/big-fleet.ts';
import { atMost, runBenchmark, type Findings, type Say } from './support/benchmark.ts';
import { summarize } from './support/statistics.ts';
import { renderTable } from './support/table.ts';

const loads = 3;

const sqlite = createRequire(import.meta.url).resolve('better-sqlite3');

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
  const run = async (script: 'decide' | 'load', database: string): Promise<unknown> => {
    const args = ['--expose-gc', await builtFile(script, directory.path), path(database)];
    const { stdout } = await promisify(execFile)(process.execPath, args, { signal });
    return JSON.parse(stdout);
  };
  say(`making ${containerCount} containers, and deciding`);
  const times = (await run('decide', 'full')) as Record<string, Times>;
  {
    using core = openCore(path('empty'));
    fill(core, 0);
  }
  const taken: Load[] = [];
  for (let n = 1; n <= loads; n++) {
    say(`loading, ${n} of ${loads}`);
    taken.push((await run('load', 'full')) as Load);
  }
  const empty = (await run('load', 'empty')) as Load;
  return evaluate(times, taken, empty);
}

/** A script as one file: what compiles the sources on their way gives each function that it makes its name. */
async function builtFile(script: string, directory: string): Promise<string> {
  const outfile = join(directory, `${script}.cjs`);
  await build({
    ...{ entryPoints: [join(import.meta.dirname, 'plan', `${script}.ts`)], outfile },
    ...{ bundle: true, platform: 'node', target: 'node20', format: 'cjs', logLevel: 'error' },
    // By its full name: the file is not beside it.
    alias: { 'better-sqlite3': sqlite },
    external: [sqlite],
  });
  return outfile;
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
