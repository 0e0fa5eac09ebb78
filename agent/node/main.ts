import { systemClock } from '../../shared/clock.ts';
import { createLogger } from '../../shared/logger.ts';
import { systemRandom } from '../../shared/random.ts';
import { runNodeAgent } from './agent.ts';
import { readNodeAgentConfig } from './config.ts';

/** Runs the node agent of this host until the signal aborts. */
export async function run(
  flags: Record<string, unknown>,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<void> {
  const config = readNodeAgentConfig(flags, env);
  const log = createLogger({ level: config.logLevel, process: 'node-agent' });
  await runNodeAgent(config, { clock: systemClock, random: systemRandom, log }, signal);
}
