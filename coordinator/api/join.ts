import { DomainError } from '../../shared/errors.ts';
import type { Token } from '../model.ts';
import type { Transaction } from '../store/store.ts';

/** Throws 'forbidden' if as many hosts have joined with a token as may. */
export function requireUsesLeft({ name, maxUses, uses }: Token): void {
  if (maxUses === 0 || uses < maxUses) return;
  const who = maxUses === 1 ? 'the one node' : `all ${maxUses} nodes`;
  throw new DomainError(
    'forbidden',
    `the token "${name}" is used up: ${who} that it was made for joined before`,
    { reason: 'TOKEN_USED_UP' },
  );
}

/** Throws 'forbidden' if a joining host asks for tags that its token may not give. */
export function requireTagsAllowed(token: Token, tags: readonly string[]): void {
  const surplus = token.tags.length === 0 ? [] : tags.filter((tag) => !token.tags.includes(tag));
  if (surplus.length === 0) return;
  throw new DomainError(
    'forbidden',
    `the token "${token.name}" may not give the tags ${surplus.join(', ')}`,
    { reason: 'TAG_NOT_ALLOWED' },
  );
}

/**
 * Counts one node that joined with a token, in the transaction that adds the node. Throws 'forbidden' if
 * others used it up meanwhile.
 */
export function countUse(tx: Transaction, { id }: Token): void {
  const token = tx.tokens.get(id);
  if (token === undefined) return;
  requireUsesLeft(token);
  tx.tokens.put({ ...token, uses: token.uses + 1 });
}
