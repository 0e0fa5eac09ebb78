import type { ServerResponse } from 'node:http';
import { onAbort } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';

/** Why a call was cut: its client went away, its time was over, or the server stops. */
export type Cut = 'gone' | 'deadline' | 'stopping';

export interface CallScopeOptions {
  readonly response: ServerResponse;
  /** Time that the client gave the call; undefined: no limit. */
  readonly timeoutMs: number | undefined;
  readonly clock: Clock;
  /** Undefined for calls that may finish when the server stops. */
  readonly stopping: AbortSignal | undefined;
}

/** The signal of one call, and why it aborted. Dispose it when the call is over. */
export class CallScope implements Disposable {
  readonly #controller = new AbortController();
  readonly #over = new AbortController();
  readonly #response: ServerResponse;
  readonly #stopping: Disposable | undefined;
  #cut: Cut | undefined;

  constructor({ response, timeoutMs, clock, stopping }: CallScopeOptions) {
    this.#response = response;
    response.once('close', this.#onClose);
    if (response.destroyed) this.#onClose();
    if (timeoutMs !== undefined) {
      void clock.sleep(timeoutMs, this.#over.signal).then(() => {
        this.#end('deadline');
      });
    }
    if (stopping !== undefined) {
      this.#stopping = onAbort(stopping, () => {
        this.#end('stopping');
      });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Undefined while nothing has cut it. */
  get cut(): Cut | undefined {
    return this.#cut;
  }

  [Symbol.dispose](): void {
    this.#over.abort();
    this.#stopping?.[Symbol.dispose]();
    this.#response.off('close', this.#onClose);
  }

  readonly #onClose = (): void => {
    this.#end('gone');
  };

  #end(cut: Cut): void {
    if (this.#over.signal.aborted || this.#cut !== undefined) return;
    this.#cut = cut;
    this.#controller.abort();
  }
}
