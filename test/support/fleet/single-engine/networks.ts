import { createServer } from 'node:net';
import { messageOf, DomainError } from '../../../../shared/errors.ts';
import { CommandError } from '../../lab/command.ts';
import { docker } from '../../lab/docker.ts';
import { freeSubnets } from './subnets.ts';
import { directoryOf, type SiteRecord } from './record.ts';

/** What everything in the engine carries that belongs to a site: the site's id. */
export const siteLabel = 'fairlead.demo';
const userLabel = 'fairlead.demo.user';
const directoryLabel = 'fairlead.demo.directory';

/** A network of a site, as the engine tells it. */
export interface SiteNetwork {
  readonly id: string;
  readonly siteId: string;
  /** Whose site it is: a user id of this machine. */
  readonly user: string;
  /** Where the site's record is, or was. */
  readonly directory: string;
  /** The address of this machine in it; empty if it has none. */
  readonly gateway: string;
}

/** The part of the engine's answer that is used here. */
interface EngineNetwork {
  readonly Labels: Readonly<Record<string, string>>;
  readonly IPAM: { readonly Config: readonly { readonly Gateway?: string }[] | null };
}

/**
 * Gives each host an address of its own on this machine: the gateway of a network in the engine that no
 * container is ever attached to. That takes no right but to use the engine.
 */
export async function createAddresses(
  record: SiteRecord,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const addresses = new Map<string, string>();
  for (const host of record.hostNames) {
    addresses.set(host, await createAddress(record, host, signal));
  }
  return addresses;
}

/** Every network of any site in an engine, of every user. */
export async function listNetworks(engine: string, signal: AbortSignal): Promise<SiteNetwork[]> {
  const list = ['network', 'ls', '--quiet', '--filter', `label=${siteLabel}`];
  const ids = (await docker(engine, list, {}, signal)).split('\n').filter((id) => id !== '');
  const found = await Promise.all(ids.map((id) => inspectNetwork(engine, id, signal)));
  return found.filter((network) => network !== undefined);
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
  const create = ['network', 'create', '--driver', 'bridge'];
  const marks = Object.entries(labels).flatMap(([name, value]) => ['--label', `${name}=${value}`]);
  for (const { range, gateway } of freeSubnets()) {
    const addresses = ['--subnet', range, '--gateway', gateway];
    const args = [...create, ...marks, ...addresses, `${siteLabel}-${record.id}-${host}`];
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

async function inspectNetwork(
  engine: string,
  id: string,
  signal: AbortSignal,
): Promise<SiteNetwork | undefined> {
  let text: string;
  try {
    text = await docker(engine, ['network', 'inspect', id], {}, signal);
  } catch (error) {
    signal.throwIfAborted();
    // Removed by another process since it was listed.
    if (/no such network|not found/i.test(messageOf(error))) return undefined;
    throw error;
  }
  const [network] = JSON.parse(text) as [EngineNetwork];
  const label = (name: string) => network.Labels[name] ?? '';
  return {
    id,
    siteId: label(siteLabel),
    user: label(userLabel),
    directory: label(directoryLabel),
    gateway: network.IPAM.Config?.[0]?.Gateway ?? '',
  };
}
