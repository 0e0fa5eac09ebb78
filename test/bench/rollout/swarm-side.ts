import Docker from 'dockerode';
import { systemClock } from '../../../shared/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { helloImage } from '../../support/fleet/lab-site.ts';
import type { Lab } from '../../support/lab/lab.ts';
import type { LabHost } from '../../support/lab/lab-host.ts';
import { untilAnswers } from '../support/http.ts';
import { applicationPort, applicationScript, missingImage, usualReplicas } from './application.ts';
import { Engines } from './engines.ts';
import type { Side } from './side.ts';

const service = 'web';
const timeoutMs = 120_000;
/** Every question costs the one manager processor time that its update needs. */
const pollMs = 200;

/** Of a task, what is read. */
interface Task {
  readonly DesiredState: string;
  readonly Status: { readonly State: string };
  readonly Spec: { readonly ForceUpdate?: number; readonly ContainerSpec: TaskContainer };
}

interface TaskContainer {
  readonly Image: string;
  readonly Env?: readonly string[];
}

/**
 * HAProxy as one sets it up before Swarm's services where there is no routing mesh: one server a replica, fed
 * by the names that Swarm's own DNS has.
 */
const balancerConfig = `
global
  maxconn 4000
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  retries 3
  option redispatch
resolvers swarm
  nameserver dns 127.0.0.11:53
  resolve_retries 3
  timeout resolve 1s
  timeout retry 1s
  hold valid 1s
frontend web
  bind :${applicationPort}
  default_backend web
backend web
  server-template web- 20 tasks.${service}:${applicationPort} check inter 1s resolvers swarm init-addr none
`;

/**
 * Swarm mode of the same engines: the service on all hosts but the last two, which have the load balancer and
 * the one manager. The network is an overlay; the routing mesh would need IPVS of the kernel.
 */
export class SwarmSide implements Side {
  readonly name = 'swarm';
  readonly host: string;
  readonly port = applicationPort;
  readonly engines: Engines;
  readonly #lab: Lab;
  readonly #manager: LabHost;
  #updates = 0;
  #forced = 0;

  private constructor(lab: Lab) {
    this.#lab = lab;
    this.#manager = lab.hosts.at(-1)!;
    this.host = lab.hosts.at(-2)!.address;
    this.engines = new Engines(lab.hosts.slice(0, -2), (names) =>
      names.some((name) => name.startsWith(`/${service}.`)),
    );
  }

  static async start(lab: Lab, signal: AbortSignal): Promise<SwarmSide> {
    const side = new SwarmSide(lab);
    await side.#form(signal);
    await side.#deploy(signal);
    return side;
  }

  async beginScale(replicas: number, signal: AbortSignal): Promise<void> {
    await this.#docker(['service', 'scale', '--detach', `${service}=${replicas}`], signal);
  }

  async scaled(replicas: number, signal: AbortSignal): Promise<void> {
    await this.#until(signal, (tasks) => tasks.length === replicas && tasks.every(isRunning));
  }

  async beginRedeploy(parallelism: number, signal: AbortSignal): Promise<void> {
    this.#forced++;
    const pace = ['--update-parallelism', String(parallelism)];
    await this.#docker(['service', 'update', '--detach', '--force', ...pace, service], signal);
  }

  async beginUpdate(parallelism: number, signal: AbortSignal): Promise<void> {
    this.#updates++;
    const change = ['--env-add', `RELEASE=${this.#updates}`];
    const pace = ['--update-parallelism', String(parallelism)];
    await this.#docker(['service', 'update', '--detach', ...pace, ...change, service], signal);
  }

  async updated(signal: AbortSignal): Promise<void> {
    await this.#until(signal, (tasks) => this.#areNew(tasks));
  }

  async beginFailingUpdate(signal: AbortSignal): Promise<void> {
    const image = ['--image', missingImage, '--no-resolve-image'];
    const failing = ['--update-failure-action', 'rollback', '--update-parallelism', '1'];
    await this.#docker(['service', 'update', '--detach', ...failing, ...image, service], signal);
  }

  async rolledBack(signal: AbortSignal): Promise<void> {
    const { docker } = this;
    for (;;) {
      signal.throwIfAborted();
      const inspected = (await docker.getService(service).inspect()) as {
        readonly UpdateStatus?: { readonly State?: string };
      };
      const state = inspected.UpdateStatus?.State ?? '';
      if (state === 'rollback_completed' && this.#areNew(await this.#tasks())) return;
      if (state.endsWith('paused')) throw new Error(`the update is ${state}`);
      await systemClock.sleep(pollMs, signal);
    }
  }

  async beginDrain(host: string, signal: AbortSignal): Promise<void> {
    await this.#docker(['node', 'update', '--availability', 'drain', host], signal);
  }

  async drained(host: string, signal: AbortSignal): Promise<void> {
    await this.#until(
      signal,
      async (tasks) =>
        tasks.length === usualReplicas &&
        tasks.every(isRunning) &&
        (await this.engines.running()).every((each) => each.host.name !== host),
    );
  }

