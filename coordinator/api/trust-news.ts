import type { TrustBundle } from '../../shared/gen/fairlead/v1/certificate.ts';
import type { Wakeup } from '../../shared/wakeup.ts';
import type { Authority } from '../identity/authority.ts';

/** Tells one agent whom to trust, and again whenever that has changed. */
export class TrustNews implements Disposable {
  readonly #authority: Authority;
  readonly #subscription: Disposable;
  #told = '';

  /** `wakeup` is notified when there is something to tell. */
  constructor(authority: Authority, wakeup: Wakeup) {
    this.#authority = authority;
    this.#subscription = authority.subscribe(() => {
      wakeup.notify();
    });
  }

  /** All there is to trust now. */
  told(): TrustBundle {
    this.#told = this.#authority.bundle;
    return { pem: this.#told };
  }

  /** The same if it has changed since it was told last. */
  next(): TrustBundle | null {
    return this.#authority.bundle === this.#told ? null : this.told();
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }
}
