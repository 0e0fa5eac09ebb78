import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { NodeId, TokenId } from '../../shared/ids.ts';

/** What a bearer token says it is; it is not yet checked. */
export type Bearer =
  | { readonly kind: 'token'; readonly id: TokenId; readonly secret: string }
  | { readonly kind: 'node'; readonly id: NodeId; readonly secret: string };

const bearerPattern = /^(flt|fln)_([0-9a-f]{16,32})_([A-Za-z0-9_-]{43})$/;

/** Reads the value of an Authorization header; null: not one of ours. */
export function parseAuthorization(value: string): Bearer | null {
  const [scheme, bearer] = value.split(' ', 2);
  const match = scheme?.toLowerCase() === 'bearer' ? bearerPattern.exec(bearer ?? '') : null;
  const [, prefix, id, secret] = match ?? [];
  if (id === undefined || secret === undefined) return null;
  return prefix === 'fln'
    ? { kind: 'node', id: id as NodeId, secret }
    : { kind: 'token', id: id as TokenId, secret };
}

export function formatToken(id: TokenId, secret: string): string {
  return `flt_${id}_${secret}`;
}

export function formatNodeCredential(id: NodeId, secret: string): string {
  return `fln_${id}_${secret}`;
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

  /** `key`: 32 bytes of chance. */
  constructor(key: Buffer) {
    this.#key = key;
  }

  containerTokenHash(id: TokenId): string {
    return hashSecret(this.#secret(id));
  }

  /** The whole value of an Authorization header. */
  containerAuthorization(id: TokenId): string {
    return `Bearer ${formatToken(id, this.#secret(id))}`;
  }

  #secret(id: TokenId): string {
    return createHmac('sha256', this.#key).update(`container-token:${id}`).digest('base64url');
  }
}