  async activate(host: string, signal: AbortSignal): Promise<void> {
    await this.#docker(['node', 'update', '--availability', 'active', host], signal);
  }

  async killManager(signal: AbortSignal): Promise<void> {
    await this.#manager.killEngine(signal);
  }

  async startManager(signal: AbortSignal): Promise<void> {
    await this.#manager.startEngine(signal);
    await eventually(
      async () => {
        await this.#docker(['node', 'ls', '--quiet'], signal);
      },
      { timeoutMs },
      signal,
    );
  }

  async settled(signal: AbortSignal): Promise<void> {
    await this.#until(signal, (tasks) => tasks.length === usualReplicas && tasks.every(isRunning));
    await eventually(
      async () => {
        const { length } = await this.engines.running();
        if (length !== usualReplicas) throw new Error(`${length} containers run`);
      },
      { timeoutMs },
      signal,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]();
  }

  get docker(): Docker {
    return new Docker({ socketPath: this.#manager.dockerSocket });
  }

  async #form(signal: AbortSignal): Promise<void> {
    const { address } = this.#manager;
    await this.#docker(['swarm', 'init', '--advertise-addr', address], signal);
    const token = await this.#docker(['swarm', 'join-token', '--quiet', 'worker'], signal);
    for (const host of this.#lab.hosts) {
      if (host === this.#manager) continue;
      const join = ['swarm', 'join', '--token', token.trim(), '--advertise-addr', host.address];
      await host.docker([...join, `${address}:2377`], signal);
      const isBalancer = host.address === this.host;
      const label = ['node', 'update', '--label-add', `part=${isBalancer ? 'lb' : service}`];
      await eventually(
        async () => {
          await this.#docker([...label, host.name], signal);
        },
        { timeoutMs },
        signal,
      );
    }
    await this.#docker(['node', 'update', '--availability', 'drain', this.#manager.name], signal);
    await this.#docker(['network', 'create', '--driver', 'overlay', 'inner'], signal);
  }

  async #deploy(signal: AbortSignal): Promise<void> {
    const create = ['service', 'create', '--detach', '--network', 'inner', '--no-resolve-image'];
    const part = (name: string) => ['--constraint', `node.labels.part==${name}`];
    await this.#docker(
      [
        ...create,
        ...['--name', service, '--replicas', String(usualReplicas), '--init'],
        ...['--update-order', 'start-first', '--env', 'RELEASE=0', ...part(service)],
        ...[helloImage, 'node', '-e', applicationScript],
      ],
      signal,
    );
    const { docker } = this;
    await docker.createConfig({
      Name: 'balancer',
      Data: Buffer.from(balancerConfig).toString('base64'),
    });
    await this.settled(signal);
    const publish = `mode=host,target=${applicationPort},published=${this.port}`;
    await this.#docker(
      [
        ...create,
        ...['--name', 'lb', '--publish', publish, ...part('lb')],
        ...['--config', 'source=balancer,target=/haproxy.cfg'],
        ...[helloImage, 'haproxy', '-W', '-db', '-f', '/haproxy.cfg'],
      ],
      signal,
    );
    await untilAnswers(this.host, this.port, signal);
  }

  /** All that is to run is as the service is defined now, and runs. */
  #areNew(tasks: readonly Task[]): boolean {
    return (
      tasks.length === usualReplicas &&
      tasks.every(
        (task) =>
          isRunning(task) &&
          // Swarm writes the tag that is left out.
          task.Spec.ContainerSpec.Image.startsWith(helloImage) &&
          (task.Spec.ForceUpdate ?? 0) === this.#forced &&
          task.Spec.ContainerSpec.Env?.includes(`RELEASE=${this.#updates}`) === true,
      )
    );
  }

  async #tasks(): Promise<Task[]> {
    const filters = { service: [service], 'desired-state': ['running', 'ready'] };
    return (await this.docker.listTasks({ filters: JSON.stringify(filters) })) as Task[];
  }

  async #until(
    signal: AbortSignal,
    isSo: (tasks: readonly Task[]) => boolean | Promise<boolean>,
  ): Promise<void> {
    while (!(await isSo(await this.#tasks()))) {
      signal.throwIfAborted();
      await systemClock.sleep(pollMs, signal);
    }
  }

  async #docker(args: readonly string[], signal: AbortSignal): Promise<string> {
    return await this.#manager.docker(args, signal);
  }
}

function isRunning({ Status: status }: Task): boolean {
  return status.State === 'running';
}
