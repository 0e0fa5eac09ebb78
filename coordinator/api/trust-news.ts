import type { TrustBundle } from '../../shared/gen/fairlead/v1/certificate.ts';
import type { Authority } from '../identity/authority.ts';
import type { Store } from '../store/store.ts';
import type { SessionLine } from './session.ts';

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

/** The session that is told. */
export interface TrustListener {
  readonly line: SessionLine;
  /** The pin of the authority that signed its certificate. */
  readonly authority: string;
}

/**
 * Tells one agent whom to trust, and again whenever that has changed. Cuts it when the authority of its
 * own certificate is trusted no more.
 */
export class TrustNews implements Disposable {
  readonly #deps: TrustDeps;
  readonly #subscription: Disposable;
  #told = '';

  constructor(deps: TrustDeps, { line, authority }: TrustListener) {
    this.#deps = deps;
    this.#subscription = deps.authority.subscribe(() => {
      if (deps.authority.trusts(authority)) line.wake();
      else line.close('AUTHORITY_RETIRED');
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
