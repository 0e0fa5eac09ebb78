import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/eventually.ts';
import type { Fleet } from '../support/fleet/fleet.ts';
import { programs } from '../support/fleet/programs.ts';

const relay = fileURLToPath(new URL('relay.js', import.meta.url));

/** How to talk to a fleet that was left running. */
export interface KeptFleet {
  readonly address: string;
  readonly token: string;
  /** The same API as JSON over HTTP. */
  readonly httpUrl: string;
  /** File with the certificate of the coordinator's authority. */
  readonly authorities: string;
  /** Where the load balancer answers on this machine, whichever host it is on. */
  readonly loadBalancer: string;
}

/** Leaves the fleet running, with a process that leads a loopback port to its load balancer. */
export async function keepRunning(fleet: Fleet, signal: AbortSignal): Promise<KeptFleet> {
  const port = await startRelay(fleet, signal);
  fleet.site.keep();
  const { address, token, httpUrl } = fleet;
  const authorities = join(fleet.stateDir, 'ca.pem');
  return { address, token, httpUrl, authorities, loadBalancer: `http://127.0.0.1:${port}/` };
}

/** Lines to paste into any shell, and what they are for. */
export function instructions(kept: KeptFleet): string {
  const { address, token, httpUrl, authorities, loadBalancer } = kept;
  const rpc = `${httpUrl}/fairlead.v1.ControlService/ListServices`;
  return [
    '',
    'The fleet keeps running. Paste this into a shell to talk to it:',
    '',
    `  export FAIRLEAD_ADDRESS=${address}`,
    `  export FAIRLEAD_TOKEN=${token}`,
    `  fairlead() { ${quote(process.execPath)} ${quote(programs.cli)} "$@"; }`,
    '  fairlead service ls',
    '',
    'The load balancer, on this machine:',
    '',
    `  curl ${loadBalancer}`,
    '',
    'The API as JSON over HTTPS:',
    '',
    `  curl --cacert ${quote(authorities)} -H "Authorization: Bearer $FAIRLEAD_TOKEN" -H 'Content-Type: application/json' -d '{}' ${rpc}`,
    '',
    'Remove it with:',
    '',
    '  npm run demo -- --down',
  ].join('\n');
}

async function startRelay(fleet: Fleet, signal: AbortSignal): Promise<number> {
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

/** For a POSIX shell. */
function quote(word: string): string {
  return /^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
