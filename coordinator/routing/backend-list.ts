import type { ContainerId, ServiceId } from '../../shared/ids.ts';
import type { Target } from '../model.ts';
import type { Membership, RoutingPlan } from './routes.ts';

/** Changes that are kept for proxies to catch up with; one that is further behind gets a snapshot. */
const keptChanges = 4_096;

export interface ListSnapshot {
  readonly kind: 'snapshot';
  readonly version: number;
  readonly targets: readonly Target[];
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
  readonly #byContainer = new Map<ContainerId, readonly Target[]>();
  /** The version that first had each target in the mode that it has. */
  readonly #since = new Map<string, number>();
  #changes: string[] = [];
  /** The version that the first of `#changes` led from. */
  #base = 0;
  #urgentVersion = 0;
  #plan: RoutingPlan;
  #memberships: RoutingPlan['memberships'];

  constructor(plan: RoutingPlan) {
    this.#plan = plan;
    this.#memberships = plan.memberships;
  }

  /**
   * What a proxy's configuration file is made from; frontends depend on where the proxy runs. Changes identity
   * whenever it changes: proxies then need the whole list.
   */
  get plan(): RoutingPlan {
    return this.#plan;
  }

  get version(): number {
    return this.#base + this.#changes.length;
  }

  /** Who was sent less than this version may give requests to a target that is gone; 0: none is. */
  get urgentVersion(): number {
    return this.#urgentVersion;
  }

  has(targetId: string): boolean {
    return this.#targets.has(targetId);
  }

  targets(): Iterable<Target> {
    return this.#targets.values();
  }

  /** What containers of a service are used for. */
  usesOf(service: ServiceId): readonly Membership[] {
    return this.#memberships.get(service) ?? [];
  }

  /** True: proxies have to be told, and that makes a version. */
  restructure(plan: RoutingPlan): boolean {
    this.#memberships = plan.memberships;
    if (textOf(plan) === textOf(this.#plan)) return false;
    this.#plan = plan;
    this.#record('');
    return true;
  }

  /** The targets of one container. */
  targetsOf(container: ContainerId): readonly Target[] {
    return this.#byContainer.get(container) ?? none;
  }

  /** The version that first had the target in the mode that it has. */
  sinceOf({ id }: Target): number {
    return this.#since.get(id) ?? 0;
  }

  containers(): Iterable<ContainerId> {
    return this.#byContainer.keys();
  }

  /** Sets the targets of one container. True: that made new versions. */
  set(container: ContainerId, targets: readonly Target[]): boolean {
    const before = this.targetsOf(container);
    const changed = targets.filter((target) => {
      const known = this.#targets.get(target.id);
      return known === undefined || !sameTarget(known, target);
    });
    const gone = before.filter(({ id }) => !targets.some((target) => target.id === id));
    if (changed.length === 0 && gone.length === 0) return false;
    for (const target of gone) {
      const since = this.sinceOf(target);
      this.#targets.delete(target.id);
      this.#since.delete(target.id);
      this.#record(target.id);
      const takenOutBy = target.mode === 'ready' ? this.version : since;
      this.#urgentVersion = Math.max(this.#urgentVersion, takenOutBy);
    }
    for (const target of changed) {
      const known = this.#targets.get(target.id);
      this.#targets.set(target.id, target);
      this.#record(target.id);
      // A proxy says once that it has drained, whatever else changes of the target afterwards.
      if (known === undefined || !stands(known, target)) this.#since.set(target.id, this.version);
    }
    if (targets.length === 0) this.#byContainer.delete(container);
    else this.#byContainer.set(container, targets);
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
      if (id === '') continue;
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

const none: readonly Target[] = [];

/** What proxies are told of a plan, as text. */
function textOf({ frontends, backends }: RoutingPlan): string {
  return JSON.stringify([frontends, backends]);
}

/** It is where it was, in the same mode. */
function stands(a: Target, b: Target): boolean {
  return (
    a.mode === b.mode && a.address === b.address && a.port === b.port && a.backend === b.backend
  );
}

function sameTarget(a: Target, b: Target): boolean {
  return (
    a.id === b.id &&
    a.backend === b.backend &&
    a.address === b.address &&
    a.port === b.port &&
    a.mode === b.mode &&
    a.drainTimeoutMs === b.drainTimeoutMs &&
    a.leaving === b.leaving &&
    a.backup === b.backup &&
    a.http2 === b.http2 &&
    a.checkPort === b.checkPort &&
    a.sendProxy === b.sendProxy
  );
}
