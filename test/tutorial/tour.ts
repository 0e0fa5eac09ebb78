import { Resolver } from 'node:dns/promises';
import type { Container, Endpoint, FairleadClient, Proxy, Service } from '../../client/index.ts';
import type { Fleet } from '../support/fleet/fleet.ts';
import { eventually } from '../support/eventually.ts';
import type { Narrator, Report } from './report.ts';
import { Shell } from './shell.ts';

/** The coordinator's DNS zone. */
const zone = 'fairlead.internal';

/** The node cluster of the hosts that run the web service. */
export const clusterName = 'tutorial';

/** What the steps of the tutorial share. */
export class Tour {
  readonly fleet: Fleet;
  readonly report: Report;
  readonly narrator: Narrator;
  readonly signal: AbortSignal;
  #shell: Shell | undefined;

  constructor(
    fleet: Fleet,
    { report, narrator }: { readonly report: Report; readonly narrator: Narrator },
    signal: AbortSignal,
  ) {
    this.fleet = fleet;
    this.report = report;
    this.narrator = narrator;
    this.signal = signal;
  }

  /** The command line, with the administrator's token: there once the coordinator runs. */
  get shell(): Shell {
    this.#shell ??= new Shell(this.fleet, this.narrator);
    return this.#shell;
  }

  get client(): FairleadClient {
    return this.fleet.client;
  }

  async service(name: string): Promise<Service> {
    const { service } = await this.client.control.getService({ service: name });
    if (service === undefined) throw new Error(`no service ${name}`);
    return service;
  }

  async containers(service: string): Promise<Container[]> {
    const { containers } = await this.client.control.listContainers({ services: [service] });
    return containers;
  }

  async endpoints(service: string): Promise<Endpoint[]> {
    const { endpoints } = await this.client.control.listEndpoints({ services: [service] });
    return endpoints;
  }

  async proxies(service: string): Promise<Proxy[]> {
    const { proxies } = await this.client.control.listProxies({ services: [service] });
    return proxies;
  }

  /** Where the load balancer answers. */
  async lbUrl(): Promise<string> {
    const [endpoint] = await this.endpoints('lb');
    if (endpoint === undefined) throw new Error('lb has no endpoint');
    return endpoint.url;
  }

  /** The addresses that DNS has for a name in the zone, in the order of the answer; asked anew each time. */
  async resolve(name: string): Promise<string[]> {
    const resolver = new Resolver();
    resolver.setServers([this.fleet.dnsAddress]);
    try {
      return await resolver.resolve4(`${name}.${zone}`);
    } catch (error) {
      if ((error as { code?: string }).code === 'ENODATA') return [];
      throw error;
    }
  }

  /** Runs a command inside a container and returns what it wrote. */
  async exec(container: Container, command: readonly string[]): Promise<string> {
    const host = this.fleet.host(container.node);
    return await host.docker(['exec', container.engineId, ...command], this.signal);
  }

  /** The environment of a container's first process. */
  async environment(container: Container): Promise<Map<string, string>> {
    const text = await this.exec(container, ['cat', '/proc/1/environ']);
    return new Map(
      text
        .split('\0')
        .filter((line) => line.includes('='))
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
  }

  /** Waits until an assertion holds. */
  async until<T>(assertion: () => T | Promise<T>, timeoutMs = 15_000): Promise<T> {
    return await eventually(assertion, { timeoutMs }, this.signal);
  }
}

/** The one container of a name; of several, the newest. */
export function named(containers: readonly Container[], name: string): Container {
  const found = containers.filter((container) => container.name === name).at(-1);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found;
}
