import type { ContainerId } from '../../shared/ids.ts';
import type { Node } from '../model.ts';
import type { InventoryEntry } from './node-hello.ts';
import type { NodeLink } from './node-link.ts';
import { claimsOf, type Claims } from './rivals.ts';

/** What is known of a node's agent, as long as the coordinator runs. */
export interface Liveness {
  link: NodeLink | null;
  bootId: string;
  sequence: number;
  /** On the monotonic clock. */
  heardAtMs: number;
  /** Engine containers of the node that nobody here knows, as last reported. */
  readonly orphans: Map<ContainerId, InventoryEntry>;
  /** The host's wall clock less our monotonic one; null: not told. */
  clockOffsetMs: number | null;
  claims: Claims;
}

/** Of a node that was not heard of since then. */
export function unheard(node: Node | undefined, sinceMs: number): Liveness {
  const { description, advertiseAddress = '' } = node ?? {};
  const host =
    description == null ? null : { hostname: description.hostname, address: advertiseAddress };
  return {
    ...{ link: null, bootId: '', sequence: 0, heardAtMs: sinceMs },
    orphans: new Map<ContainerId, InventoryEntry>(),
    clockOffsetMs: null,
    claims: claimsOf(host),
  };
}
