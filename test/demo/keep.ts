import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/eventually.ts';
import type { Fleet } from '../support/fleet/fleet.ts';

const relay = fileURLToPath(new URL('relay.js', import.meta.url));

/** Starts a process that leads a port of this machine to the load balancer, wherever that runs. */
export async function startRelay(fleet: Fleet, signal: AbortSignal): Promise<number> {
  const portFile = join(fleet.site.directory, 'relay.port');
  const addresses = fleet.site.hosts.map(({ address }) => address);
  const started = await fleet.site.spawn(process.execPath, [relay, portFile, ...addresses], {
    name: 'relay',
  });
  return await eventually(
    () => {
      if (!started.isRunning()) throw new Error(`the relay ended:\n${started.log()}`);
      return Number(readFileSync(portFile, 'utf8'));
    },
    { timeoutMs: 10_000 },
    signal,
  );
}
