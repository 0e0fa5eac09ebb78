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

/** Opens a page, found anew each time if it is a function, again and again; keeps a ledger of every answer. */
export class Load implements AsyncDisposable {
  readonly #controller: ChildController;
  readonly #entries: Entry[] = [];
  readonly #workers: Promise<void>[];

  constructor(
    page: string | (() => Promise<string>),
    { workers, pauseMs }: { readonly workers: number; readonly pauseMs: number },
    signal: AbortSignal,
  ) {
    this.#controller = new ChildController(signal);
    this.#workers = Array.from({ length: workers }, () => this.#work(page, pauseMs));
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

  async #work(page: string | (() => Promise<string>), pauseMs: number): Promise<void> {
    const { signal } = this.#controller;
    const never = new AbortController().signal;
    while (!signal.aborted) {
      const atMs = systemClock.now();
      try {
        const url = typeof page === 'string' ? page : await page();
        const { status, hostname } = await open(url, never);
        const ok = status === 200;
        this.#entries.push({ atMs, outcome: ok ? hostname : `status ${status}`, ok });
      } catch (error) {
        this.#entries.push({ atMs, outcome: messageOf(error), ok: false });
      }
      await systemClock.sleep(pauseMs, signal);
    }
  }
}
