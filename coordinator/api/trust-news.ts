import type { TrustBundle } from '../../shared/gen/fairlead/v1/certificate.ts';
import type { Wakeup } from '../../shared/wakeup.ts';
import type { Authority } from '../identity/authority.ts';
import type { Store } from '../store/store.ts';

/** A handshake, a signature and another handshake for each agent: so much time leaves room for the rest. */
const renewalMs = 30;
const minRenewWithinMs = 10_000;

export interface TrustDeps {
  readonly store: Store;
  readonly authority: Authority;
}

/** Whom agents are to trust; a large fleet is given longer to renew its certificates for it. */
export function trustBundleOf({ store, authority }: TrustDeps): TrustBundle {
  const renewWithinMs = Math.max(minRenewWithinMs, store.nodes.size * renewalMs);
  return { pem: authority.bundle, renewWithinMs };
}

/** What a session is told of: its stream, by what it was opened with. */
export interface TrustListener {
  /** Notified when there is something to tell. */
  readonly wakeup: Wakeup;
  /** The pin of the authority that signed the session's certificate. */
  readonly authority: string;
  readonly cut: (reason: string) => void;
}

/**
 * Tells one agent whom to trust, and again whenever that has changed. Cuts it when the authority of its
 * own certificate is trusted no more.
 */
export class TrustNews implements Disposable {
  readonly #deps: TrustDeps;
  readonly #subscription: Disposable;
  #told = '';

  constructor(deps: TrustDeps, { wakeup, authority, cut }: TrustListener) {
    this.#deps = deps;
    this.#subscription = deps.authority.subscribe(() => {
      if (deps.authority.trusts(authority)) wakeup.notify();
      else cut('AUTHORITY_RETIRED');
    });
  }

  /** All there is to trust now. */
  told(): TrustBundle {
    const bundle = trustBundleOf(this.#deps);
    this.#told = bundle.pem;
    return bundle;
  }

  /** The same if it has changed since it was told last. */
  next(): TrustBundle | null {
    return this.#deps.authority.bundle === this.#told ? null : this.told();
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }
}
