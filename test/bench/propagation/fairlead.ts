import { join } from 'node:path';
import { ApiRole, Role, type DeepPartial, type ServiceSpec } from '../../../client/index.ts';
import { statePaths } from '../../../agent/proxy/state-directory.ts';
import type { KnownServer } from '../../../agent/proxy/server-state.ts';
import { systemClock } from '../../../shared/clock.ts';
import { shortId } from '../../../shared/ids.ts';
import { eventually } from '../../support/eventually.ts';
import { Fleet } from '../../support/fleet/fleet.ts';
import { labSite } from '../../support/fleet/lab-site.ts';
import { startProxyAgent } from '../support/proxy-agent.ts';
import { ServerNotices } from '../support/server-notices.ts';
import { runService, scaleService } from '../support/services.ts';
import { SimulatedNode } from '../support/simulated-node.ts';
import type { FineWallClock } from '../support/wall-clock.ts';
import {
  command,
  containerPort,
  readServers,
  simulatedAddress,
  simulatedPort,
  untilReady,
  type Place,
} from './place.ts';
import type { Side, Subject } from './side.ts';

const simulatedNodes = 10;

/** Services of simulated containers, and how many each has at the most. */
const crowds = Array.from({ length: 10 }, (_, index) => `crowd-${index}`);
const crowdSize = 99;

/** Fairlead as it is shipped: coordinator, node agent, proxy agent and HAProxy, each a process. */
export class Fairlead implements Side, AsyncDisposable {
  readonly name = 'fairlead';
  readonly #fleet: Fleet;
  readonly #stateDir: string;
  readonly #nodes: SimulatedNode[] = [];
  #subjects: readonly Subject[] = [];
  #notices: ServerNotices | undefined;

  private constructor(fleet: Fleet, stateDir: string) {
    this.#fleet = fleet;
    this.#stateDir = stateDir;
  }

  static async start(
    place: Place,
    subjects: number,
    clock: FineWallClock,
    signal: AbortSignal,
  ): Promise<Fairlead> {
    const plan = { name: place.host.name, tags: ['real'] };
    const fleet = await Fleet.start(labSite(place.lab), [plan], signal);
    const fairlead = new Fairlead(fleet, join(place.lab.directory, 'proxy'));
    try {
      await fairlead.#addSimulatedNodes(signal);
      await fairlead.#deploy(place, subjects, signal);
      const { log } = statePaths(fairlead.#stateDir);
      fairlead.#notices = new ServerNotices(log, clock);
      return fairlead;
    } catch (error) {
      await fairlead[Symbol.asyncDispose]();
      throw error;
    }
  }

  get subjects(): readonly Subject[] {
    return this.#subjects;
  }

  get notices(): ServerNotices {
    if (this.#notices === undefined) throw new Error('Fairlead was not started');
    return this.#notices;
  }

  async resize(backends: number, signal: AbortSignal): Promise<void> {
    let missing = backends - this.#subjects.length;
    for (const name of crowds) {
      const replicas = Math.min(missing, crowdSize);
      missing -= replicas;
      await scaleService(this.#fleet.client, name, replicas, signal);
    }
    await untilReady(backends, () => this.servers(), signal);
  }

  async servers(): Promise<KnownServer[]> {
    return await readServers(statePaths(this.#stateDir).adminSocket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#notices?.[Symbol.dispose]();
    for (const node of this.#nodes) await node[Symbol.asyncDispose]();
    await this.#fleet[Symbol.asyncDispose]();
  }

  async #addSimulatedNodes(signal: AbortSignal): Promise<void> {
    const joinToken = await this.#fleet.joinToken();
    for (let index = 0; index < simulatedNodes; index++) {
      const options = {
        coordinator: this.#fleet.address,
        joinToken,
        name: `simulated-${index}`,
        tags: ['simulated'],
        address: simulatedAddress(index),
        port: simulatedPort,
      };
      this.#nodes.push(await SimulatedNode.start(options, signal));
    }
  }

  async #deploy({ host, image }: Place, subjects: number, signal: AbortSignal): Promise<void> {
    const { client } = this.#fleet;
    const common: DeepPartial<ServiceSpec> = {
      image,
      command,
      ports: [{ containerPort }],
      // Readiness checks wait for the process inside: that is not what is measured here.
      readiness: { check: { $case: 'none', value: {} } },
    };
    await runService(client, 'web', { ...common, replicas: subjects, tags: ['real'] }, signal);
    for (const name of crowds) {
      await runService(client, name, { ...common, replicas: 0, tags: ['simulated'] }, signal);
    }
    const links = ['web', ...crowds].map((service) => ({ service }));
    const balancer = { ...common, replicas: 0, apiRole: ApiRole.PROXY, links };
    await runService(client, 'lb', balancer, signal);
    const { control } = client;
    const { secret } = await control.createToken({
      name: 'lb',
      role: Role.PROXY,
      services: ['lb'],
    });
    await startProxyAgent(host, {
      coordinator: this.#fleet.address,
      token: secret,
      service: 'lb',
      stateDir: this.#stateDir,
    });
    await eventually(() => untilReady(subjects, () => this.servers(), signal), {
      timeoutMs: 60_000,
    });
    this.#subjects = await this.#findSubjects(signal);
  }

  async #findSubjects(signal: AbortSignal): Promise<Subject[]> {
    const { control } = this.#fleet.client;
    const { containers } = await control.listContainers({ services: ['web'] }, { signal });
    return containers.map(({ id, name, engineId }) => ({
      engineId,
      serverName: new RegExp(`^${name}\\.${shortId(id)}\\.\\d+$`),
      startedAtMs: systemClock.monotonic(),
    }));
  }
}
