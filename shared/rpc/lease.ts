import type { Clock } from '../clock.ts';

/**
 * What an agent says that it can do: the pings of its connection, one a second, are its signs of life, and their
 * answers those of the coordinator. They cost neither side a message.
 */
export const pingVerb = 'ping';

/**
 * How long a peer counts as alive without a message. Both ends of a session hold one: gRPC alone never
 * notices a peer that is frozen or half-open.
 */
export class Lease {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  #heardAt: number;

  constructor(leaseMs: number, clock: Clock) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
    this.#heardAt = clock.monotonic();
  }

  /** To be called on every message of the peer. */
  renew(): void {
    this.#heardAt = this.#clock.monotonic();
  }

  /** Resolves true when the peer was silent for longer than the lease, false when aborted. */
  async expired(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      const leftMs = this.#heardAt + this.#leaseMs - this.#clock.monotonic();
      if (leftMs <= 0) return true;
      await this.#clock.sleep(leftMs, signal);
    }
    return false;
  }
}
