import { setMaxListeners } from 'node:events';

/** Who waits for a signal to abort, by signal. */
const waiting = new WeakMap<AbortSignal, Set<Subscription>>();

class Subscription implements Disposable {
  readonly #listener: () => void;
  readonly #others: Set<Subscription>;

  constructor(listener: () => void, others: Set<Subscription>) {
    this.#listener = listener;
    this.#others = others;
    others.add(this);
  }

  call(): void {
    this.#listener();
  }

  [Symbol.dispose](): void {
    this.#others.delete(this);
  }
}

const nothing: Disposable = { [Symbol.dispose]: () => undefined };

/**
 * Calls `listener` when the signal aborts, or now if it already has.
 *
 * Dispose the result to stop listening. A process-long signal keeps every listener that is not
 * removed, and Node's own `signal` options do not all remove theirs.
 *
 * A signal has one listener of Node's for all of ours: adding and removing those is slow, and every wait
 * adds one.
 */
export function onAbort(signal: AbortSignal, listener: () => void): Disposable {
  if (signal.aborted) {
    listener();
    return nothing;
  }
  return new Subscription(listener, waiting.get(signal) ?? listen(signal));
}

function listen(signal: AbortSignal): Set<Subscription> {
  const subscriptions = new Set<Subscription>();
  waiting.set(signal, subscriptions);
  signal.addEventListener(
    'abort',
    () => {
      for (const subscription of subscriptions) {
        subscriptions.delete(subscription);
        callApart(subscription);
      }
    },
    { once: true },
  );
  return subscriptions;
}

/** One that throws keeps no other from hearing; its error is as uncaught as that of any event listener. */
function callApart(subscription: Subscription): void {
  try {
    subscription.call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
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

/** Waits for work that cannot be told to stop: rejects with the signal's reason if that is first. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort!: () => void;
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => {
      reject(signal.reason as Error);
    };
  });
  using _subscription = onAbort(signal, abort);
  return await Promise.race([work, aborted]);
}
