import { isDeepStrictEqual } from 'node:util';
import type { ContainerId } from '../../shared/ids.ts';
import type { ContainerFailure, ContainerStatus, EngineStatus } from './model.ts';

/** All that is known, to open a session with. */
export interface Picture {
  readonly sequence: number;
  readonly engine: EngineStatus;
  readonly containers: readonly ContainerStatus[];
}

/** What changed since the picture or report before. */
export interface Report {
  readonly sequence: number;
  readonly engine: EngineStatus | undefined;
  readonly containers: readonly ContainerStatus[];
}

/**
 * Keeps the latest status of each container until it was sent: of several changes between two reports
 * only the last is sent, so a slow connection never builds up a backlog. A lost session loses nothing,
 * because the next begins with the whole picture.
 */
export class Reporter {
  readonly #containers = new Map<ContainerId, ContainerStatus>();
  readonly #changed = new Set<ContainerId>();
  readonly #onChange: () => void;
  #engine: EngineStatus = { reachable: false, message: 'the agent did not ask the engine yet' };
  #engineChanged = false;
  readonly #failures = new Map<ContainerId, ContainerFailure>();
  #volumes: readonly string[] | undefined;
  #volumesChanged = false;
  #sequence = 0;

  /** Calls `onChange` whenever there is something to take. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  setContainer(status: ContainerStatus): void {
    const { containerId } = status;
    const before = this.#containers.get(containerId);
    // What matters most is not kept waiting by a look at all the rest.
    if (before?.phase === status.phase && isDeepStrictEqual(before, status)) return;
    this.#containers.set(containerId, status);
    this.#changed.add(containerId);
    this.#onChange();
  }

  /** Says whether that is news. */
  setEngine(status: EngineStatus): boolean {
    if (isDeepStrictEqual(this.#engine, status)) return false;
    this.#engine = status;
    this.#engineChanged = true;
    this.#onChange();
    return true;
  }

  /** Takes what is known of a failure; of several of one container that were not told, the last. */
  setFailure(failure: ContainerFailure): void {
    this.#failures.set(failure.containerId, failure);
    this.#onChange();
  }

  /** A failure that was not told yet. */
  takeFailure(): ContainerFailure | undefined {
    const [first] = this.#failures.values();
    if (first !== undefined) this.#failures.delete(first.containerId);
    return first;
  }

  /** Takes the names of all named volumes. */
  setVolumes(names: readonly string[]): void {
    if (isDeepStrictEqual(this.#volumes, names)) return;
    this.#volumes = names;
    this.#volumesChanged = true;
    this.#onChange();
  }

  /** The names of the volumes, if they were not told in this session; undefined if they were. */
  takeVolumes(): readonly string[] | undefined {
    if (!this.#volumesChanged) return undefined;
    this.#volumesChanged = false;
    return this.#volumes;
  }

  /** Drops a container that nobody wants to hear of any more. */
  forget(containerId: ContainerId): void {
    this.#containers.delete(containerId);
    this.#changed.delete(containerId);
  }

  /** The whole picture; what changed before it counts as sent. */
  takePicture(): Picture {
    this.#changed.clear();
    this.#engineChanged = false;
    this.#volumesChanged = this.#volumes !== undefined;
    return {
      sequence: ++this.#sequence,
      engine: this.#engine,
      containers: [...this.#containers.values()],
    };
  }

  /** What changed since; undefined if nothing did. */
  takeReport(): Report | undefined {
    if (this.#changed.size === 0 && !this.#engineChanged) return undefined;
    const containers = [...this.#changed].flatMap((id) => this.#containers.get(id) ?? []);
    const engine = this.#engineChanged ? this.#engine : undefined;
    this.#changed.clear();
    this.#engineChanged = false;
    return { sequence: ++this.#sequence, engine, containers };
  }
}
