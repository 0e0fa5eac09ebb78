import { Agent } from 'node:http';
import type { Duplex } from 'node:stream';
import Docker from 'dockerode';
import { abortable, ChildController, onAbort } from '../../../shared/abort.ts';
import type { Clock } from '../../../shared/clock.ts';
import { messageOf } from '../../../shared/errors.ts';
import type { ContainerId, NodeId } from '../../../shared/ids.ts';
import type { EngineVolumes } from '../volumes.ts';
import { negotiateApiVersion } from './api-version.ts';
import {
  containerEventOf,
  engineContainerOf,
  watchedEvents,
  type DockerEvent,
} from './container-facts.ts';
import { containerLabel, nodeLabel } from './container-labels.ts';
import { graceSeconds, withTag, type CreateOptions } from './container-options.ts';
import {
  EngineRefusedError,
  EngineUnreachableError,
  type ContainerEngine,
  type ContainerEvent,
  type EngineContainer,
  type EngineInfo,
  type RunningCommand,
} from './engine.ts';
import type { DockerExec, ExecCommand } from './docker-exec.ts';
import { jsonLines } from './json-lines.ts';
import { outputReader } from './output-frames.ts';
import type { EngineLogQuery, LogLine } from './log-lines.ts';

export interface DockerodeEngineOptions {
  readonly socketPath: string;
  readonly nodeId: NodeId;
}

/** The part of Docker's answer to /info that is read; dockerode has no type for it. */
interface DockerInfo {
  readonly OperatingSystem: string;
  readonly NCPU: number;
  readonly MemTotal: number;
  readonly SystemTime: string;
}

/** How dockerode is told what goes into the address and what into the body; it has no type for it. */
interface CreateRequest {
  readonly _query: { readonly name: string };
  readonly _body: CreateOptions;
}

/** How dockerode is told whose connections to use; it has no type for it. */
interface EngineConnection extends Docker.DockerOptions {
  readonly agent: Agent | undefined;
}

/** The part of dockerode below its methods; it has no type for it. */
interface Modem {
  readonly dial: (
    request: object,
    answer: (error: Error | null, stream: NodeJS.ReadableStream) => void,
  ) => void;
}

/** How long the engine may take; only what moves much data or waits for a process takes longer. */
const limitsMs = {
  connect: 5_000,
  newConnection: 2_000,
  inspect: 10_000,
  create: 60_000,
  start: 120_000,
  remove: 60_000,
  /** Beyond the grace: Docker kills, then waits for containerd. */
  stop: 30_000,
  /** Until the registry says anything. */
  pull: 300_000,
} as const;

/** What Docker calls a volume that nobody gave a name. */
const anonymousVolume = /^[0-9a-f]{64}$/;

/** Inspections at the same time while listing. */
const listParallelism = 4;

/** The Docker Engine of this host, through dockerode: the only place that knows it. */
export class DockerodeEngine implements ContainerEngine, EngineVolumes {
  readonly #options: DockerodeEngineOptions;
  readonly #clock: Clock;
  #docker: Docker;

  constructor({ clock }: { readonly clock: Clock }, options: DockerodeEngineOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#docker = this.#dial(undefined);
  }

