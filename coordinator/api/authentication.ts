import type { Clock } from '../../shared/clock.ts';
import { DomainError } from '../../shared/errors.ts';
import type { ServiceId, TokenId } from '../../shared/ids.ts';
import { parseAgentUri } from '../identity/agent-identity.ts';
import type { Authority } from '../identity/authority.ts';
import { parseAuthorization, secretMatches } from '../identity/tokens.ts';
import type { Token } from '../model.ts';
import type { Store } from '../store/store.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { Principal, TokenPrincipal } from './call.ts';
import type { ContainerTokens } from './container-tokens.ts';
import type { PeerCertificate } from './peer.ts';

/** What a caller shows of itself. */
export interface Credentials {
  /** An Authorization header. */
  readonly authorization: string | undefined;
  readonly peer: PeerCertificate | null;
}

/** Longest wait for a token to expire; timers do not take much longer ones. */
const maxWaitMs = 3_600_000;
/** How often it is looked whether a container has ended whose token keeps a stream open. */
const lookEveryMs = 1_000;

export interface AuthenticatorDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly installationId: string;
  readonly authority: Pick<Authority, 'trusts'>;
  readonly containerTokens: Pick<ContainerTokens, 'leftMs' | 'endsAtMs'>;
}

/**
 * Finds out who calls: by a bearer token, or by the certificate of an agent. The same answer for every wrong
 * token: nothing is told about which exist.
 */
export class Authenticator {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #installationId: string;
  readonly #authority: Pick<Authority, 'trusts'>;
  readonly #containerTokens: AuthenticatorDeps['containerTokens'];
  readonly #lastUsed = new Map<TokenId, number>();

  constructor(deps: AuthenticatorDeps) {
    const { store, clock, installationId, authority, containerTokens } = deps;
    this.#store = store;
    this.#clock = clock;
    this.#installationId = installationId;
    this.#authority = authority;
    this.#containerTokens = containerTokens;
  }

  /** Whose token a call has, else whose certificate its connection. Throws 'unauthenticated'. */
  identify({ authorization, peer }: Credentials): Principal {
    if (authorization !== undefined) return this.#bearer(authorization);
    if (peer === null) throw missing();
    return this.#holder(peer);
  }

  /** Whether anybody is known by these: what to hold of a call before it is answered hangs on it. */
  knows(credentials: Credentials): boolean {
    try {
      this.identify(credentials);
      return true;
    } catch (error) {
      if (error instanceof DomainError) return false;
      throw error;
    }
  }

  #bearer(authorization: string): TokenPrincipal {
    const bearer = parseAuthorization(authorization);
    if (bearer === null) throw this.invalid();
    const token = this.#store.tokens.get(bearer.id);
    if (token === undefined || !secretMatches(bearer.secret, token.hash) || this.#isOver(token)) {
      throw this.invalid();
    }
    return this.#admit(token, null);
  }

  /** An agent is looked up at each call: its certificate says who it is, not that it still may. */
  #holder(certificate: PeerCertificate): Principal {
    if (!this.#authority.trusts(certificate.authority)) throw retired();
    const identity = parseAgentUri(this.#installationId, certificate.uri);
    if (identity?.kind === 'node') {
      const node = this.#store.nodes.get(identity.id);
      if (node !== undefined) return { kind: 'node', id: node.id, name: node.name, certificate };
      throw new DomainError('unauthenticated', 'this node was removed', { reason: 'NODE_REMOVED' });
    }
    const token = identity === null ? undefined : this.#store.tokens.get(identity.id);
    if (token === undefined || this.#isOver(token)) throw this.invalid();
    return this.#admit(token, certificate);
  }

  #admit(token: Token, certificate: PeerCertificate | null): TokenPrincipal {
    this.#lastUsed.set(token.id, this.#clock.now());
    const { id, name, role, containerId, clusterIds } = token;
    const scope = this.#scopeOf(token);
    // One that is gone is never everything: ids are not used again.
    const clusters = clusterIds.length === 0 ? null : new Set(clusterIds);
    return { kind: 'token', id, name, role, containerId, scope, clusters, certificate };
  }

  /** Resolves when the token has been revoked or is over, or when the signal aborts. */
  async untilInvalid(id: TokenId, signal: AbortSignal): Promise<void> {
    const wakeup = new Wakeup();
    using _tokens = this.#store.subscribe((changes) => {
      if (changes.some((change) => change.table === 'tokens')) wakeup.notify();
    });
    while (!signal.aborted) {
      const token = this.#store.tokens.get(id);
      if (token === undefined || this.#isOver(token)) return;
      const leftMs = (token.expiresAtMs ?? Infinity) - this.#clock.now();
      // Not woken by what containers do: nothing is to wait for this on the way to the proxies.
      const lookMs = token.containerId === null ? maxWaitMs : lookEveryMs;
      await wakeup.waitFor(Math.min(leftMs, lookMs), this.#clock, signal);
    }
  }

  /** Resolves when a certificate has expired, or when the signal aborts. */
  async untilExpired({ validToMs }: PeerCertificate, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#clock.now() < validToMs) {
      await this.#clock.sleep(Math.min(validToMs - this.#clock.now(), maxWaitMs), signal);
    }
  }

  /** The services that a token reaches as they are linked now; null: all. */
  scopeOf(id: TokenId): ReadonlySet<ServiceId> | null {
    const token = this.#store.tokens.get(id);
    return token === undefined ? new Set() : this.#scopeOf(token);
  }

  /** When a token was last used since the coordinator started, to the minute. */
  lastUsedAtMs(id: TokenId): number | null {
    const atMs = this.#lastUsed.get(id);
    return atMs === undefined ? null : Math.floor(atMs / 60_000) * 60_000;
  }

  /** When a token stops working, that of a container if nothing more is heard of it; null: never. */
  expiresAtMs({ containerId, expiresAtMs }: Token): number | null {
    return containerId === null ? expiresAtMs : this.#containerTokens.endsAtMs(containerId);
  }

  #isOver({ expiresAtMs, containerId }: Token): boolean {
    if (containerId !== null) return this.#containerTokens.leftMs(containerId) === 0;
    return expiresAtMs !== null && this.#clock.now() >= expiresAtMs;
  }

  /** A container's token reaches its service and what that is linked to at the moment. */
  #scopeOf(token: Token): Set<ServiceId> | null {
    if (token.serviceIds.length === 0) return token.clusterIds.length === 0 ? null : new Set();
    const scope = new Set(token.serviceIds);
    if (token.containerId !== null || token.role === 'proxy') {
      for (const id of token.serviceIds) {
        for (const link of this.#store.services.get(id)?.spec.links ?? []) {
          const linked = this.#store.serviceNamed(link.service);
          if (linked !== undefined) scope.add(linked.id);
        }
      }
    }
    return scope;
  }

  /** What the bearer of a wrong token is told, and of one that was right until now. */
  invalid(): DomainError {
    const message = 'the token is not valid: it is wrong, has expired, or was revoked';
    return new DomainError('unauthenticated', message, { reason: 'TOKEN_INVALID' });
  }
}

function retired(): DomainError {
  const message =
    'the certificate is of an authority that was replaced and is trusted no more; a node joins anew (move ' +
    "the agent's state directory away and start it with a join token), a proxy enrols with its token";
  return new DomainError('unauthenticated', message, { reason: 'AUTHORITY_RETIRED' });
}

function missing(): DomainError {
  const message =
    'no token was given, and no certificate of an agent that is valid here; people and scripts send the ' +
    'metadata "authorization: Bearer TOKEN"';
  return new DomainError('unauthenticated', message, { reason: 'TOKEN_INVALID' });
}
