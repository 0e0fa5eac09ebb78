import type { Clock } from '../../shared/clock.ts';
import type { ShownCertificate, Token } from '../model.ts';
import type { Routing } from '../routing/routing.ts';
import type { Store } from '../store/store.ts';
import type { Authority } from './authority.ts';

/** What would be lost with an authority. */
export interface Dependents {
  /** Names of nodes and proxies whose certificate it signed. */
  readonly nodes: string[];
  readonly proxies: string[];
  /** Tokens that end with its pin. */
  tokens: number;
}

export interface DependentsDeps {
  readonly store: Pick<Store, 'nodes' | 'tokens'>;
  readonly routing: Pick<Routing, 'proxies'>;
  readonly authority: Pick<Authority, 'trusted'>;
  readonly clock: Pick<Clock, 'now'>;
}

/**
 * Who depends on each authority that is trusted, by its pin. A node whose certificate was never seen counts
 * for the oldest: better one too many than one that is locked out.
 */
export function dependentsOf({
  store,
  routing,
  authority,
  clock,
}: DependentsDeps): ReadonlyMap<string, Dependents> {
  const { trusted } = authority;
  const found = new Map(trusted.map(({ pin }) => [pin, newDependents()]));
  const nowMs = clock.now();
  const by = ({ authority: pin, untilMs }: ShownCertificate) =>
    untilMs > nowMs ? found.get(pin) : undefined;
  const unseen = { authority: trusted.at(-1)?.pin ?? '', untilMs: Infinity };
  for (const { name, certificate } of store.nodes.values()) {
    by(certificate ?? unseen)?.nodes.push(name);
  }
  for (const { identity, certificate } of routing.proxies()) {
    if (certificate !== null) by(certificate)?.proxies.push(identity.name);
  }
  countTokens(store.tokens.values(), trusted, found);
  return found;
}

/** A token ends with the pin of the authority that signed when it was made. */
function countTokens(
  tokens: Iterable<Token>,
  trusted: Authority['trusted'],
  found: ReadonlyMap<string, Dependents>,
): void {
  for (const { createdAtMs } of tokens) {
    const maker = trusted.find(({ sinceMs }) => sinceMs <= createdAtMs);
    const dependents = found.get(maker?.pin ?? '');
    if (dependents !== undefined) dependents.tokens++;
  }
}

function newDependents(): Dependents {
  return { nodes: [], proxies: [], tokens: 0 };
}