  async connect(signal: AbortSignal): Promise<EngineInfo> {
    const versionless = this.#dial(undefined);
    const versions = await this.#call(limitsMs.connect, signal, () => versionless.version());
    const negotiation = negotiateApiVersion({
      engineVersion: versions.Version,
      apiVersion: versions.ApiVersion,
      // Some engines that are not Docker's leave it out.
      minApiVersion: versions.MinAPIVersion ?? '',
    });
    if (negotiation.kind === 'refused') throw new EngineUnreachableError(negotiation.reason);
    this.#docker = this.#dial(negotiation.apiVersion);
    const info: DockerInfo = await this.#call(
      limitsMs.connect,
      signal,
      () => this.#docker.info() as Promise<DockerInfo>,
    );
    return {
      version: versions.Version,
      apiVersion: negotiation.apiVersion,
      operatingSystem: info.OperatingSystem,
      os: versions.Os,
      architecture: versions.Arch,
      cpus: info.NCPU,
      memoryBytes: info.MemTotal,
      nowMs: Date.parse(info.SystemTime),
    };
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.#call(limitsMs.connect, signal, () => this.#docker.ping());
  }

  async takesConnections(signal: AbortSignal): Promise<boolean> {
    const engine = this.#dial(undefined, new Agent({ keepAlive: false }));
    try {
      await this.#call(limitsMs.newConnection, signal, () => engine.ping());
      return true;
    } catch (error) {
      if (error instanceof EngineUnreachableError || error instanceof EngineRefusedError)
        return false;
      throw error;
    }
  }

  async list(signal: AbortSignal): Promise<EngineContainer[]> {
    const ids = await this.#idsByLabel([], signal);
    const containers: EngineContainer[] = [];
    const inspectNext = async (): Promise<void> => {
      for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
        const container = await this.inspect(id, signal);
        if (container !== undefined) containers.push(container);
      }
    };
    await Promise.all(Array.from({ length: listParallelism }, inspectNext));
    return containers;
  }

  async find(containerId: ContainerId, signal: AbortSignal): Promise<EngineContainer | undefined> {
    const [id] = await this.#idsByLabel([`${containerLabel}=${containerId}`], signal);
    return id === undefined ? undefined : this.inspect(id, signal);
  }

  async inspect(engineId: string, signal: AbortSignal): Promise<EngineContainer | undefined> {
    const found = await unlessMissing(
      // Not cancelled: the answer is short, and a request that can be cancelled takes longer to make.
      this.#call(limitsMs.inspect, signal, () => this.#docker.getContainer(engineId).inspect()),
    );
    const container = found && engineContainerOf(found);
    return container?.identity.nodeId === this.#options.nodeId ? container : undefined;
  }

  async hasImage(image: string, signal: AbortSignal): Promise<boolean> {
    const found = await unlessMissing(
      this.#call(limitsMs.inspect, signal, () => this.#docker.getImage(withTag(image)).inspect()),
    );
    return found !== undefined;
  }

  async pull(image: string, signal: AbortSignal): Promise<void> {
    using life = new ChildController(signal);
    const progress = await this.#call(limitsMs.pull, life.signal, () =>
      this.#docker.pull(withTag(image), { abortSignal: life.signal }),
    );
    for await (const line of this.#lines(progress)) {
      const { error } = line as { error?: unknown };
      if (typeof error === 'string') throw new EngineRefusedError('refused', error);
    }
  }

  async create(name: string, options: CreateOptions, signal: AbortSignal): Promise<string> {
    // Said apart: dockerode would put all of it into the address too, with the secrets in it.
    const request: Docker.ContainerCreateOptions & CreateRequest = {
      _query: { name },
      _body: options,
    };
    const { id } = await this.#call(limitsMs.create, signal, (abortSignal) =>
      this.#docker.createContainer({ ...request, abortSignal }),
    );
    return id;
  }

  async start(engineId: string, signal: AbortSignal): Promise<void> {
    await unlessDone(
      this.#call(limitsMs.start, signal, (abortSignal) =>
        this.#docker.getContainer(engineId).start({ abortSignal }),
      ),
    );
  }

  async stop(engineId: string, graceMs: number, signal: AbortSignal): Promise<void> {
    const stopped = unlessDone(
      this.#call(graceMs + limitsMs.stop, signal, (abortSignal) =>
        this.#docker.getContainer(engineId).stop({ t: graceSeconds(graceMs), abortSignal }),
      ),
    );
    await unlessMissing(stopped);
  }

  async restart(engineId: string, graceMs: number, signal: AbortSignal): Promise<void> {
    await this.#call(graceMs + limitsMs.stop + limitsMs.start, signal, (abortSignal) =>
      this.#docker.getContainer(engineId).restart({ t: graceSeconds(graceMs), abortSignal }),
    );
  }

  async runCommand(
    engineId: string,
    command: readonly string[],
    signal: AbortSignal,
  ): Promise<RunningCommand> {
    const exec = await this.#call(limitsMs.inspect, signal, (abortSignal) =>
      this.#docker
        .getContainer(engineId)
        .exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true, abortSignal }),
    );
    const output = await this.#call(limitsMs.start, signal, (abortSignal) =>
      exec.start({ abortSignal }),
    );
    return {
      exitCode: async (until) => {
        const { Running, ExitCode } = await this.#call(limitsMs.inspect, until, (abortSignal) =>
          exec.inspect({ abortSignal }),
        );
        return Running ? undefined : (ExitCode ?? undefined);
      },
      ended: (until) => abortable(lastWords(output), until),
    };
  }

  async remove(engineId: string, signal: AbortSignal): Promise<void> {
    await unlessMissing(
      this.#call(limitsMs.remove, signal, (abortSignal) =>
        this.#docker.getContainer(engineId).remove({ force: true, v: true, abortSignal }),
      ),
    );
  }

  async events(sinceMs: number, signal: AbortSignal): Promise<AsyncIterable<ContainerEvent>> {
    const stream = await this.#call(limitsMs.connect, signal, () =>
      this.#docker.getEvents({
        since: sinceMs / 1000,
        filters: {
          type: ['container'],
          event: watchedEvents,
          label: [`${nodeLabel}=${this.#options.nodeId}`],
        },
        abortSignal: signal,
      }),
    );
    return this.#readEvents(stream);
  }

  async volumes(signal: AbortSignal): Promise<string[]> {
    const { Volumes: all } = await this.#call(limitsMs.inspect, signal, () =>
      this.#docker.listVolumes(),
    );
    return all.map(({ Name }) => Name).filter((name) => !anonymousVolume.test(name));
  }

  async volumeChanges(signal: AbortSignal): Promise<AsyncIterable<unknown>> {
    const stream = await this.#call(limitsMs.connect, signal, () =>
      this.#docker.getEvents({
        filters: { type: ['volume'], event: ['create', 'destroy'] },
        abortSignal: signal,
      }),
    );
    return this.#lines(stream);
  }

  /** The lines of a log as the reader takes them: the engine is not read faster. */
  async *logs(
    engineId: string,
    query: EngineLogQuery,
    signal: AbortSignal,
  ): AsyncGenerator<LogLine[]> {
    const { logParser, logRequest } = await import('./log-lines.ts');
    const container = this.#docker.getContainer(engineId);
    const { Config: config } = await this.#call(limitsMs.inspect, signal, (abortSignal) =>
      container.inspect({ abortSignal }),
    );
    const parser = logParser({ hasTerminal: config.Tty });
    const request = { ...logRequest(engineId, query), abortSignal: signal };
    const stream = await this.#call(limitsMs.inspect, signal, () => this.#stream(request));
    try {
      for await (const chunk of stream) {
        const lines = parser.push(chunk as Buffer);
        if (lines.length > 0) yield lines;
      }
    } catch (error) {
      signal.throwIfAborted();
      throw this.#engineError(error);
    }
    const rest = parser.end();
    if (rest.length > 0) yield rest;
  }

  /** Runs a command inside of a container; `mark` tells its processes from others. */
  async exec(
    engineId: string,
    { command, mark }: { readonly command: ExecCommand; readonly mark: string },
    signal: AbortSignal,
  ): Promise<DockerExec> {
    const { DockerExec: Exec, execRequests } = await import('./docker-exec.ts');
    const requests = execRequests(
      { docker: this.#docker, engineId },
      { quick: limitsMs.inspect, start: limitsMs.start },
      (limitMs, until, request) => this.#call(limitMs, until, request),
    );
    return await Exec.start({ requests, clock: this.#clock, mark }, command, signal);
  }

  /** An answer that is read as it comes, which dockerode itself would gather whole. */
  async #stream(request: object): Promise<NodeJS.ReadableStream> {
    const { modem } = this.#docker as { readonly modem: Modem };
    return await new Promise((resolve, reject) => {
      modem.dial(request, (error, stream) => {
        if (error === null) resolve(stream);
        else reject(error);
      });
    });
  }

  async *#readEvents(stream: NodeJS.ReadableStream): AsyncGenerator<ContainerEvent> {
    for await (const line of this.#lines(stream)) {
      const event = containerEventOf(line as DockerEvent);
      if (event !== undefined) yield event;
    }
    throw new EngineUnreachableError('the engine ended its event stream');
  }

  async *#lines(stream: NodeJS.ReadableStream): AsyncGenerator {
    try {
      yield* jsonLines(stream);
    } catch (error) {
      throw this.#engineError(error);
    }
  }

  async #idsByLabel(labels: readonly string[], signal: AbortSignal): Promise<string[]> {
    const label = [`${nodeLabel}=${this.#options.nodeId}`, ...labels];
    const found = await this.#call(limitsMs.inspect, signal, (abortSignal) =>
      this.#docker.listContainers({ all: true, filters: { label }, abortSignal }),
    );
    return found.map(({ Id }) => Id);
  }

  /** Without `agent`, connections are kept and used again. */
  #dial(apiVersion: string | undefined, agent?: Agent): Docker {
    const options: EngineConnection = {
      socketPath: this.#options.socketPath,
      protocol: 'http',
      // Said, so that DOCKER_HOST of the environment does not take over.
      host: undefined,
      version: apiVersion && `v${apiVersion}`,
      agent,
    };
    return new Docker(options);
  }

  /**
   * Bounds a request. The race is needed: when the engine dies in the middle of an answer, dockerode's
   * promise never settles.
   */
  async #call<T>(
    limitMs: number,
    signal: AbortSignal,
    request: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const limit = new AbortController();
    using _parent = onAbort(signal, () => {
      limit.abort(signal.reason);
    });
    using _limit = this.#clock.after(limitMs, () => {
      limit.abort(new EngineUnreachableError(`the engine did not answer within ${limitMs} ms`));
    });
    try {
      return await abortable(request(limit.signal), limit.signal);
    } catch (error) {
      signal.throwIfAborted();
      throw this.#engineError(limit.signal.aborted ? limit.signal.reason : error);
    }
  }

  #engineError(error: unknown): Error {
    if (error instanceof EngineRefusedError || error instanceof EngineUnreachableError)
      return error;
    const { statusCode, code } = error as { statusCode?: number; code?: string };
    if (statusCode !== undefined) return refusalOf(statusCode, error);
    const { socketPath } = this.#options;
    switch (code) {
      case 'ENOENT':
      case 'ECONNREFUSED':
        return new EngineUnreachableError(`no Docker Engine listens at ${socketPath}`);
      case 'EACCES':
        return new EngineUnreachableError(
          `the agent may not open ${socketPath}: run it as root or in the group docker`,
        );
      case undefined:
      default:
        return new EngineUnreachableError(
          `the connection to the Docker Engine at ${socketPath} broke: ${messageOf(error)}`,
          { cause: error },
        );
    }
  }
}

