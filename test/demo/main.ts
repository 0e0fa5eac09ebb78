import { parseArgs } from 'node:util';
import { messageOf } from '../../shared/errors.ts';
import { Fleet } from '../support/fleet/fleet.ts';
import { silent } from '../tutorial/report.ts';
import { runSteps, stepNumbers } from '../tutorial/run-tutorial.ts';
import { interruptible } from './interruptible.ts';
import { instructions, keepRunning } from './keep.ts';
import { terminalNarrator } from './narrator.ts';
import { removeDemos } from './removal.ts';
import { startSite } from './sites.ts';

interface DemoOptions {
  readonly json: boolean;
  readonly keep: boolean;
  readonly down: boolean;
  readonly singleEngine: boolean;
  readonly steps: readonly number[];
}

/** Runs the demo as the arguments say; the exit status. */
async function runDemo(args: readonly string[]): Promise<number> {
  let options: DemoOptions;
  try {
    options = parseOptions(args);
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\nnpm run demo -- --help tells what there is\n`);
    return 2;
  }
  const { json, down } = options;
  const say = (line: string) => {
    (json ? process.stderr : process.stdout).write(`${line}\n`);
  };
  return await interruptible((signal) =>
    down ? removeAll(json, say, signal) : demoOrReason(options, say, signal),
  );
}

/** Whoever reads JSON gets a document even if there was no demo. */
async function demoOrReason(
  options: DemoOptions,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    await demo(options, say, signal);
  } catch (error) {
    if (options.json && !signal.aborted)
      printJson({ ok: false, error: messageOf(error), caveat: '', checks: [] });
    throw error;
  }
}

async function demo(
  { json, keep, singleEngine, steps }: DemoOptions,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  await using fleet = new Fleet(await startSite({ hosts: 5, singleEngine, say }, signal));
  const narrator = json ? silent : terminalNarrator(process.stdout, signal);
  const { ok, checks } = await runSteps(fleet, { narrator, steps }, signal);
  signal.throwIfAborted();
  const kept = keep ? await keepRunning(fleet, signal) : undefined;
  if (json) {
    const { caveat } = fleet.site;
    printJson({ ok, caveat, checks, ...(kept !== undefined && { fleet: kept }) });
  } else {
    const failed = checks.filter((check) => !check.ok).length;
    say(`\n${checks.length - failed} of ${checks.length} checks hold`);
  }
  if (kept !== undefined) say(instructions(kept));
  if (!ok) process.exitCode = 1;
}

async function removeAll(
  json: boolean,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const removal = await removeDemos(signal);
  const { removed, running, images, failures } = removal;
  if (json) printJson(removal);
  else say(removed.length === 0 ? 'no demo to remove' : `removed: ${removed.join(', ')}`);
  if (images > 0) say(`removed ${images} images from the Docker Engine`);
  if (running.length > 0) say(`still running, and left alone: ${running.join(', ')}`);
  for (const failure of failures) say(`not removed: ${failure}`);
  if (failures.length > 0) process.exitCode = 1;
}

function parseOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      down: { type: 'boolean', default: false },
      'single-engine': { type: 'boolean', default: false },
      // For tests of the demo itself: the steps from one to another, such as 0-1.
      steps: { type: 'string', default: `0-${stepNumbers.length - 1}` },
    },
  });
  const [, from, to] = /^(\d)-(\d)$/.exec(values.steps) ?? [];
  const steps = stepNumbers.filter((number) => number >= Number(from) && number <= Number(to));
  if (steps.length === 0) throw new Error(`--steps must be FROM-TO, not ${values.steps}`);
  if (values.keep && values.down) throw new Error('--keep and --down exclude each other');
  const { json, keep, down, 'single-engine': singleEngine } = values;
  return { json, keep, down, singleEngine, steps };
}

function printJson(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
}

// Whoever started us was killed, and so are we: what is left is on record.
process.once('disconnect', () => process.exit(1));
if (!process.connected) process.exit(1);
process.exit(await runDemo(process.argv.slice(2)));
