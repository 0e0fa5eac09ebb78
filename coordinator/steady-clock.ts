import type { Clock } from '../shared/clock.ts';

/**
 * The time of the coordinator: that of its host, but that it does not jump. What it waits for is kept as a moment of
 * the wall clock, as that has to outlive a restart; were the host's clock set, drains would be cut short, rollouts
 * fail at once, or both wait for hours. So this clock stays as it was until `follow`, which goes with moving all that
 * is waited for.
 */
export class SteadyClock implements Clock {
  /** The clock of the host, for dates that were promised. */
  readonly host: Clock;
  /** This clock less the monotonic one. */
  #offsetMs: number;

  constructor(host: Clock) {
    this.host = host;
    this.#offsetMs = host.now() - host.monotonic();
  }

  now(): number {
    return Math.round(this.host.monotonic() + this.#offsetMs);
  }

  monotonic(): number {
    return this.host.monotonic();
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.host.sleep(ms, signal);
  }

  after(ms: number, listener: () => void): Disposable {
    return this.host.after(ms, listener);
  }

  /** By how much the clock of the host is ahead of this one; below 0: behind. */
  get behindMs(): number {
    return this.host.now() - this.now();
  }

  /** It is later than that, which was written by it in an earlier run: if not, the clock was set back meanwhile. */
  startAfter(atMs: number): void {
    this.follow(Math.max(0, atMs - this.now()));
  }

  /** Goes ahead, or back, towards the clock of the host. */
  follow(byMs: number): void {
    this.#offsetMs += byMs;
  }
}
