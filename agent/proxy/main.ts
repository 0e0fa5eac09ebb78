import { systemClock } from '../../shared/clock.ts';
import { createLogger } from '../../shared/logger.ts';
import { systemRandom } from '../../shared/random.ts';
import { capabilitiesOf } from './capabilities.ts';
import { readProxyAgentConfig } from './config.ts';
import { ProcessorPressure } from './processor-pressure.ts';
import { runProxyAgent } from './proxy-agent.ts';

/** Runs the proxy agent until the signal aborts. */
export async function run(
  flags: Record<string, unknown>,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<void> {
  const config = readProxyAgentConfig(flags, env);
  const log = createLogger({ level: config.logLevel, process: 'proxy-agent' });
  const clock = systemClock;
  const pressure = new ProcessorPressure(clock);
  const deps = { clock, random: systemRandom, log, capabilitiesOf, pressure };
  await runProxyAgent(config, deps, signal);
}
