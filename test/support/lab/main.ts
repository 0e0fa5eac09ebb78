import { parseArgs } from 'node:util';
import { onAbort } from '../../../shared/abort.ts';
import { messageOf } from '../../../shared/errors.ts';
import { missingForClocks } from '../false-clock.ts';
import { fetchVersions, missingForVersions } from '../haproxy-versions/fetch.ts';
import { missingForMachines } from '../machine/requirements.ts';
import { installMissing } from './install.ts';
import { Lab } from './lab.ts';
import { requirements } from './requirements.ts';

const usage = `Usage: tsx test/support/lab/main.ts COMMAND

  up [--hosts N] [--keep]   start a lab and hold it until told to stop, or leave it running
  ls                        list the labs of this machine
  rm ID... | rm --all       remove labs; --all is those that were kept or lost their owner
  install                   install the commands that labs and tests need and this machine lacks
`;

const log = (line: string): void => {
  console.log(line);
};

/** Labs by hand: for looking around in one, and for cleaning up after an accident. */
async function main(signal: AbortSignal): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      hosts: { type: 'string', default: '2' },
      keep: { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
    },
  });
  const [command, ...ids] = positionals;
  switch (command) {
    case 'up':
      await up(Number(values.hosts), values.keep, signal);
      break;
    case 'ls':
      for (const lab of Lab.list()) log(JSON.stringify(lab));
      break;
    case 'rm':
      for (const id of ids) await Lab.remove(id, signal);
      if (values.all) for (const id of await Lab.removeAll(signal)) log(id);
      break;
    case 'install':
      await install(signal);
      break;
    case undefined:
    default:
      console.error(usage);
      process.exitCode = 2;
  }
}

async function install(signal: AbortSignal): Promise<void> {
  const missing = [
    ...[...requirements().missing, ...missingForMachines()],
    ...[...missingForVersions(), ...missingForClocks()],
  ];
  await installMissing(missing, { log }, signal);
  try {
    await fetchVersions({ log }, signal);
  } catch (error) {
    signal.throwIfAborted();
    // All other tests go without.
    log(`no other version of HAProxy: ${messageOf(error)}`);
  }
}

async function up(hosts: number, keep: boolean, signal: AbortSignal): Promise<void> {
  await using lab = await Lab.start({ hosts, label: 'by hand' }, signal);
  if (keep) lab.keep();
  log(lab.id);
  if (keep) return;
  // A listener of ours keeps the process: neither the lab nor a signal handler does.
  const idle = setTimeout(() => undefined, 2 ** 31 - 1);
  await new Promise<void>((resolve) => {
    onAbort(signal, resolve);
  });
  clearTimeout(idle);
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    stop.abort();
  });
}
await main(stop.signal);
