import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';

/** Where figures were taken: without it they mean nothing. */
export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryMiB: number;
  readonly kernel: string;
  readonly node: string;
  /** Over 1, 5 and 15 minutes when the benchmark began. */
  readonly loadBefore: readonly number[];
  /** The same when it ended; what it did itself is in it. */
  readonly loadAfter: readonly number[];
}

/** Reads what does not change, and the load of now; call the result when the benchmark is over. */
export function describeMachine(): () => Machine {
  const loadBefore = loadavg();
  return () => ({
    cores: availableParallelism(),
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    node: process.version,
    loadBefore,
    loadAfter: loadavg(),
  });
}

/** The machine in one line. */
export function wordsFor(machine: Machine): string {
  const load = (averages: readonly number[]) => averages.map((value) => value.toFixed(2)).join(' ');
  return [
    `${machine.cores} cores (${machine.processor})`,
    `${machine.memoryMiB} MiB`,
    `Linux ${machine.kernel}`,
    `Node ${machine.node}`,
    `load average before ${load(machine.loadBefore)}, after ${load(machine.loadAfter)}`,
  ].join(', ');
}
