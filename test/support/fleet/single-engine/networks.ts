import { createServer } from 'node:net';
import { DomainError } from '../../../../shared/errors.ts';
import { CommandError } from '../../lab/command.ts';
import { docker } from '../../lab/docker.ts';
import { freeSubnets } from './subnets.ts';
import { directoryOf, type SiteRecord } from './record.ts';

/** What everything in the engine carries that belongs to a site: the site's id. */
export const siteLabel = 'fairlead.demo';
const userLabel = 'fairlead.demo.user';
const directoryLabel = 'fairlead.demo.directory';
const addressLabel = 'fairlead.demo.address';

/** A network of a site, as the engine tells it. */
export interface SiteNetwork {
  readonly id: string;
  readonly siteId: string;
  /** Whose site it is: a user id of this machine. */
  readonly user: string;
  /** Where the site's record is, or was. */
  readonly directory: string;
  /** What this machine has in it: the address of a host. */
  readonly address: string;
}

/**
 * Gives each host an address of its own on this machine: the gateway of a network in the engine that no
 * container is ever attached to. That takes no right but to use the engine.
 */
export async function createAddresses(
  record: SiteRecord,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const creations = record.hostNames.map(
    async (host) => [host, await createAddress(record, host, signal)] as const,
  );
  // Whoever removes what was made must find nothing being made.
  await Promise.allSettled(creations);
  return new Map(await Promise.all(creations));
}

/** Every network of any site in an engine, of every user. */
export async function listNetworks(engine: string, signal: AbortSignal): Promise<SiteNetwork[]> {
  const labels = [siteLabel, userLabel, directoryLabel, addressLabel];
  const values = labels.map((label) => `{{json (.Label "${label}")}}`);
  const format = `[{{json .ID}},${values.join(',')}]`;
  const list = ['network', 'ls', '--filter', `label=${siteLabel}`, '--format', format];
  const lines = (await docker(engine, list, {}, signal)).split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [id = '', siteId = '', user = '', directory = '', address = ''] = JSON.parse(
      line,
    ) as string[];
    return { id, siteId, user, directory, address };
  });
}

async function createAddress(
  record: SiteRecord,
  host: string,
  signal: AbortSignal,
): Promise<string> {
  const labels = {
    [siteLabel]: record.id,
    [userLabel]: String(process.getuid?.() ?? 0),
    [directoryLabel]: directoryOf(record),
  };
  for (const { range, gateway } of freeSubnets()) {
    const marks = Object.entries({ ...labels, [addressLabel]: gateway });
    const args = [
      ...['network', 'create', '--driver', 'bridge', '--subnet', range, '--gateway', gateway],
      ...marks.flatMap(([name, value]) => ['--label', `${name}=${value}`]),
      `fairlead-demo-${record.id}-${host}`,
    ];
    try {
      await docker(record.engineSocket, args, {}, signal);
    } catch (error) {
      // Another demo was faster, or the engine knows of a network that no route tells of.
      if (error instanceof CommandError && /overlap/i.test(error.stderr)) continue;
      throw error;
    }
    if (await isLocalAddress(gateway)) return gateway;
    throw new DomainError(
      'precondition',
      `the engine at ${record.engineSocket} made a network, but its address ${gateway} is not on this machine: ` +
        'the engine runs rootless, in a virtual machine or in another container. It must be an engine of this very system',
      { reason: 'DEMO_ENGINE_ELSEWHERE' },
    );
  }
  throw new DomainError('exhausted', 'every subnet of 198.19.0.0/16 is in use on this machine', {
    reason: 'DEMO_NO_FREE_SUBNET',
  });
}

/** Whether this machine has the address. Its list of addresses leaves out those of idle networks. */
async function isLocalAddress(address: string): Promise<boolean> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once('error', () => {
      resolve(false);
    });
    server.listen(0, address, () => {
      server.close();
      resolve(true);
    });
  });
}
