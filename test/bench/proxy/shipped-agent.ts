import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { TargetMode } from '../../../shared/gen/fairlead/v1/load_balancer.ts';
import type { Target } from '../../../shared/gen/fairlead/v1/proxy_service.ts';
import { systemClock } from '../../../shared/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { aSnapshot, aTarget, proxyToken } from '../../support/fake-proxy-coordinator.ts';
import { programs } from '../../support/fleet/programs.ts';
import { HaproxyDirectory } from '../../support/haproxy.ts';
import { maxConnections } from './fairlead-side.ts';
import type { Original } from './floor-side.ts';
import { PlainCoordinator } from './plain-coordinator.ts';
import { addressOf, ports } from './sink.ts';

/** As many servers are in turn, and as many drain, of those that come and go. */
const inTurn = 2;

function churnTarget(number: number): Target {
  const address = addressOf(20_000 + (number % 1_000));
  return aTarget({ id: `churn-${number}`, address, port: ports.old });
}

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

  /** Messages between it and its coordinator, both ways. */
  get messages(): number {
    return this.#coordinator.messages;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get original(): Original {
    const { path } = this.#directory;
    return { configuration: this.#directory.read('haproxy.cfg'), directory: path, port: this.port };
  }

  /**
   * Servers come, drain and go, so many changes a second, until the signal aborts. With 50 a second each is in turn for
   * 140 ms, and drains for as long: enough to be given requests, and to be read while it drains.
   */
  async churn(perSecond: number, signal: AbortSignal): Promise<void> {
    const fromMs = systemClock.monotonic();
    const first = this.#churned;
    for (let made = 0; !signal.aborted; made++) {
      const number = this.#churned;
      if (made % 3 === 0) this.#coordinator.change([churnTarget(number)]);
      if (made % 3 === 1 && number - inTurn >= first) {
        const target = churnTarget(number - inTurn);
        this.#coordinator.change([{ ...target, mode: TargetMode.DRAIN }]);
      }
      if (made % 3 === 2) {
        const gone = number - 2 * inTurn;
        if (gone >= first) this.#coordinator.change([], [churnTarget(gone).id]);
        this.#churned++;
      }
      const dueMs = fromMs + ((made + 1) * 1_000) / perSecond;
      await systemClock.sleep(Math.max(0, dueMs - systemClock.monotonic()), signal);
    }
    const left = Array.from({ length: 2 * inTurn + 1 }, (_, back) => this.#churned - back);
    const ids = left.filter((number) => number >= first).map((number) => churnTarget(number).id);
    this.#coordinator.change([], ids);
    this.#churned++;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
    await this.#coordinator[Symbol.asyncDispose]();
    await this.#directory[Symbol.asyncDispose]();
  }
}
