import { ChildController } from '../shared/abort.ts';
import { createLogger } from '../shared/logger.ts';
import { systemClock } from '../shared/clock.ts';
import { systemRandom } from '../shared/random.ts';
import type { CompiledCode } from './compiled-code.ts';
import { keepCompiledCode } from './compiled-code-keeper.ts';
import { readCoordinatorConfig } from './config.ts';
import { runCoordinator } from './coordinator.ts';

/** Runs a coordinator until the signal aborts. Code that is given is kept for the next run. */
export async function run(
  flags: Record<string, unknown>,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
  code?: CompiledCode,
): Promise<void> {
  const config = readCoordinatorConfig({ flags, env });
  const log = createLogger({ level: config.logLevel, process: 'coordinator' });
  // What has a secret in it is for a terminal: anything else may be kept, by systemd say.
  const terminal = process.stderr.isTTY ? process.stderr : undefined;
  const tell = terminal && ((text: string) => void terminal.write(`\n${text}\n`));
  const deps = { clock: systemClock, random: systemRandom, log, ...(tell && { tell }) };
  using keeping = new ChildController(signal);
  const kept = code && keepCompiledCode(code, deps, keeping.signal);
  try {
    await runCoordinator(config, deps, signal);
  } finally {
    keeping.abort();
    await kept;
  }
}
