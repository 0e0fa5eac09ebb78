import { readFileSync } from 'node:fs';

/** What a process has and used at one moment. */
export interface ProcessUsage {
  /** Resident set, shared pages counted in full; in MiB. */
  readonly rssMiB: number;
  /** Resident set, shared pages divided by who shares them; undefined where the kernel hides it. */
  readonly pssMiB: number | undefined;
  /** Processor time since its start, of all its threads. */
  readonly cpuMs: number;
}

/** Ticks of /proc/PID/stat; fixed on Linux. */
const msPerTick = 10;

/** Reads what a process has and used; throws if it is gone. */
export function readUsage(pid: number): ProcessUsage {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in parentheses may contain anything, so fields are counted from its end.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    rssMiB: kilobytes(status, 'VmRSS') / 1024,
    pssMiB: readPss(pid),
    cpuMs: (Number(fields[11]) + Number(fields[12])) * msPerTick,
  };
}

function readPss(pid: number): number | undefined {
  try {
    return kilobytes(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'), 'Pss') / 1024;
  } catch {
    return undefined;
  }
}

function kilobytes(text: string, name: string): number {
  const value = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1];
  if (value === undefined) throw new Error(`/proc says nothing of ${name}`);
  return Number(value);
}
