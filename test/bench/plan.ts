/**
 * What decisions cost in a big fleet: where a container goes among 1,000 nodes that have 100,000 containers, what
 * comes next for a service of 1,000, how long a whole coordinator takes to start with all of them, and what it takes to
 * hold them.
 */
import { execFile } from 'node:child_process';
import { copyFile, mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { TemporaryDirectory } from '../support/temporary-directory.ts';
import { containerCount, fill, openCore, perService } from './plan/big-fleet.ts';
import { atMost, runBenchmark, type Findings, type Say } from './support/benchmark.ts';
import { summarize } from './support/statistics.ts';
import { renderTable } from './support/table.ts';

const loads = 3;

const sqlite = createRequire(import.meta.url).resolve('better-sqlite3');

type Script = 'decide' | 'load' | 'start';

/** How long each of many calls took, in milliseconds. */
type Times = readonly number[];

interface Load {
  readonly ms: number;
  readonly containers: number;
  readonly heldBytes: number;
  readonly rss: number;
}

/** One start of a whole coordinator. */
interface Start {
  /** Until it answers. */
  readonly ms: number;
  readonly cpuMs: number;
  readonly rss: number;
}

interface Loading {
  readonly taken: readonly Load[];
  readonly empty: Load;
  readonly starts: readonly Start[];
  readonly emptyStart: Start;
}

async function measure(say: Say, signal: AbortSignal): Promise<Findings> {
  await using directory = new TemporaryDirectory();
  const path = (name: string) => directory.join(`${name}.db`);
  const run = async (script: Script, operand: string): Promise<unknown> => {
    const args = ['--expose-gc', await builtFile(script, directory.path), operand];
    const { stdout } = await promisify(execFile)(process.execPath, args, { signal });
    return JSON.parse(stdout);
  };
  say(`making ${containerCount} containers, and deciding`);
  const times = (await run('decide', path('full'))) as Record<string, Times>;
  {
    using core = openCore(path('empty'));
    fill(core, 0);
  }
  const taken: Load[] = [];
  const starts: Start[] = [];
  // The first start of a coordinator makes its keys.
  await run('start', await stateWith(path('empty'), directory.join('empty')));
  const stateDir = await stateWith(path('full'), directory.join('full'));
  await run('start', stateDir);
  for (let n = 1; n <= loads; n++) {
    say(`loading, ${n} of ${loads}`);
    taken.push((await run('load', path('full'))) as Load);
    starts.push((await run('start', stateDir)) as Start);
  }
  const empty = (await run('load', path('empty'))) as Load;
  const emptyStart = (await run('start', directory.join('empty'))) as Start;
  return evaluate(times, { taken, empty, starts, emptyStart });
}

/** A state directory with a copy of a database. */
async function stateWith(database: string, directory: string): Promise<string> {
  await mkdir(directory, { mode: 0o700 });
  await copyFile(database, join(directory, 'fairlead.db'));
  return directory;
}

/** A script as one file: what compiles the sources on their way gives each function that it makes its name. */
async function builtFile(script: Script, directory: string): Promise<string> {
  const outfile = join(directory, `${script}.cjs`);
  await build({
    ...{ entryPoints: [join(import.meta.dirname, 'plan', `${script}.ts`)], outfile },
    ...{ bundle: true, platform: 'node', target: 'node20', format: 'cjs', logLevel: 'error' },
    // By its full name: the file is not beside it.
    alias: { 'better-sqlite3': sqlite },
    external: [sqlite],
    define: { 'import.meta.url': JSON.stringify(pathToFileURL(outfile).href) },
  });
  return outfile;
}

function evaluate(
  times: Readonly<Record<string, Times>>,
  { taken, empty, starts, emptyStart }: Loading,
): Findings {
  const summaries = Object.entries(times).map(([name, ms]) => ({ name, ms: summarize(ms) }));
  const rows = summaries.map(({ name, ms }) => [name, ms.p50, ms.p99, ms.max]);
  const held = Math.min(...taken.map(({ heldBytes }) => heldBytes)) - empty.heldBytes;
  const each = held / containerCount;
  const fastest = Math.min(...starts.map(({ ms }) => ms));
  const loading = [...taken.map((one) => ['full', one] as const), ['empty', empty] as const];
  const starting = [...starts.map((one) => ['full', one] as const), ['empty', emptyStart] as const];
  const worst = (kind: string) =>
    Math.max(...summaries.filter(({ name }) => name.startsWith(kind)).map(({ ms }) => ms.p50));
  return {
    results: { unit: 'ms', times: summaries, loads: taken, empty, starts, emptyStart },
    tables: [
      `ms on 1,000 nodes with ${containerCount} containers\n\n${renderTable(['what', 'p50', 'p99', 'max'], rows)}`,
      renderTable(
        ['database', 'containers', 'loaded in ms', 'held MB', 'rss MB'],
        loading.map(([name, { containers, ms, heldBytes, rss }]) => [
          ...[name, containers, ms, heldBytes / 1e6, rss / 1e6],
        ]),
      ),
      renderTable(
        ['coordinator', 'answers after ms', 'cpu ms of the process', 'rss MB'],
        starting.map(([name, { ms, cpuMs, rss }]) => [...[name, ms, cpuMs, rss / 1e6]]),
      ),
    ],
    checks: [
      atMost('p50 of a decision in ms', worst('decision'), 1),
      atMost(`p50 of a plan of ${perService} containers in ms`, worst('plan'), 5),
      atMost(`start of a coordinator with ${containerCount} containers in ms`, fastest, 2_000),
      atMost('memory a container in bytes', each, 2_000),
    ],
  };
}

await runBenchmark({ name: 'bench:plan', limitMs: 10 * 60_000 }, measure);
