import type { ContainerId, NodeId, ServiceId } from '../../shared/ids.ts';
import type { Availability, NodeState, PlacementReason, Port, Strategy } from '../model.ts';

/** The part of a node that placement depends on. */
export interface NodeView {
  readonly id: NodeId;
  readonly name: string;
  /** All that it has: its own, its cluster's, the automatic ones. */
  readonly tags: readonly string[];
  readonly availability: Availability;
  readonly state: NodeState;
  /** Why it is not ready, in words; may be empty. */
  readonly message: string;
}

/**
 * What a node already holds: every container that is not observed gone. One that is being stopped
 * still has its ports.
 */
export interface PlacedView {
  readonly nodeId: NodeId;
  readonly serviceId: ServiceId;
  readonly containerName: string;
  readonly ports: readonly Port[];
  /** It is about to go: its ports are taken still, but it does not count for the balance. */
  readonly leaving: boolean;
}

/** A container that waits for a node. */
export interface PendingView {
  readonly id: ContainerId;
  readonly serviceId: ServiceId;
  readonly slot: number;
  readonly tags: readonly string[];
  readonly strategy: Strategy;
  readonly ports: readonly Port[];
  /** The only node that it may be placed on; null: any. */
  readonly pinnedTo: NodeId | null;
  /** Nodes where attempts before it failed: taken only if no other node can have it. */
  readonly avoid: readonly NodeId[];
}

/** What became of one pending container. */
export type Decision =
  | { readonly kind: 'placed'; readonly containerId: ContainerId; readonly nodeId: NodeId }
  | {
      readonly kind: 'unplaceable';
      readonly containerId: ContainerId;
      /** One for each node, in the order of the nodes. */
      readonly reasons: readonly PlacementReason[];
    };
