import { identityOf } from '../../../../agent/node/docker/container-labels.ts';
import {
  restartPolicyOf,
  type CreateOptions,
} from '../../../../agent/node/docker/container-options.ts';
import {
  EngineRefusedError,
  EngineUnreachableError,
  type ContainerEngine,
  type ContainerEvent,
  type ContainerNews,
  type EngineContainer,
  type EngineInfo,
} from '../../../../agent/node/docker/engine.ts';
import type { ContainerId } from '../../../../shared/ids.ts';
import { Wakeup } from '../../../../shared/wakeup.ts';
import { aBinding, startedAt } from './builders.ts';

type Method =
  'ping' | 'inspect' | 'hasImage' | 'pull' | 'create' | 'start' | 'restart' | 'stop' | 'remove';

const readers: readonly Method[] = ['ping', 'inspect', 'hasImage'];

/** A call that waits until the test lets it go on. */
interface Held {
  readonly method: Method;
  readonly release: () => void;
}

/**
 * An engine in memory, at the interface that the agent has of its own: a test decides when calls are
 * answered, what is refused, and when the engine is away.
 */
export class FakeEngine implements ContainerEngine {
  readonly containers = new Map<string, EngineContainer>();
  readonly images = new Set(['hello']);
  /** Every call that changes something, as `start web-3`. */
  readonly calls: string[] = [];
  /** Every call that asks for a container or an image. */
  readonly questions: ('find' | 'inspect' | 'hasImage')[] = [];
  readonly held: Held[] = [];
  /** Methods whose calls wait for `release`. */
  readonly hold = new Set<Method>();
  readonly refusals = new Map<Method, EngineRefusedError>();
  /** Methods that find the engine away, as the others will soon. */
  readonly unreachable = new Set<Method>();
  isAway = false;
  /** It takes no new connections, and ends containers. */
  isShuttingDown = false;
  /** Answers nothing, and ends nothing. */
  isFrozen = false;
  connections = 0;
  info: EngineInfo = {
    version: '20.10.24',
    apiVersion: '1.41',
    operatingSystem: 'Debian',
    os: 'linux',
    architecture: 'amd64',
    cpus: 2,
    memoryBytes: 2 ** 33,
    nowMs: startedAt.getTime(),
  };
  readonly sinceMs: number[] = [];
  #created = 0;
  #starts = 0;
  #streams = new Set<{ readonly events: ContainerEvent[]; readonly wakeup: Wakeup }>();

  async connect(signal: AbortSignal): Promise<EngineInfo> {
    await this.#answer(signal);
    this.connections++;
    return this.info;
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.#do('ping', '', signal);
  }

  async takesConnections(signal: AbortSignal): Promise<boolean> {
    await this.#answer(signal);
    return !this.isShuttingDown;
  }

  async list(signal: AbortSignal): Promise<EngineContainer[]> {
    await this.#answer(signal);
    return [...this.containers.values()];
  }

  async find(containerId: ContainerId, signal: AbortSignal): Promise<EngineContainer | undefined> {
    this.questions.push('find');
    return (await this.list(signal)).find(({ identity }) => identity.containerId === containerId);
  }

  async inspect(engineId: string, signal: AbortSignal): Promise<EngineContainer | undefined> {
    this.questions.push('inspect');
    const found = this.containers.get(engineId);
    await this.#do('inspect', '', signal);
    return found;
  }

  async hasImage(image: string, signal: AbortSignal): Promise<boolean> {
    this.questions.push('hasImage');
    await this.#do('hasImage', image, signal);
    return this.images.has(image);
  }

  async pull(image: string, signal: AbortSignal): Promise<void> {
    await this.#do('pull', image, signal);
    this.images.add(image);
  }

  async create(name: string, options: CreateOptions, signal: AbortSignal): Promise<string> {
    const identity = identityOf(options.Labels)!;
    await this.#do('create', identity.name, signal);
    const isTaken = [...this.containers.values()].some(
      (container) => container.identity.containerId === identity.containerId,
    );
    if (isTaken) throw new EngineRefusedError('conflict', `the name ${name} is in use`);
    const engineId = `${++this.#created}`.padStart(64, '0');
    this.containers.set(engineId, {
      engineId,
      identity,
      state: 'created',
      pid: 0,
      exitCode: 0,
      error: '',
      outOfMemory: false,
      restartPolicy: restartPolicyOf(options.HostConfig.RestartPolicy.Name),
      restartLimit: 0,
      restarts: 0,
      startedAt: undefined,
      endedAt: undefined,
      ports: [],
    });
    return engineId;
  }

