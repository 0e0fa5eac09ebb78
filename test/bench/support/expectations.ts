import { ChildController } from '../../../shared/abort.ts';
import { systemClock } from '../../../shared/clock.ts';

interface Expectation<T> {
  readonly isMet: (value: T) => boolean;
  readonly meet: (value: T) => void;
}

/** Lets several parties wait for values of a stream, each for the first one that it cares for. */
export class Expectations<T> {
  readonly #open = new Set<Expectation<T>>();

  /** Offers a value to all who wait. */
  offer(value: T): void {
    for (const expectation of this.#open) {
      if (!expectation.isMet(value)) continue;
      this.#open.delete(expectation);
      expectation.meet(value);
    }
  }

  /** The first value from now on that `isMet` says yes to; `what` names it in the error of a time-out. */
  async expect(
    what: string,
    isMet: (value: T) => boolean,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<T> {
    signal.throwIfAborted();
    using limit = new ChildController(signal);
    let expectation: Expectation<T> | undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        expectation = { isMet, meet: resolve };
        this.#open.add(expectation);
        void systemClock.sleep(timeoutMs, limit.signal).then(() => {
          const isLate = new Error(`${what}: did not happen within ${timeoutMs} ms`);
          reject(signal.aborted ? (signal.reason as Error) : isLate);
        });
      });
    } finally {
      if (expectation !== undefined) this.#open.delete(expectation);
    }
  }
}
