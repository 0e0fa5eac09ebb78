import type { Clock } from './clock.ts';
import { onAbort } from './abort.ts';

/** Clocks of timers are coarser than those that time is read from. */
const coarsenessMs = 1;

/**
 * Tells one waiting loop to look again. Calls before the next wait are merged into one, so that a
 * sender which is slower than its source sends the latest state and never a backlog.
 */
export class Wakeup {
  #pending = false;
  #release: (() => void) | undefined;
  readonly #alarm = new Alarm();

  notify(): void {
    this.#pending = true;
    this.#release?.();
  }

  /** Takes back what was notified so far: its owner is about to look anyway. */
  forget(): void {
    this.#pending = false;
  }

  /** Resolves at once if notified since the last wait, else when notified or aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    if (!this.#pending && !signal.aborted) await this.#released(signal);
    this.#pending = false;
  }

  /** As `wait`, but for at most `ms`. True: notified; false: the time is over or aborted. */
  async waitFor(ms: number, clock: Clock, signal: AbortSignal): Promise<boolean> {
    let isOver = false;
    if (!this.#pending && !signal.aborted) {
      this.#alarm.set(ms, clock, () => {
        isOver = true;
        this.#release?.();
      });
      await this.#released(signal);
      if (signal.aborted) this.#alarm.dispose();
      else this.#alarm.silence();
    }
    this.#pending = false;
    return !isOver && !signal.aborted;
  }

  async #released(signal: AbortSignal): Promise<void> {
    let subscription: Disposable | undefined;
    await new Promise<void>((resolve) => {
      this.#release = resolve;
      subscription = onAbort(signal, resolve);
    });
    this.#release = undefined;
    subscription?.[Symbol.dispose]();
  }
}

/**
 * One timer for many waits. A loop that is woken often waits as often for the same time; its timer is left
 * to run and asks for what is left when it fires, rather than to be set and cleared each time.
 */
class Alarm {
  #timer: Disposable | undefined;
  #firesAtMs = 0;
  #dueAtMs = 0;
  #listener: (() => void) | undefined;

  set(ms: number, clock: Clock, listener: () => void): void {
    this.#listener = listener;
    this.#dueAtMs = clock.monotonic() + ms;
    // The same moment once more is told by another reading of the clock, and may seem to be earlier.
    if (this.#timer !== undefined && this.#firesAtMs <= this.#dueAtMs + coarsenessMs) return;
    this.#timer?.[Symbol.dispose]();
    this.#start(ms, clock);
  }

  silence(): void {
    this.#listener = undefined;
  }

  dispose(): void {
    this.silence();
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #start(ms: number, clock: Clock): void {
    this.#firesAtMs = this.#dueAtMs;
    this.#timer = clock.after(ms, () => {
      this.#timer = undefined;
      if (this.#listener === undefined) return;
      const leftMs = this.#dueAtMs - clock.monotonic();
      if (leftMs > coarsenessMs) this.#start(leftMs, clock);
      else this.#listener();
    });
  }
}
