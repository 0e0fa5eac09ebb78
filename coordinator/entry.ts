import { Buffer } from 'node:buffer';
import { setFlagsFromString } from 'node:v8';
import type { Run } from '../shared/process.ts';
import { readProgram } from './program.ts';

/**
 * Small buffers are slices of larger ones, which are there until the last slice is let go of. Node keeps one of three
 * bytes with every connection, and with it, by default, 8 KiB.
 */
const sliceBytes = 1_024;

/** Sets what the process of a coordinator runs with. */
export function prepareProcess(): void {
  Buffer.poolSize = sliceBytes;
}

/**
 * Loads and runs the coordinator, in a process that stays small: what a young generation grows to while the program
 * is loaded, up to 32 MiB, is never given back when there is little to do afterwards.
 *
 * From then on it may grow: what a thousand agents say when they come back does not outlive the moment, but would
 * outlive a small young generation. It is given back once they are at rest.
 */
export const run: Run = async (flags, env, signal) => {
  prepareProcess();
  const program = readProgram({ flags, env });
  setFlagsFromString('--semi-space-growth-factor=1');
  const runProgram = program?.evaluate() ?? (await import('./main.ts')).run;
  setFlagsFromString('--semi-space-growth-factor=2');
  await runProgram(flags, env, signal, program?.code);
};
