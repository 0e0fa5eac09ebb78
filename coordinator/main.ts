import { createLogger } from '../shared/logger.ts';
import { systemClock } from '../shared/clock.ts';
import { systemRandom } from '../shared/random.ts';
import { readCoordinatorConfig } from './config.ts';
import { runCoordinator } from './coordinator.ts';

/** Runs a coordinator until the signal aborts. */
export async function run(
  flags: Record<string, unknown>,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<void> {
  const config = readCoordinatorConfig({ flags, env });
  const log = createLogger({ level: config.logLevel, process: 'coordinator' });
  await runCoordinator(config, { clock: systemClock, random: systemRandom, log }, signal);
}