/** How much of what a command says is kept. */
const maxOutputBytes = 4096;

/** The end of an output. */
async function lastWords(output: Duplex): Promise<string> {
  const read = outputReader({ hasTerminal: false });
  let kept = Buffer.alloc(0);
  for await (const chunk of output as AsyncIterable<Buffer>) {
    for (const { data } of read(chunk)) {
      kept = Buffer.concat([kept, data]).subarray(-maxOutputBytes);
    }
  }
  return kept.toString().trim();
}

/** Docker's own words, without what dockerode puts around them. */
function refusalOf(statusCode: number, error: unknown): EngineRefusedError {
  const { json } = error as { json?: { message?: unknown } | null };
  const words =
    typeof json?.message === 'string'
      ? json.message
      : messageOf(error).replace(/^\(HTTP code \d+\) [^-]* - /, '');
  const kind = statusCode === 404 ? 'missing' : statusCode === 409 ? 'conflict' : 'refused';
  return new EngineRefusedError(kind, words.trim(), error);
}

async function unlessMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof EngineRefusedError && error.kind === 'missing') return undefined;
    throw error;
  }
}

/** Docker answers 304, which dockerode takes for an error, when there is nothing to do. */
async function unlessDone<T>(answer: Promise<T>): Promise<void> {
  try {
    await answer;
  } catch (error) {
    const { cause } = error as { cause?: { statusCode?: number } };
    if (cause?.statusCode !== 304) throw error;
  }
}
