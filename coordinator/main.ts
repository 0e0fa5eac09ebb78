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
  // What has a secret in it is for a terminal: anything else may be kept, by systemd say.
  const terminal = process.stderr.isTTY ? process.stderr : undefined;
  const tell = terminal && ((text: string) => void terminal.write(`\n${text}\n`));
  const deps = { clock: systemClock, random: systemRandom, log, ...(tell && { tell }) };
  await runCoordinator(config, deps, signal);
}
