import { existsSync, readFileSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../../shared/clock.ts';

/** The kernel lets go of a control group a moment after its last process is gone. */
const deadlineMs = 10_000;

/** Removes a control group without processes, and those below it, from every hierarchy. */
export async function removeCgroup(cgroup: string, signal: AbortSignal): Promise<void> {
  const deadline = systemClock.monotonic() + deadlineMs;
  for (const directory of cgroupDirectories(cgroup)) {
    while (!tryRemove(directory, systemClock.monotonic() > deadline)) {
      await systemClock.sleep(10, signal);
      signal.throwIfAborted();
    }
  }
}

/** Where this control group exists: one directory for each hierarchy that has it. */
export function cgroupDirectories(cgroup: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => join(line.split(' ')[4] ?? '/', cgroup))
    .filter((directory) => existsSync(directory));
}

function tryRemove(directory: string, last: boolean): boolean {
  try {
    removeTree(directory);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    if (last) throw error;
    return false;
  }
}

/** The files in it are the kernel's and go with it: only directories are removed. */
function removeTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(directory, entry.name));
  }
  rmdirSync(directory);
}
