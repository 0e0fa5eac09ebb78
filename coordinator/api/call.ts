import type { ContainerId, NodeId, ServiceId, TokenId } from '../../shared/ids.ts';
import type { Role } from '../model.ts';

/** Who calls, once their token was checked. */
export type Principal =
  | {
      readonly kind: 'token';
      readonly id: TokenId;
      readonly name: string;
      readonly role: Role;
      /** Services it is limited to; null: all. */
      readonly scope: ReadonlySet<ServiceId> | null;
      /** The container that the token was made for; null: a person or a script. */
      readonly containerId: ContainerId | null;
    }
  | { readonly kind: 'node'; readonly id: NodeId; readonly name: string };

/** What a handler knows of the call that it answers. */
export interface Call {
  readonly principal: Extract<Principal, { kind: 'token' }>;
  /** Address of the caller. */
  readonly peer: string;
  /** Aborts when the caller goes away, its token is revoked, or the coordinator stops. */
  readonly signal: AbortSignal;
}
