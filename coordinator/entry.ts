import { setFlagsFromString } from 'node:v8';
import type { Run } from '../shared/process.ts';

/**
 * Loads the coordinator, in a process that stays small: a young generation that grows while the program is
 * loaded, up to 32 MiB, is never given back.
 */
export async function loadCoordinator(): Promise<Run> {
  setFlagsFromString('--semi-space-growth-factor=1');
  return (await import('./main.ts')).run;
}
