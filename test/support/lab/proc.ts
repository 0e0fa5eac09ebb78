import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

/** A process that cannot be mistaken for a later one that was given the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** In clock ticks since boot, from /proc/PID/stat. */
  readonly startTime: number;
}

/** Changes with every boot of the machine: pids and start times of another boot mean nothing. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** The process that has this pid now, be it dead and not yet buried; undefined if there is none. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  return stat && { pid, startTime: stat.startTime };
}

/** Whether exactly this process still runs; a zombie does not. */
export function isRunning({ pid, startTime }: ProcessIdentity): boolean {
  const stat = readStat(pid);
  return stat?.startTime === startTime && stat.state !== 'Z' && stat.state !== 'X';
}

/** Whether the process is stopped by SIGSTOP. */
export function isStopped({ pid }: ProcessIdentity): boolean {
  return readStat(pid)?.state === 'T';
}

/** Sends a signal unless the process is gone; says whether it was sent. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(identity)) return false;
  try {
    return process.kill(identity.pid, signal);
  } catch {
    return false;
  }
}

/** Every running process that the question says yes to, except this one. */
export function findProcesses(belongs: (pid: number) => boolean): ProcessIdentity[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid)
    .map((pid) => (belongs(pid) ? identify(pid) : undefined))
    .filter((identity) => identity !== undefined)
    .filter(isRunning);
}

/** The name that the kernel knows the process by: its program, at most 15 characters. */
export function programOf(pid: number): string | undefined {
  return readProcessFile(pid, 'comm')?.trim();
}

/** The inode of the process's network namespace. */
export function networkNamespaceOf(pid: number): number | undefined {
  try {
    return Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[0]);
  } catch {
    return undefined;
  }
}

/** Whether the process was started with this variable set to this value. */
export function hasVariable(pid: number, name: string, value: string): boolean {
  const environment = readProcessFile(pid, 'environ');
  return environment?.split('\0').includes(`${name}=${value}`) ?? false;
}

/** Whether the process is in this control group or below it, in any hierarchy. */
export function isInCgroup(pid: number, cgroup: string): boolean {
  const lines = readProcessFile(pid, 'cgroup')?.split('\n') ?? [];
  return lines.some((line) => `${line.slice(line.indexOf('/'))}/`.startsWith(`${cgroup}/`));
}

function readStat(pid: number): { state: string | undefined; startTime: number } | undefined {
  const stat = readProcessFile(pid, 'stat');
  if (stat === undefined) return undefined;
  // The name in parentheses may contain anything, so fields are counted from its end.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0], startTime: Number(fields[19]) };
}

/** A process may end at any moment, so that nothing to read is an ordinary answer. */
function readProcessFile(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined;
  }
}
