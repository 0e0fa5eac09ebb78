import { mkdirSync, readFileSync } from 'node:fs';
import { pino } from 'pino';
import type { ListDelta, Target } from '../../../agent/proxy/backend-list.ts';
import { capabilitiesOf } from '../../../agent/proxy/capabilities.ts';
import { ConfigStore } from '../../../agent/proxy/config-store.ts';
import { HaproxyDriver } from '../../../agent/proxy/driver.ts';
import { HaproxyProcess } from '../../../agent/proxy/haproxy-process.ts';
import { ListFile } from '../../../agent/proxy/list-file.ts';
import { Outbox } from '../../../agent/proxy/outbox.ts';
import { ProcessorPressure } from '../../../agent/proxy/processor-pressure.ts';
import { statePaths, type StatePaths } from '../../../agent/proxy/state-directory.ts';
import { systemClock } from '../../../shared/clock.ts';
import { systemRandom } from '../../../shared/random.ts';
import { addressOf, ports } from './sink.ts';
import type { NewServer, Side } from './side.ts';

const epoch = 'bench';
export const maxConnections = 1_000;

/** The part of the proxy agent that drives HAProxy, in this process: what the wire costs is measured elsewhere. */
export class FairleadSide implements Side, AsyncDisposable {
  readonly name = 'fairlead';
  readonly port: number;
  readonly #paths: StatePaths;
  readonly #haproxy: HaproxyProcess;
  readonly #driver: HaproxyDriver;
  readonly #outbox: Outbox;
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;
  #version = 1;

  private constructor(stateDir: string, port: number, servers: number) {
    this.port = port;
    mkdirSync(stateDir, { mode: 0o700 });
    this.#paths = statePaths(stateDir);
    const log = pino({ level: 'silent' });
    const clock = systemClock;
    const limits = {
      commandTimeoutMs: 10_000,
      startTimeoutMs: 60_000,
      sharesOutput: false,
      capabilitiesOf,
    };
    this.#haproxy = new HaproxyProcess(
      this.#paths,
      { binary: 'haproxy', ...limits },
      { clock, log },
    );
    const settings = {
      ...{ maxConnections, statsPort: 0, statsAuth: undefined, accessLog: false },
      ...{ metricsPort: 0, metricsAddress: '127.0.0.1', pausePort: 1_053 },
    };
    const configStore = new ConfigStore(this.#paths, settings, this.#haproxy);
    this.#outbox = new Outbox(clock);
    this.#driver = new HaproxyDriver({
      ...{ clock, log, configStore, outbox: this.#outbox, haproxy: this.#haproxy },
      random: () => systemRandom.fraction(),
      pressure: new ProcessorPressure(clock),
      listFile: new ListFile(this.#paths.list, log),
      onWorker: () => undefined,
      onPauses: () => undefined,
    });
    this.#driver.replaceList({
      ...{ epoch, version: 1, rejected: [] },
      frontends: [{ name: 'http', port, protocol: 'http', defaultBackend: 'web', routes: [] }],
      backends: [{ name: 'web', protocol: 'http' }],
      targets: Array.from({ length: servers }, (_, index) =>
        targetOf({ id: `old-${index}`, address: addressOf(index), port: ports.old }),
      ),
    });
    const { signal } = this.#stop;
    this.#running = Promise.all([this.#driver.run(signal), this.#driver.drainer.run(signal)]);
  }

  static async start(stateDir: string, port: number, servers: number): Promise<FairleadSide> {
    const side = new FairleadSide(stateDir, port, servers);
    await side.#inEffect();
    return side;
  }

  /** What its HAProxy began with. */
  get configuration(): string {
    return readFileSync(this.#paths.config, 'utf8');
  }

  get directory(): string {
    return this.#paths.directory;
  }

  async add(servers: readonly NewServer[]): Promise<void> {
    for (const server of servers) this.#change([targetOf(server)], []);
    await this.#inEffect();
  }

  async remove(servers: readonly NewServer[]): Promise<void> {
    for (const { id } of servers) this.#change([], [id]);
    await this.#inEffect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#haproxy.stop(0);
  }

  #change(targets: readonly Target[], removedTargetIds: readonly string[]): void {
    const baseVersion = this.#version++;
    const delta: ListDelta = {
      ...{ epoch, baseVersion, version: this.#version, rejected: [] },
      ...{ targets, removedTargetIds },
    };
    if (!this.#driver.changeList(delta)) throw new Error('the agent missed a version');
  }

  async #inEffect(): Promise<void> {
    while (this.#outbox.applied?.version !== this.#version) {
      await this.#outbox.wakeup.wait(this.#stop.signal);
      this.#outbox.take();
    }
    if (this.#outbox.applied.errors.size > 0) throw new Error('HAProxy refused a server');
  }
}

function targetOf({ id, address, port }: NewServer): Target {
  const mode = 'ready' as const;
  return {
    id,
    backend: 'web',
    address,
    port,
    mode,
    drainTimeoutMs: 1_000,
    container: id,
    containerId: id,
  };
}
