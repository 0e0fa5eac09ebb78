import type { Crowd } from '../../../../coordinator/api/handshakes.ts';

/** A crowd that comes and goes as a test says. */
export class FakeCrowd implements Crowd {
  isThere = false;
  readonly #listeners = new Set<() => void>();

  come(): void {
    this.isThere = true;
  }

  go(): void {
    this.isThere = false;
    for (const listener of this.#listeners) listener();
  }

  subscribe(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }
}
