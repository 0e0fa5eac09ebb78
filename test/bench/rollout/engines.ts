import Docker from 'dockerode';
import { systemClock } from '../../../shared/clock.ts';
import type { LabHost } from '../../support/lab/lab-host.ts';

/** A container of the service that runs. */
export interface Running {
  readonly id: string;
  readonly host: LabHost;
}

const pollMs = 25;

/** What really runs, as the engines say: the same question to both sides. */
export class Engines {
  readonly #hosts: readonly LabHost[];
  readonly #isOurs: (names: readonly string[]) => boolean;

  /** `isOurs` tells containers of the service by their names. */
  constructor(hosts: readonly LabHost[], isOurs: (names: readonly string[]) => boolean) {
    this.#hosts = hosts;
    this.#isOurs = isOurs;
  }

  host(name: string): LabHost {
    const host = this.#hosts.find((candidate) => candidate.name === name);
    if (host === undefined) throw new Error(`there is no host ${name}`);
    return host;
  }

  /** All that runs, but on hosts that are named. */
  async running(except: readonly string[] = []): Promise<Running[]> {
    const hosts = this.#hosts.filter(({ name }) => !except.includes(name));
    const lists = await Promise.all(
      hosts.map(async (host) => {
        const containers = await dockerOf(host).listContainers();
        return containers
          .filter(({ Names: names }) => this.#isOurs(names))
          .map(({ Id: id }) => ({ id, host }));
      }),
    );
    return lists.flat();
  }

  /** The process of a container, and when it was started. */
  async processOf({ id, host }: Running): Promise<{ pid: number; startedAt: string }> {
    const { State: state } = await dockerOf(host).getContainer(id).inspect();
    return { pid: state.Running ? state.Pid : 0, startedAt: state.StartedAt };
  }

  /** Whether another container runs in the place of one, or the same one again, before the time is over. */
  async replaced(
    victim: Running & { readonly startedAt: string },
    before: readonly Running[],
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<boolean> {
    const known = new Set(before.map(({ id }) => id));
    const deadlineMs = systemClock.monotonic() + timeoutMs;
    while (systemClock.monotonic() < deadlineMs) {
      signal.throwIfAborted();
      const running = await this.running();
      if (running.some(({ id }) => !known.has(id))) return true;
      if (running.some(({ id }) => id === victim.id)) {
        const { pid, startedAt } = await this.processOf(victim);
        if (pid !== 0 && startedAt !== victim.startedAt) return true;
      }
      await systemClock.sleep(pollMs, signal);
    }
    return false;
  }

  /** Resolves when one runs that is not among those before. */
  async untilNew(before: readonly Running[], signal: AbortSignal): Promise<void> {
    const known = new Set(before.map(({ id }) => id));
    while ((await this.running()).every(({ id }) => known.has(id))) {
      signal.throwIfAborted();
      await systemClock.sleep(pollMs, signal);
    }
  }

  /** Resolves when fewer run than so many. */
  async untilFewer(count: number, signal: AbortSignal): Promise<void> {
    while ((await this.running()).length >= count) {
      signal.throwIfAborted();
      await systemClock.sleep(pollMs, signal);
    }
  }

  /** Resolves when so many run on the hosts that are not named. */
  async untilRunning(count: number, except: readonly string[], signal: AbortSignal): Promise<void> {
    while ((await this.running(except)).length < count) {
      signal.throwIfAborted();
      await systemClock.sleep(pollMs, signal);
    }
  }
}

function dockerOf({ dockerSocket }: LabHost): Docker {
  return new Docker({ socketPath: dockerSocket });
}
