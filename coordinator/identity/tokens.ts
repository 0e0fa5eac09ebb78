import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { TokenId } from '../../shared/ids.ts';
import type { Authority } from './authority.ts';

/** What a bearer token says it is; it is not yet checked. */
export interface Bearer {
  readonly id: TokenId;
  readonly secret: string;
}

const bearerPattern = /^flt_([0-9a-f]{16})_([A-Za-z0-9_-]{43})_[A-Za-z0-9_-]{43}$/;

/** Reads the value of an Authorization header; null: not one of ours. */
export function parseAuthorization(value: string): Bearer | null {
  const [scheme, bearer] = value.split(' ', 2);
  const match = scheme?.toLowerCase() === 'bearer' ? bearerPattern.exec(bearer ?? '') : null;
  const [, id, secret] = match ?? [];
  return id === undefined || secret === undefined ? null : { id: id as TokenId, secret };
}

/** The text of a token. The pin is for whoever holds it, to know the coordinator by; here it says nothing. */
export function formatToken(id: TokenId, secret: string, pin: string): string {
  return `flt_${id}_${secret}_${pin}`;
}

/** Secrets have 256 bits of chance, so a fast hash keeps them as well as a slow one. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

export function secretMatches(secret: string, hash: string): boolean {
  return timingSafeEqual(Buffer.from(hashSecret(secret), 'hex'), Buffer.from(hash, 'hex'));
}

/**
 * Makes the secrets of containers' tokens.
 *
 * They must be told again whenever an agent asks what to run, and are stored nowhere: each is derived
 * from its token's id and a key that only this coordinator's state directory holds.
 */
export class TokenIssuer {
  readonly #key: Buffer;
  readonly #authority: Pick<Authority, 'pin' | 'bundle'>;

  /** `key`: 32 bytes of chance. */
  constructor(key: Buffer, authority: Pick<Authority, 'pin' | 'bundle'>) {
    this.#key = key;
    this.#authority = authority;
  }

  /** The text of a token whose secret was made elsewhere. */
  format(id: TokenId, secret: string): string {
    return formatToken(id, secret, this.#authority.pin);
  }

  containerTokenHash(id: TokenId): string {
    return hashSecret(this.#secret(id));
  }

  /** What a container with a token is told besides: its Authorization header, and whom to trust. */
  containerVariables(id: TokenId): Record<string, string> {
    return {
      FAIRLEAD_AUTH: `Bearer ${this.format(id, this.#secret(id))}`,
      FAIRLEAD_CA: this.#authority.bundle,
    };
  }

  #secret(id: TokenId): string {
    return createHmac('sha256', this.#key).update(`container-token:${id}`).digest('base64url');
  }
}
