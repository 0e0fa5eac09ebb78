import { setFlagsFromString } from 'node:v8';
import type { Run } from '../shared/process.ts';

/**
 * Loads the coordinator, in a process that stays small: what a young generation grows to while the program is
 * loaded, up to 32 MiB, is never given back when there is little to do afterwards.
 *
 * From then on it may grow: what a thousand agents say when they come back does not outlive the moment, but would
 * outlive a small young generation. It is given back once they are at rest.
 */
export async function loadCoordinator(): Promise<Run> {
  setFlagsFromString('--semi-space-growth-factor=1');
  const { run } = await import('./main.ts');
  setFlagsFromString('--semi-space-growth-factor=2');
  return run;
}
