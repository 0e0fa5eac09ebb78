import type { Clock } from '../../shared/clock.ts';
import { DomainError } from '../../shared/errors.ts';
import type { ServiceId, TokenId } from '../../shared/ids.ts';
import { parseAuthorization, secretMatches } from '../identity/tokens.ts';
import type { Token } from '../model.ts';
import type { Store } from '../store/store.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { Principal } from './call.ts';

/** Longest wait for a token to expire; timers do not take much longer ones. */
const maxWaitMs = 3_600_000;

/** Checks bearer tokens. The same answer for every wrong one: nothing is told about which exist. */
export class Authenticator {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #lastUsed = new Map<TokenId, number>();

  constructor({ store, clock }: { readonly store: Store; readonly clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
  }

  /** `authorization`: value of that header. Throws 'unauthenticated'. */
  authenticate(authorization: string | undefined): Principal {
    const bearer = parseAuthorization(authorization ?? '');
    if (bearer === null) throw authorization === undefined ? missing() : this.invalid();
    if (bearer.kind === 'node') {
      const node = this.#store.nodes.get(bearer.id);
      if (node === undefined || !secretMatches(bearer.secret, node.credentialHash)) {
        throw this.invalid();
      }
      return { kind: 'node', id: node.id, name: node.name };
    }
    const token = this.#store.tokens.get(bearer.id);
    if (token === undefined || !secretMatches(bearer.secret, token.hash) || this.#expired(token)) {
      throw this.invalid();
    }
    this.#lastUsed.set(token.id, this.#clock.now());
    const { id, name, role, containerId } = token;
    return { kind: 'token', id, name, role, containerId, scope: this.#scopeOf(token) };
  }

  /** Resolves when the token has been revoked or has expired, or when the signal aborts. */
  async untilInvalid(id: TokenId, signal: AbortSignal): Promise<void> {
    const wakeup = new Wakeup();
    using _tokens = this.#store.subscribe((changes) => {
      if (changes.some((change) => change.table === 'tokens')) wakeup.notify();
    });
    while (!signal.aborted) {
      const token = this.#store.tokens.get(id);
      if (token === undefined || this.#expired(token)) return;
      const leftMs = (token.expiresAtMs ?? Infinity) - this.#clock.now();
      await wakeup.waitFor(Math.min(leftMs, maxWaitMs), this.#clock, signal);
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

  #expired({ expiresAtMs }: Token): boolean {
    return expiresAtMs !== null && this.#clock.now() >= expiresAtMs;
  }

  /** A container's token reaches its service and what that is linked to at the moment. */
  #scopeOf(token: Token): Set<ServiceId> | null {
    if (token.serviceIds.length === 0) return null;
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

function missing(): DomainError {
  const message = 'no token was given; send the metadata "authorization: Bearer TOKEN"';
  return new DomainError('unauthenticated', message, { reason: 'TOKEN_INVALID' });
}
