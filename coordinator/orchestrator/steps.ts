import type { ContainerId, NodeId } from '../../shared/ids.ts';
import type { RolloutState } from '../model.ts';
import type { ContainerView, RetireReason } from './views.ts';

export type Step =
  | {
      readonly kind: 'create';
      readonly slot: number;
      readonly revision: number;
      readonly attempt: number;
      readonly pinnedTo: NodeId | null;
      /** The older container whose place it will take. */
      readonly replaces: ContainerId | null;
      /** It tries its revision. */
      readonly canary: boolean;
    }
  /** Takes it out of the load balancers; `stop` follows when that is done. */
  | {
      readonly kind: 'retire';
      readonly containerId: ContainerId;
      readonly reason: RetireReason;
      readonly then: 'stopped' | 'removed';
    }
  /** It is drained, or its deadline has passed. */
  | { readonly kind: 'stop'; readonly containerId: ContainerId; readonly cut: boolean }
  /** It takes traffic for the first time: the deadline of its rollout is met, whatever comes later. */
  | { readonly kind: 'arrive'; readonly containerId: ContainerId }
  /** It was to be replaced although its revision is current; that was tried and failed, so it stays. */
  | { readonly kind: 'keep'; readonly containerId: ContainerId; readonly reason: string }
  /** A stopped one that is not needed any more. */
  | { readonly kind: 'remove'; readonly containerId: ContainerId }
  /** Its engine container is gone: so is the record. */
  | { readonly kind: 'forget'; readonly containerId: ContainerId }
  /** The rollout gives its container up. */
  | { readonly kind: 'fail-slot'; readonly slot: number; readonly reason: string }
  /** The rollout comes to another state, or to its end. */
  | {
      readonly kind: 'turn';
      readonly to: Exclude<RolloutState, 'going' | 'paused'> | 'promoted' | 'finished';
      readonly reason: string;
    }
  /** All its containers have ended by themselves: it goes, as it was asked. */
  | { readonly kind: 'terminate' }
  | { readonly kind: 'delete-service' };

export interface Plan {
  readonly steps: readonly Step[];
  /** When to look again even if nothing happens; null: not needed. */
  readonly nextCheckAtMs: number | null;
}

/** A plan in the making. */
export class PlanDraft implements Plan {
  readonly steps: Step[] = [];
  nextCheckAtMs: number | null = null;

  retire({ id }: ContainerView, reason: RetireReason, then: 'stopped' | 'removed'): void {
    this.steps.push({ kind: 'retire', containerId: id, reason, then });
  }

  /** Out with it, whatever it is: live, kept stopped, or held before it got a node. */
  discard(container: ContainerView, reason: RetireReason): void {
    const { id, wanted, held } = container;
    if (wanted === 'running') this.retire(container, reason, 'removed');
    else if (wanted === 'stopped' || (wanted === 'removed' && held)) {
      this.steps.push({ kind: 'remove', containerId: id });
    }
  }

  checkAt(atMs: number): void {
    this.nextCheckAtMs = Math.min(this.nextCheckAtMs ?? Infinity, atMs);
  }
}