  async start(engineId: string, signal: AbortSignal): Promise<void> {
    await this.#do('start', this.#nameOf(engineId), signal);
    this.run(engineId);
  }

  async stop(engineId: string, graceMs: number, signal: AbortSignal): Promise<void> {
    await this.#do('stop', `${this.#nameOf(engineId)} ${graceMs}`, signal);
    this.end(engineId, 143, 'ended');
  }

  async restart(engineId: string, graceMs: number, signal: AbortSignal): Promise<void> {
    this.tell(engineId, { kind: 'signalled', signalNumber: 15 });
    this.end(engineId, 143, 'ended');
    await this.#do('restart', `${this.#nameOf(engineId)} ${graceMs}`, signal);
    this.run(engineId);
  }

  runCommand(): Promise<never> {
    return Promise.reject(new Error('there are no processes in memory'));
  }

  async remove(engineId: string, signal: AbortSignal): Promise<void> {
    await this.#do('remove', this.#nameOf(engineId), signal);
    this.vanish(engineId);
  }

  async events(sinceMs: number, signal: AbortSignal): Promise<AsyncIterable<ContainerEvent>> {
    await this.#answer(signal);
    this.sinceMs.push(sinceMs);
    const stream = { events: [], wakeup: new Wakeup() };
    this.#streams.add(stream);
    return this.#read(stream, signal);
  }

  /** Its process starts. */
  run(engineId: string): void {
    const startedAtMs = startedAt.getTime() + ++this.#starts * 1_000;
    const bindings = [aBinding({ hostPort: 49_000 + this.#starts })];
    this.change(engineId, {
      state: 'running',
      pid: this.#starts,
      startedAt: new Date(startedAtMs),
      ports: bindings,
    });
    this.tell(engineId, { kind: 'started' });
  }

  /** Its process ends, and this is what becomes of it. */
  end(engineId: string, exitCode: number, state: 'ended' | 'restarting'): void {
    this.change(engineId, { state, exitCode, pid: 0, ports: [] });
    this.tell(engineId, { kind: 'ended', exitCode });
  }

  /** It is gone. */
  vanish(engineId: string): void {
    const { identity } = this.containers.get(engineId)!;
    this.containers.delete(engineId);
    this.#publish({ ...this.#about(engineId, identity.containerId), kind: 'removed' });
  }

  change(engineId: string, change: Partial<EngineContainer>): void {
    this.containers.set(engineId, { ...this.containers.get(engineId)!, ...change });
  }

  tell(engineId: string, news: ContainerNews): void {
    const { identity } = this.containers.get(engineId)!;
    this.#publish({ ...this.#about(engineId, identity.containerId), ...news });
  }

  /** Goes away, as an engine that is stopped. */
  leave(): void {
    this.isAway = true;
    for (const { wakeup } of this.#streams) wakeup.notify();
  }

  /** Lets the oldest call that waits go on. */
  release(): void {
    this.held.shift()?.release();
  }

  async *#read(
    stream: { readonly events: ContainerEvent[]; readonly wakeup: Wakeup },
    signal: AbortSignal,
  ): AsyncGenerator<ContainerEvent> {
    while (!signal.aborted) {
      const event = stream.events.shift();
      if (event !== undefined) yield event;
      else if (this.isAway) break;
      else await stream.wakeup.wait(signal);
    }
    this.#streams.delete(stream);
    throw new EngineUnreachableError('the engine ended its event stream');
  }

  #about(engineId: string, containerId: ContainerId) {
    return { engineId, containerId, atMs: startedAt.getTime() + 1_000_000 };
  }

  #publish(event: ContainerEvent): void {
    for (const { events, wakeup } of this.#streams) {
      events.push(event);
      wakeup.notify();
    }
  }

  #nameOf(engineId: string): string {
    return this.containers.get(engineId)?.identity.name ?? engineId;
  }

  async #do(method: Method, what: string, signal: AbortSignal): Promise<void> {
    if (!readers.includes(method)) this.calls.push(`${method} ${what}`);
    if (this.hold.has(method)) {
      await new Promise<void>((resolve, reject) => {
        this.held.push({ method, release: resolve });
        signal.addEventListener('abort', () => {
          reject(signal.reason as Error);
        });
      });
    }
    await this.#answer(signal);
    if (this.unreachable.has(method)) throw new EngineUnreachableError('no engine listens');
    const refusal = this.refusals.get(method);
    if (refusal !== undefined) throw refusal;
  }

  async #answer(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.isFrozen) {
      await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(signal.reason as Error);
        });
      });
    }
    if (this.isAway) throw new EngineUnreachableError('no engine listens');
    await Promise.resolve();
  }
}
