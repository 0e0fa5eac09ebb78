import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { DomainError, messageOf } from '../../../shared/errors.ts';
import { CommandError } from '../lab/command.ts';
import { docker } from '../lab/docker.ts';
import { LabProcess, type SpawnOptions } from '../lab/lab-process.ts';
import type { Site, SiteHost } from './site.ts';
import { buildSiteImages } from './single-engine/images.ts';
import { createAddresses, siteLabel } from './single-engine/networks.ts';
import {
  createRecord,
  directoryOf,
  hostDirectory,
  isOrphaned,
  listSites,
  markKept,
  type SiteRecord,
} from './single-engine/record.ts';
import { tearDown } from './single-engine/teardown.ts';

export interface SingleEngineSiteOptions {
  readonly hosts: number;
  /** Where the engine listens. */
  readonly engineSocket: string;
  /** Why there are no real hosts, for the caveat. */
  readonly because: string;
}

const teardownDeadlineMs = 120_000;

/** Run in a container: fails unless somebody accepts at this address within seconds. */
const knockScript = `
const [host, port] = process.argv.slice(1);
const socket = require('node:net').connect({ host, port, timeout: 5000 }, () => process.exit(0));
const fail = (words) => { console.error(words); process.exit(1); };
socket.on('timeout', () => fail('no answer')).on('error', (error) => fail(error.message));
`;

/**
 * A site of several agents on one engine of this machine, for where no lab can be: it needs no right but to
 * use the engine. Each 'host' is an address of this machine, which its agent publishes ports on. Sites
 * of dead owners are removed first.
 */
export async function startSingleEngineSite(
  { hosts, engineSocket, because }: SingleEngineSiteOptions,
  signal: AbortSignal,
): Promise<Site> {
  await Promise.all(
    listSites()
      .filter(isOrphaned)
      .map((orphan) => tearDown(orphan, signal)),
  );
  const names = Array.from({ length: hosts }, (_, index) => `host-${index + 1}`);
  const record = createRecord(engineSocket, names);
  try {
    const base = await buildSiteImages(record, signal);
    const addresses = await createAddresses(record, signal);
    const caveat =
      `one Docker Engine plays all ${hosts} hosts (${because}): each is an agent with an address of its own, ` +
      'so hosts share a machine, and none of them can be rebooted';
    const site = new SingleEngineSite(record, addresses, caveat);
    await checkWayBack(record, { base, gateway: site.gateway }, signal);
    return site;
  } catch (error) {
    await tearDown(record, AbortSignal.timeout(teardownDeadlineMs));
    throw error;
  }
}

class SingleEngineSite implements Site {
  readonly id: string;
  readonly caveat: string;
  readonly gateway: string;
  readonly directory: string;
  readonly hosts: readonly SiteHost[];
  readonly reboot = null;
  #record: SiteRecord;
  #owned = true;

  constructor(record: SiteRecord, addresses: ReadonlyMap<string, string>, caveat: string) {
    this.#record = record;
    this.id = record.id;
    this.caveat = caveat;
    this.directory = directoryOf(record);
    this.hosts = [...addresses].map(([name, address]) => this.#host(name, address));
    this.gateway = this.hosts[0]!.address;
  }

  async spawn(
    command: string,
    args: readonly string[],
    options: SpawnOptions = {},
  ): Promise<LabProcess> {
    const place = { labId: this.id, labDirectory: this.directory };
    return await LabProcess.start(place, command, args, options);
  }

  keep(): void {
    this.#record = markKept(this.#record);
    this.#owned = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#owned) return;
    this.#owned = false;
    await tearDown(this.#record, AbortSignal.timeout(teardownDeadlineMs));
  }

  #host(name: string, address: string): SiteHost {
    const { engineSocket } = this.#record;
    return {
      name,
      address,
      dockerSocket: engineSocket,
      publishAddress: address,
      directory: hostDirectory(this.#record, name),
      spawn: (command, args, options) =>
        this.spawn(command, args, { ...options, name: `${name}.${options?.name ?? 'process'}` }),
      docker: (args, signal) => docker(engineSocket, args, {}, signal),
    };
  }
}

/** Containers must reach this machine at the addresses of the hosts; a firewall may forbid it. */
async function checkWayBack(
  { id, engineSocket }: SiteRecord,
  { base, gateway }: { readonly base: string; readonly gateway: string },
  signal: AbortSignal,
): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end();
  });
  server.listen(0, gateway);
  await once(server, 'listening', { signal });
  const { port } = server.address() as AddressInfo;
  const knock = ['node', '-e', knockScript, gateway, String(port)];
  try {
    const run = ['run', '--rm', '--label', `${siteLabel}=${id}`, base, ...knock];
    await docker(engineSocket, run, {}, signal);
  } catch (error) {
    signal.throwIfAborted();
    const outcome = error instanceof CommandError ? error.stderr.trim() : messageOf(error);
    throw new DomainError(
      'precondition',
      `a container cannot reach this machine at ${gateway} (${outcome}): does a firewall drop what comes from docker0?`,
      { reason: 'DEMO_NO_WAY_BACK', cause: error },
    );
  } finally {
    server.close();
  }
}
