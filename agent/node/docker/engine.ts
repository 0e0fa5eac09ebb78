import type { ContainerId } from '../../../shared/ids.ts';
import type { PortBinding, RestartPolicy } from '../model.ts';
import type { ContainerIdentity } from './container-labels.ts';
import type { CreateOptions } from './container-options.ts';

/** `restarting`: its process ended and the engine is about to start it again. */
export type EngineContainerState =
  'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'ended';

/** An engine container of this node, as the engine describes it. */
export interface EngineContainer {
  readonly engineId: string;
  readonly identity: ContainerIdentity;
  readonly state: EngineContainerState;
  /** Process id of its first process on the host; 0 if the engine knows of none. */
  readonly pid: number;
  /** Exit status of the process that ended last. */
  readonly exitCode: number;
  /** The engine's words on why it could not start the process; empty if it could. */
  readonly error: string;
  readonly outOfMemory: boolean;
  readonly restartPolicy: RestartPolicy;
  /** Restarts at most, of one that fails; 0 is no limit. */
  readonly restartLimit: number;
  readonly restarts: number;
  readonly startedAt: Date | undefined;
  readonly endedAt: Date | undefined;
  readonly ports: readonly PortBinding[];
}

/** Facts about the engine and its host. */
export interface EngineInfo {
  readonly version: string;
  readonly apiVersion: string;
  readonly operatingSystem: string;
  /** Kind of operating system: linux. */
  readonly os: string;
  readonly architecture: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** The host's wall clock, in milliseconds: events that come after have a later time. */
  readonly nowMs: number;
}

/** Something happened to an engine container of this node. */
export type ContainerEvent = ContainerNews & {
  readonly containerId: ContainerId;
  readonly engineId: string;
  /** By the host's wall clock, in milliseconds with fractions. */
  readonly atMs: number;
};

/** What happened; `changed` says no more than to look again. */
export type ContainerNews =
  | { readonly kind: 'ended'; readonly exitCode: number }
  /** The engine sent its process a signal, because somebody asked or because it shuts down itself. */
  | { readonly kind: 'signalled'; readonly signalNumber: number }
  | { readonly kind: 'started' }
  | { readonly kind: 'removed' }
  | { readonly kind: 'changed' };

/**
 * The engine of a host, narrowed to the engine containers of one node: others are neither seen nor
 * touched. Every method throws `EngineUnreachableError` or `EngineRefusedError`, or the signal's reason.
 */
export interface ContainerEngine {
  /** Agrees on an API version; to be called before anything else, and again after an absence. */
  connect(signal: AbortSignal): Promise<EngineInfo>;
  /** A sign of life. */
  ping(signal: AbortSignal): Promise<void>;
  /** Whether a new connection is answered soon. Not by an engine that shuts down, from before it ends containers. */
  takesConnections(signal: AbortSignal): Promise<boolean>;
  list(signal: AbortSignal): Promise<EngineContainer[]>;
  find(containerId: ContainerId, signal: AbortSignal): Promise<EngineContainer | undefined>;
  inspect(engineId: string, signal: AbortSignal): Promise<EngineContainer | undefined>;
  hasImage(image: string, signal: AbortSignal): Promise<boolean>;
  /** Resolves when the image is there. */
  pull(image: string, signal: AbortSignal): Promise<void>;
  /** Resolves to the engine's id of it. */
  create(name: string, options: CreateOptions, signal: AbortSignal): Promise<string>;
  /** No effect on one that runs. */
  start(engineId: string, signal: AbortSignal): Promise<void>;
  /** Resolves when the process has ended; no effect on one that is ended or gone. */
  stop(engineId: string, graceMs: number, signal: AbortSignal): Promise<void>;
  /** Stops its process with the grace, and starts it again. */
  restart(engineId: string, graceMs: number, signal: AbortSignal): Promise<void>;
  /** Runs a command in one that runs; resolves when it has begun. */
  runCommand(
    engineId: string,
    command: readonly string[],
    signal: AbortSignal,
  ): Promise<RunningCommand>;
  /** Kills it if it runs, and removes it with its anonymous volumes; no effect if it is gone. */
  remove(engineId: string, signal: AbortSignal): Promise<void>;
  /**
   * What happens from `sinceMs` on, by the host's clock. The promise resolves once nothing can be
   * missed any more; the iterable throws when the engine ends it.
   */
  events(sinceMs: number, signal: AbortSignal): Promise<AsyncIterable<ContainerEvent>>;
}

/** A command in an engine container. */
export interface RunningCommand {
  /** Its exit status, or undefined while it runs. */
  exitCode(signal: AbortSignal): Promise<number | undefined>;
  /** Resolves when it has ended, to the last of what it said. */
  ended(signal: AbortSignal): Promise<string>;
}

/** The engine did not answer: it says nothing about any container. Worth trying again. */
export class EngineUnreachableError extends Error {
  override readonly name = 'EngineUnreachableError';
}

/** The engine answered that it cannot: the message has its own words. */
export class EngineRefusedError extends Error {
  override readonly name = 'EngineRefusedError';
  /** `missing`: there is no such thing. `conflict`: the name is taken, or it is being removed. */
  readonly kind: 'missing' | 'conflict' | 'refused';

  constructor(kind: 'missing' | 'conflict' | 'refused', message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}
