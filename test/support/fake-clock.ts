import { setImmediate } from 'node:timers/promises';
import { onAbort } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';

interface Sleeper {
  readonly wakeAtMs: number;
  readonly wake: () => void;
}

/** Wall-clock time at which every fake clock starts: a round number that is no real one. */
const startMs = Date.UTC(2030, 0, 1);

/** More turns of the event loop than work in a row waits for. */
const maxTurns = 8;

/** Time that stands still until a test moves it; sleepers wake in their order, one moment at a time. */
export class FakeClock implements Clock {
  #elapsedMs = 0;
  #setByMs = 0;
  #sleepers: Sleeper[] = [];

  now(): number {
    return startMs + this.#elapsedMs + this.#setByMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = this.after(ms, () => {
        subscription[Symbol.dispose]();
        resolve();
      });
      const subscription = onAbort(signal, () => {
        timer[Symbol.dispose]();
        resolve();
      });
    });
  }

  after(ms: number, listener: () => void): Disposable {
    const remove = () => {
      this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
    };
    const wake = () => {
      remove();
      listener();
    };
    const sleeper: Sleeper = { wakeAtMs: this.#elapsedMs + ms, wake };
    this.#sleepers.push(sleeper);
    return { [Symbol.dispose]: remove };
  }

  /** How many timers have not fired. */
  get timers(): number {
    return this.#sleepers.length;
  }

  /** Lets everything run that waits for nothing but its turns. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < maxTurns; turn++) await setImmediate();
  }

  /** Moves time; whoever sleeps until then wakes at its moment, and what it does is done before the next. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#elapsedMs + ms;
    await this.settle();
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.#elapsedMs = Math.max(this.#elapsedMs, next.wakeAtMs);
      next.wake();
      await this.settle();
    }
    this.#elapsedMs = untilMs;
  }

  /** Moves time without waking anybody, as a host that was suspended does. */
  jump(ms: number): void {
    this.#elapsedMs += ms;
  }

  /** Sets the wall clock, ahead or back; what measures time knows nothing of it. */
  setWallClock(byMs: number): void {
    this.#setByMs += byMs;
  }

  #next(untilMs: number): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      if (sleeper.wakeAtMs <= untilMs && (next === undefined || sleeper.wakeAtMs < next.wakeAtMs)) {
        next = sleeper;
      }
    }
    return next;
  }
}
