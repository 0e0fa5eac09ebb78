import {
  ApiRole,
  Availability,
  ContainerPhase,
  PlacementStrategy,
  ServiceState,
  UpdateOrder,
  type Container,
  type DeepPartial,
  type ServiceSpec,
} from '../../../client/index.ts';
import { systemClock } from '../../../shared/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { Fleet } from '../../support/fleet/fleet.ts';
import { helloImage, labSite, proxyImage } from '../../support/fleet/lab-site.ts';
import type { Lab } from '../../support/lab/lab.ts';
import { runService } from '../support/services.ts';
import { applicationPort, applicationScript, missingImage, usualReplicas } from './application.ts';
import { Engines } from './engines.ts';
import type { Side } from './side.ts';

const tag = 'web';
const service = 'web';
const timeoutMs = 120_000;
const pollMs = 25;
/** The default of the coordinator: what a user has who sets nothing. */
const nodeGraceSeconds = 8;

/** Fairlead as it is shipped: the service on all hosts of a lab but the last, which has the load balancer. */
export class FairleadSide implements Side {
  readonly name = 'fairlead';
  readonly host: string;
  readonly port = applicationPort;
  readonly engines: Engines;
  readonly #fleet: Fleet;
  #updates = 0;
  /** What ran before an update that fails. */
  #before: ReadonlySet<string> = new Set();
  /** The action of the drain that was begun last. */
  #drain = '';

  private constructor(fleet: Fleet, lab: Lab) {
    this.#fleet = fleet;
    this.host = lab.hosts.at(-1)!.address;
    this.engines = new Engines(lab.hosts.slice(0, -1), (names) =>
      names.some((name) => name.startsWith(`/fairlead-${service}-`)),
    );
  }

  static async start(lab: Lab, signal: AbortSignal): Promise<FairleadSide> {
    const fleet = new Fleet(labSite(lab), { nodeGraceSeconds });
    const side = new FairleadSide(fleet, lab);
    const last = lab.hosts.at(-1)?.name;
    const plans = lab.hosts.map(({ name }) => ({ name, tags: [name === last ? 'lb' : tag] }));
    await fleet.start(plans, signal);
    await runService(fleet.client, service, side.#spec(), signal);
    const balancer: DeepPartial<ServiceSpec> = {
      image: proxyImage,
      apiRole: ApiRole.PROXY,
      tags: ['lb'],
      links: [{ service, alias: service }],
      ports: [{ containerPort: 80, published: true, hostPort: applicationPort }],
    };
    await runService(fleet.client, 'lb', balancer, signal);
    return side;
  }

  async beginScale(replicas: number, signal: AbortSignal): Promise<void> {
    await this.#fleet.client.control.scaleService({ service, replicas }, { signal });
  }

  async scaled(replicas: number, signal: AbortSignal): Promise<void> {
    await this.#until(signal, (containers) => {
      const ready = containers.filter(takesRequests);
      return ready.length === replicas;
    });
  }

  async beginRedeploy(parallelism: number, signal: AbortSignal): Promise<void> {
    await this.#setParallelism(parallelism, signal);
    await this.#fleet.client.control.redeployService({ service }, { signal });
  }

  async beginUpdate(parallelism: number, signal: AbortSignal): Promise<void> {
    await this.#setParallelism(parallelism, signal);
    this.#updates++;
    // What failed is still what was asked for: the image is said again.
    const spec = { image: helloImage, environment: this.#environment() };
    await this.#fleet.client.control.updateService(
      { service, spec, updateMask: ['image', 'environment'] },
      { signal },
    );
  }

  async updated(signal: AbortSignal): Promise<void> {
    const { revision } = await this.#service(signal);
    await this.#until(signal, (containers) => {
      const ready = containers.filter(takesRequests);
      return (
        ready.length === usualReplicas &&
        ready.every((container) => container.revision === revision)
      );
    });
  }

  async beginFailingUpdate(signal: AbortSignal): Promise<void> {
    const { control } = this.#fleet.client;
    await this.#setParallelism(1, signal);
    this.#before = new Set((await this.#containers(signal)).map(({ id }) => id));
    const spec = { image: missingImage };
    await control.updateService({ service, spec, updateMask: ['image'] }, { signal });
  }

  async rolledBack(signal: AbortSignal): Promise<void> {
    await this.#until(signal, async (containers) => {
      const { message } = await this.#service(signal);
      const live = containers.filter(({ phase }) => phase !== ContainerPhase.REMOVED);
      const isBack = live.length === usualReplicas && live.every(({ id }) => this.#before.has(id));
      return isBack && live.every(takesRequests) && message.includes('revision');
    });
  }

  async beginDrain(host: string, signal: AbortSignal): Promise<void> {
    const { control } = this.#fleet.client;
    const { action } = await control.drainNode({ node: host }, { signal });
    this.#drain = action?.id ?? '';
  }

  async drained(_: string, signal: AbortSignal): Promise<void> {
    await this.#fleet.client.waitForAction(this.#drain, { timeoutMs }, signal);
  }

  async activate(host: string, signal: AbortSignal): Promise<void> {
    const { control } = this.#fleet.client;
    await control.updateNode(
      { node: host, availability: Availability.ACTIVE, updateMask: ['availability'] },
      { signal },
    );
  }

  async killManager(signal: AbortSignal): Promise<void> {
    await this.#fleet.coordinator.kill(signal);
  }

  async startManager(signal: AbortSignal): Promise<void> {
    await this.#fleet.startCoordinator(signal);
  }

  async settled(signal: AbortSignal): Promise<void> {
    const { client } = this.#fleet;
    await eventually(
      async () => {
        const { state, message, readyContainers } = await this.#service(signal);
        const containers = await this.#containers(signal);
        if (
          state !== ServiceState.RUNNING ||
          readyContainers !== usualReplicas ||
          containers.length !== usualReplicas
        ) {
          throw new Error(`web is not settled: ${message}`);
        }
      },
      { timeoutMs },
      signal,
    );
    await client.ready(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fleet[Symbol.asyncDispose]();
  }

  #spec(): DeepPartial<ServiceSpec> {
    return {
      image: helloImage,
      replicas: usualReplicas,
      command: ['node', '-e', applicationScript],
      environment: this.#environment(),
      ports: [{ containerPort: applicationPort }],
      tags: [tag],
      strategy: PlacementStrategy.HIGH_AVAILABILITY,
      container: { init: true },
    };
  }

  #environment(): { readonly RELEASE: string } {
    return { RELEASE: String(this.#updates) };
  }

  async #setParallelism(parallelism: number, signal: AbortSignal): Promise<void> {
    await this.#fleet.client.control.updateService(
      {
        service,
        spec: { update: { order: UpdateOrder.START_FIRST, parallelism } },
        updateMask: ['update'],
      },
      { signal },
    );
  }

  async #service(signal: AbortSignal) {
    const answer = await this.#fleet.client.control.getService({ service }, { signal });
    if (answer.service === undefined) throw new Error('the service is gone');
    return answer.service;
  }

  async #containers(signal: AbortSignal): Promise<Container[]> {
    const { control } = this.#fleet.client;
    const { containers } = await control.listContainers({ services: [service] }, { signal });
    return containers;
  }

  async #until(
    signal: AbortSignal,
    isSo: (containers: readonly Container[]) => boolean | Promise<boolean>,
  ): Promise<void> {
    while (!(await isSo(await this.#containers(signal)))) {
      signal.throwIfAborted();
      await systemClock.sleep(pollMs, signal);
    }
  }
}

function takesRequests({ ready, phase }: Container): boolean {
  return ready && phase === ContainerPhase.RUNNING;
}
