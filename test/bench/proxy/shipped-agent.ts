import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { TargetMode } from '../../../shared/gen/fairlead/v1/load_balancer.ts';
import { systemClock } from '../../../shared/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { aSnapshot, aTarget, proxyToken } from '../../support/fake-proxy-coordinator.ts';
import { programs } from '../../support/fleet/programs.ts';
import { HaproxyDirectory } from '../../support/haproxy.ts';
import { maxConnections } from './fairlead-side.ts';
import type { Original } from './floor-side.ts';
import { PlainCoordinator } from './plain-coordinator.ts';
import { addressOf, ports } from './sink.ts';

/** A proxy agent as it is shipped, and the coordinator that it follows. */
export class ShippedAgent implements AsyncDisposable {
  readonly port: number;
  readonly #coordinator: PlainCoordinator;
  readonly #directory = new HaproxyDirectory();
  readonly #child;
  /** Servers that came and went. */
  #churned = 0;

  private constructor(coordinator: PlainCoordinator, port: number) {
    this.#coordinator = coordinator;
    this.port = port;
    this.#child = spawn(process.execPath, [programs.proxy], {
      env: {
        PATH: process.env['PATH'],
        FAIRLEAD_COORDINATOR: coordinator.address,
        FAIRLEAD_TOKEN: proxyToken,
        FAIRLEAD_SERVICE: 'lb',
        FAIRLEAD_STATE_DIR: this.#directory.path,
        FAIRLEAD_MAX_CONNECTIONS: String(maxConnections),
        FAIRLEAD_STATS_PORT: '0',
        FAIRLEAD_LOG_LEVEL: 'silent',
      },
      stdio: 'ignore',
      // The kernel shares the processors out by session: as a service of the system it has one of its own.
      detached: true,
    });
  }

  static async start(port: number, servers: number): Promise<ShippedAgent> {
    const targets = Array.from({ length: servers }, (_, index) =>
      aTarget({ id: `old-${index}`, address: addressOf(index), port: ports.old }),
    );
    const coordinator = await PlainCoordinator.start(aSnapshot(port, { targets }));
    const agent = new ShippedAgent(coordinator, port);
    await eventually(
      () => {
        if (coordinator.appliedVersion === 0) throw new Error('the list is not in effect');
      },
      { timeoutMs: 60_000 },
    );
    return agent;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get original(): Original {
    const { path } = this.#directory;
    return { configuration: this.#directory.read('haproxy.cfg'), directory: path, port: this.port };
  }

  /** Servers come, drain and go, so many changes a second, until the signal aborts; returns how many there were. */
  async churn(perSecond: number, signal: AbortSignal): Promise<number> {
    const fromMs = systemClock.monotonic();
    let made = 0;
    for (; !signal.aborted; made++) {
      const number = this.#churned;
      const address = addressOf(20_000 + (number % 1_000));
      const target = aTarget({ id: `churn-${number}`, address, port: ports.old });
      if (made % 3 === 0) this.#coordinator.change([target]);
      if (made % 3 === 1) this.#coordinator.change([{ ...target, mode: TargetMode.DRAIN }]);
      if (made % 3 === 2) this.#coordinator.change([], [target.id]);
      if (made % 3 === 2) this.#churned++;
      const dueMs = fromMs + ((made + 1) * 1_000) / perSecond;
      await systemClock.sleep(Math.max(0, dueMs - systemClock.monotonic()), signal);
    }
    if (made % 3 !== 0) this.#coordinator.change([], [`churn-${this.#churned++}`]);
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
    await this.#coordinator[Symbol.asyncDispose]();
    await this.#directory[Symbol.asyncDispose]();
  }
}
