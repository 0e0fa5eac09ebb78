import type { ContainerId, NodeId, ServiceId } from '../../shared/ids.ts';
import type {
  Availability,
  NodeState,
  PlacementReason,
  Port,
  Reservation,
  Strategy,
} from '../model.ts';
import type { FailingNode } from './failing.ts';

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
  /** OS/ARCHITECTURE; empty while it is not known. */
  readonly platform: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Named volumes of its engine. */
  readonly volumes: readonly string[];
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
  /** Names of its volumes, which are on the node from now on. */
  readonly volumes: readonly string[];
  /** What it keeps of the node; nothing once it was seen to have ended. */
  readonly reservation: Reservation;
}

/** A volume that a container needs on its node. */
export interface VolumeNeed {
  readonly name: string;
  /** It must be on a node already. */
  readonly external: boolean;
}

/** A container that waits for a node. */
export interface PendingView {
  readonly id: ContainerId;
  readonly serviceId: ServiceId;
  readonly slot: number;
  readonly tags: readonly string[];
  /** Tags of which the node must have none. */
  readonly avoidTags: readonly string[];
  readonly strategy: Strategy;
  /** Keys of tags: the nodes whose value has the fewest of its service come first, before the strategy. */
  readonly spreadOver: readonly string[];
  readonly ports: readonly Port[];
  /** The only node that it may be placed on; null: any. */
  readonly pinnedTo: NodeId | null;
  readonly volumes: readonly VolumeNeed[];
  readonly reservation: Reservation;
  readonly maxPerNode: number;
  readonly platforms: readonly string[];
  /** Processors that the node must have at least. */
  readonly cpus: number;
  /** Nodes where attempts before it failed: taken only if no other node can have it. */
  readonly avoid: readonly NodeId[];
  /** Nodes where its revision keeps failing: not taken until then, whatever else there is. */
  readonly failing: readonly FailingNode[];
  /** What has to be gone from a node before it may be placed anywhere; null: nothing. */
  readonly inTheWay: PlacementReason | null;
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
