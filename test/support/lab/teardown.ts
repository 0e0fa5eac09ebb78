import { existsSync, readFileSync, readdirSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { removeCgroup } from './cgroups.ts';
import { run } from './command.ts';
import { killAll, processesOfLab } from './members.ts';
import { removeGateway, removeNamespace } from './network.ts';
import { planLab } from './plan.ts';
import { bootId } from './proc.ts';
import { listProcesses, type LabRecord } from './record.ts';

/**
 * Removes every trace of a lab, from any process and from any state: half made, half removed, or
 * being removed by somebody else at the same time.
 */
export async function tearDown(record: LabRecord, signal: AbortSignal): Promise<void> {
  const plan = planLab(record.id, record.subnet, record.hostCount);
  const recorded = () => (record.bootId === bootId() ? listProcesses(plan.directory) : []);
  await killAll(() => [...recorded(), ...processesOfLab(plan)], signal);
  await unmountBelow(plan.directory, signal);
  await removeGateway(plan, signal);
  for (const { namespace } of plan.hosts) await removeNamespace(namespace, signal);
  await removeNamespace(plan.bridgeNamespace, signal);
  await removeCgroup(plan.cgroup, signal);
  await removeDirectory(plan.directory);
}

async function unmountBelow(directory: string, signal: AbortSignal): Promise<void> {
  const points = mountsBelow(directory);
  if (points.length > 0) await run('umount', ['--lazy', ...points], {}, signal);
}

/** What is mounted below a directory, the innermost first. */
export function mountsBelow(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replaceAll('\\040', ' '))
    .filter((point) => point.startsWith(`${directory}/`))
    .reverse();
}

/** Renamed first: whoever reads labs while it is emptied must not meet half a record. */
async function removeDirectory(directory: string): Promise<void> {
  const doomed = join(dirname(directory), `.gone-${basename(directory)}`);
  try {
    renameSync(directory, doomed);
  } catch (error) {
    if (existsSync(directory)) throw error;
  }
  await rm(doomed, { recursive: true, force: true, maxRetries: 5 });
}

/** Deletes directories that a killed process was about to make or to remove. */
export async function removeLeftovers(labs: string): Promise<void> {
  const names = existsSync(labs) ? readdirSync(labs) : [];
  for (const name of names.filter((candidate) => /^\.(new|gone)-/.test(candidate))) {
    await rm(join(labs, name), { recursive: true, force: true, maxRetries: 5 });
  }
}
