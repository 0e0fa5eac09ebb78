import type { Clock } from './clock.ts';
import { onAbort } from './abort.ts';

/**
 * Tells one waiting loop to look again. Calls before the next wait are merged into one, so that a
 * sender which is slower than its source sends the latest state and never a backlog.
 */
export class Wakeup {
  #pending = false;
  #release: (() => void) | undefined;

  notify(): void {
    this.#pending = true;
    this.#release?.();
  }

  /** Resolves at once if notified since the last wait, else when notified or aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    if (!this.#pending && !signal.aborted) {
      const notified = new Promise<void>((resolve) => {
        this.#release = resolve;
      });
      using _subscription = onAbort(signal, () => this.#release?.());
      await notified;
      this.#release = undefined;
    }
    this.#pending = false;
  }

  /** As `wait`, but for at most `ms`. True: notified; false: the time is over or aborted. */
  async waitFor(ms: number, clock: Clock, signal: AbortSignal): Promise<boolean> {
    let isOver = false;
    using _timer = clock.after(ms, () => {
      isOver = true;
      this.#release?.();
    });
    await this.wait(signal);
    return !isOver && !signal.aborted;
  }
}
