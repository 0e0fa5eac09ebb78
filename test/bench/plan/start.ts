/** Starts a coordinator as its program does, on the state directory that is named, and says how long until it answers. */
import { readCoordinatorConfig } from '../../../coordinator/config.ts';
import { runCoordinator } from '../../../coordinator/coordinator.ts';
import { prepareProcess } from '../../../coordinator/entry.ts';
import { systemClock } from '../../../shared/clock.ts';
import { createLogger } from '../../../shared/logger.ts';
import { systemRandom } from '../../../shared/random.ts';

const [stateDir = ''] = process.argv.slice(2);
const anyPort = '127.0.0.1:0';
const flags = { stateDir, listen: anyPort, httpListen: anyPort };

async function main(): Promise<void> {
  prepareProcess();
  const config = readCoordinatorConfig({ flags, env: {} });
  const stop = new AbortController();
  const startedAt = systemClock.monotonic();
  let ended = Promise.resolve();
  const elapsed = () => systemClock.monotonic() - startedAt;
  const ms = await new Promise<number>((resolve, reject) => {
    const write = (line: string) => {
      if (line.includes('"coordinator started"')) resolve(elapsed());
    };
    const log = createLogger({ level: 'info', process: 'coordinator' }, { write });
    const deps = { clock: systemClock, random: systemRandom, log };
    ended = runCoordinator(config, deps, stop.signal);
    ended.catch(reject);
  });
  const { user, system } = process.cpuUsage();
  stop.abort();
  await ended;
  const { rss } = process.memoryUsage();
  process.stdout.write(`${JSON.stringify({ ms, cpuMs: (user + system) / 1_000, rss })}\n`);
}

void main();
