import { ChildController } from '../../shared/abort.ts';
import { systemClock } from '../../shared/clock.ts';
import { messageOf } from '../../shared/errors.ts';
import { open } from './browser.ts';

/** One request, as its client saw it. */
export interface Entry {
  readonly atMs: number;
  readonly outcome: string;
  readonly ok: boolean;
}

export interface LoadOptions {
  readonly workers: number;
  /** Between an answer and the next request of the same worker. */
  readonly pauseMs: number;
  /** How long an answer is waited for; 10 s if left out. */
  readonly timeoutMs?: number;
}

/** Opens a page, found anew each time if it is a function, again and again; keeps a ledger of every answer. */
export class Load implements AsyncDisposable {
  readonly #controller: ChildController;
  readonly #entries: Entry[] = [];
  readonly #workers: Promise<void>[];

  constructor(page: string | (() => Promise<string>), options: LoadOptions, signal: AbortSignal) {
    this.#controller = new ChildController(signal);
    this.#workers = Array.from({ length: options.workers }, () => this.#work(page, options));
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  get failures(): readonly Entry[] {
    return this.#entries.filter(({ ok }) => !ok);
  }

  /** Lets what is in flight finish, and ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller[Symbol.dispose]();
    await Promise.all(this.#workers);
  }

  async #work(
    page: string | (() => Promise<string>),
    { pauseMs, timeoutMs = 10_000 }: LoadOptions,
  ): Promise<void> {
    const { signal } = this.#controller;
    const never = new AbortController().signal;
    while (!signal.aborted) {
      const atMs = systemClock.now();
      try {
        const url = typeof page === 'string' ? page : await page();
        const { status, hostname } = await open(url, never, { timeoutMs });
        const ok = status === 200;
        this.#entries.push({ atMs, outcome: ok ? hostname : `status ${status}`, ok });
      } catch (error) {
        this.#entries.push({ atMs, outcome: messageOf(error), ok: false });
      }
      await systemClock.sleep(pauseMs, signal);
    }
  }
}
