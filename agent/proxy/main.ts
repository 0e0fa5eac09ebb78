import { systemClock } from '../../shared/clock.ts';
import { createLogger } from '../../shared/logger.ts';
import { systemRandom } from '../../shared/random.ts';
import { capabilitiesOf } from './capabilities.ts';
import { readProxyAgentConfig } from './config.ts';
import { runProxyAgent } from './proxy-agent.ts';

/** Runs the proxy agent until the signal aborts. */
export async function run(
  flags: Record<string, unknown>,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<void> {
  const config = readProxyAgentConfig(flags, env);
  const log = createLogger({ level: config.logLevel, process: 'proxy-agent' });
  const deps = { clock: systemClock, random: systemRandom, log, capabilitiesOf };
  await runProxyAgent(config, deps, signal);
}
