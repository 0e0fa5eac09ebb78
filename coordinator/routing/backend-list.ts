import type { ContainerId } from '../../shared/ids.ts';
import type { Backend, Port, Target } from '../model.ts';

/** Changes that are kept for proxies to catch up with; one that is further behind gets a snapshot. */
const keptChanges = 4_096;

export interface ListSnapshot {
  readonly kind: 'snapshot';
  readonly version: number;
  readonly targets: readonly Target[];
}

/** What a proxy's configuration file is made from; frontends depend on where the proxy runs. */
export interface ListStructure {
  /** Ports of the load balancer service. */
  readonly ports: readonly Port[];
  readonly backends: readonly Backend[];
}

export interface ListDelta {
  readonly kind: 'delta';
  readonly baseVersion: number;
  readonly version: number;
  readonly targets: readonly Target[];
  readonly removedTargetIds: readonly string[];
}

/**
 * The targets of one load balancer, numbered: every change makes a new version, and what changed since
 * any recent version can be told without looking at the rest.
 */
export class BackendList {
  readonly #targets = new Map<string, Target>();
  readonly #byContainer = new Map<ContainerId, string>();
  readonly #readySince = new Map<ContainerId, number>();
  readonly #drainSince = new Map<ContainerId, number>();
  #changes: string[] = [];
  /** The version that the first of `#changes` led from. */
  #base = 0;
  #structure: ListStructure;

  constructor(structure: ListStructure) {
    this.#structure = structure;
  }

  /** Changes identity whenever backends change: proxies then need the whole list. */
  get structure(): ListStructure {
    return this.#structure;
  }

  get version(): number {
    return this.#base + this.#changes.length;
  }

  has(targetId: string): boolean {
    return this.#targets.has(targetId);
  }

  targets(): Iterable<Target> {
    return this.#targets.values();
  }

  /** True: proxies have to be told. */
  restructure(structure: ListStructure): boolean {
    if (JSON.stringify(structure) === JSON.stringify(this.#structure)) return false;
    this.#structure = structure;
    return true;
  }

  target(container: ContainerId): Target | undefined {
    return this.#targets.get(this.#byContainer.get(container) ?? '');
  }

  /** The version that first had the container's target in this mode; null if it is not so now. */
  versionOf(container: ContainerId, mode: Target['mode']): number | null {
    const map = mode === 'ready' ? this.#readySince : this.#drainSince;
    return map.get(container) ?? null;
  }

  containers(): Iterable<ContainerId> {
    return this.#byContainer.keys();
  }

  /** Sets or removes the target of one container. True: that made new versions. */
  set(container: ContainerId, target: Target | null): boolean {
    const before = this.target(container);
    if (before === undefined && target === null) return false;
    if (before !== undefined && target !== null && sameTarget(before, target)) return false;
    if (before !== undefined && before.id !== target?.id) {
      this.#targets.delete(before.id);
      this.#record(before.id);
    }
    this.#readySince.delete(container);
    this.#drainSince.delete(container);
    if (target === null) {
      this.#byContainer.delete(container);
      return true;
    }
    this.#targets.set(target.id, target);
    this.#byContainer.set(container, target.id);
    this.#record(target.id);
    (target.mode === 'ready' ? this.#readySince : this.#drainSince).set(container, this.version);
    return true;
  }

  snapshot(): ListSnapshot {
    return { kind: 'snapshot', version: this.version, targets: [...this.#targets.values()] };
  }

  /** What leads from `baseVersion` to now; a snapshot if that is too long ago. */
  changesSince(baseVersion: number): ListDelta | ListSnapshot {
    if (baseVersion < this.#base || baseVersion > this.version) return this.snapshot();
    const targets: Target[] = [];
    const removedTargetIds: string[] = [];
    for (const id of new Set(this.#changes.slice(baseVersion - this.#base))) {
      const target = this.#targets.get(id);
      if (target === undefined) removedTargetIds.push(id);
      else targets.push(target);
    }
    return { kind: 'delta', baseVersion, version: this.version, targets, removedTargetIds };
  }

  #record(targetId: string): void {
    this.#changes.push(targetId);
    if (this.#changes.length > 2 * keptChanges) {
      this.#changes = this.#changes.slice(-keptChanges);
      this.#base += keptChanges + 1;
    }
  }
}

function sameTarget(a: Target, b: Target): boolean {
  return (
    a.id === b.id &&
    a.backend === b.backend &&
    a.address === b.address &&
    a.port === b.port &&
    a.mode === b.mode &&
    a.drainTimeoutMs === b.drainTimeoutMs
  );
}
