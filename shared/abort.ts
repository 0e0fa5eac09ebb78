import { setMaxListeners } from 'node:events';

/**
 * Calls `listener` when the signal aborts, or now if it already has.
 *
 * Dispose the result to stop listening. A process-long signal keeps every listener that is not
 * removed, and Node's own `signal` options do not all remove theirs.
 */
export function onAbort(signal: AbortSignal, listener: () => void): Disposable {
  if (signal.aborted) listener();
  else signal.addEventListener('abort', listener, { once: true });
  return {
    [Symbol.dispose]() {
      signal.removeEventListener('abort', listener);
    },
  };
}

/** Why a child ended that nobody aborted. A constant: the default is an exception with a stack, made each time. */
const disposed = new Error('the work is over');

/**
 * A controller that aborts together with `parent`, and earlier if its owner says so.
 *
 * Dispose it when the work is over: that aborts the child and removes its listener from the parent
 * (`AbortSignal.any` with a process-long signal leaks about 2.7 kB a call on Node 20).
 */
export class ChildController implements Disposable {
  readonly #controller = new AbortController();
  readonly #subscription: Disposable;

  constructor(parent: AbortSignal) {
    // One listener for everything that runs below it: many are no leak.
    setMaxListeners(0, this.#controller.signal);
    this.#subscription = onAbort(parent, () => {
      this.#controller.abort(parent.reason);
    });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    this.#controller.abort(disposed);
  }
}
