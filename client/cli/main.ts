#!/usr/bin/env node
import { untilSignalled } from '../../shared/process.ts';
import { daemons } from './daemons.ts';
import { environment } from './environment.ts';
import { plainFlags } from './plain-flags.ts';

const [noun, verb, ...rest] = process.argv.slice(2);
const { load, flags: names } = daemons.coordinator;
const flags = plainFlags(rest, Object.keys(names));
if (noun === 'coordinator' && verb === 'run' && flags !== undefined) {
  // The whole fleet waits for it: without what reads the commands of people.
  const run = await load();
  process.exit(await untilSignalled((signal) => run(flags, environment, signal)));
} else {
  const { runCommandLine } = await import('./command-line.ts');
  process.exitCode = await runCommandLine(process.argv.slice(2));
}
