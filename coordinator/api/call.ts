import type { ContainerId, NodeClusterId, NodeId, ServiceId, TokenId } from '../../shared/ids.ts';
import type { Role } from '../model.ts';
import type { PeerCertificate } from './peer.ts';

/** A caller that showed a token, or the certificate that a proxy was given for one. */
export interface TokenPrincipal {
  readonly kind: 'token';
  readonly id: TokenId;
  readonly name: string;
  readonly role: Role;
  /** Services it is limited to; null: all. */
  readonly scope: ReadonlySet<ServiceId> | null;
  /** Node clusters that it is limited to; null: all. */
  readonly clusters: ReadonlySet<NodeClusterId> | null;
  /** The container that the token was made for; null: a person or a script. */
  readonly containerId: ContainerId | null;
  /** Null: the caller showed the token itself. */
  readonly certificate: PeerCertificate | null;
}

/** A caller that showed the certificate of a node. */
export interface NodePrincipal {
  readonly kind: 'node';
  readonly id: NodeId;
  readonly name: string;
  readonly certificate: PeerCertificate;
}

/** Who calls, once that was checked. */
export type Principal = TokenPrincipal | NodePrincipal;

/** What a handler knows of the call that it answers. */
export interface Call {
  readonly principal: TokenPrincipal;
  /** Address of the caller. */
  readonly peer: string;
  /** Aborts when the caller goes away, its token is revoked, or the coordinator stops. */
  readonly signal: AbortSignal;
}
