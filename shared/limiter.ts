import { onAbort } from './abort.ts';

/** Lets at most so many work at the same time; the others wait in the order they came. */
export class Limiter {
  readonly #waiting = new Set<() => void>();
  #free: number;

  constructor(places: number) {
    this.#free = places;
  }

  /** Waits for a place; dispose it to give it back. Throws if the signal aborts before. */
  async acquire(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
    } else {
      await this.#turn(signal);
    }
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (isHeld) this.#giveBack();
        isHeld = false;
      },
    };
  }

  async #turn(signal: AbortSignal): Promise<void> {
    let settle!: (isAdmitted: boolean) => void;
    const settled = new Promise<boolean>((resolve) => {
      settle = resolve;
    });
    const admit = () => {
      settle(true);
    };
    this.#waiting.add(admit);
    using _subscription = onAbort(signal, () => {
      // One that was admitted at the same moment has its place, and gives it back as usual.
      if (this.#waiting.delete(admit)) settle(false);
    });
    if (!(await settled)) signal.throwIfAborted();
  }

  /** Hands the place to the next in line, or leaves it free. */
  #giveBack(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
    } else {
      this.#waiting.delete(next);
      next();
    }
  }
}
