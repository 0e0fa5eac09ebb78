import type { Clock } from '../../shared/clock.ts';
import type { Connections } from './connections.ts';

/** How often it is looked who was silent: so much sooner than asked a lease may end. */
const lookMs = 250;

export interface LeaseOptions {
  /** Address of the peer, as its call tells it. */
  readonly peer: string;
  readonly leaseMs: number;
  /** Told that the peer was heard of at a moment of the monotonic clock, or a little later. */
  readonly onHeard?: ((atMs: number) => void) | undefined;
  /** Told once that it was silent for as long as its lease. */
  readonly onExpired: () => void;
}

/** The word that a peer is alive. Dispose it when its session is over. */
export interface Lease extends Disposable {
  /** To be called on every message of the peer. */
  renew(): void;
}

/**
 * How long the peers of all sessions count as alive without a sign of life.
 *
 * What came in over a connection is counted by the system, so that a ping wakes no code of ours, and one
 * timer serves all sessions.
 */
export class Leases {
  readonly #connections: Pick<Connections, 'of'>;
  readonly #clock: Clock;
  readonly #held = new Set<HeldLease>();
  #lookedAtMs: number;

  constructor({
    connections,
    clock,
  }: {
    readonly connections: Pick<Connections, 'of'>;
    readonly clock: Clock;
  }) {
    this.#connections = connections;
    this.#clock = clock;
    this.#lookedAtMs = clock.monotonic();
  }

  /** Looks who is silent until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(lookMs, signal);
      this.#look();
    }
  }

  /** Whether whatever comes over the connection of a peer is a sign of life, a ping as well. */
  follow(peer: string): boolean {
    return this.#connections.of(peer) !== undefined;
  }

  hold(options: LeaseOptions): Lease {
    const lease = new HeldLease(options, this.#connections.of(options.peer), () => {
      this.#held.delete(lease);
    });
    this.#held.add(lease);
    return lease;
  }

  #look(): void {
    const nowMs = this.#clock.monotonic();
    // While we were busy or frozen ourselves, nobody could be heard.
    const passedMs = Math.min(nowMs - this.#lookedAtMs, 2 * lookMs);
    for (const lease of this.#held) lease.look(this.#lookedAtMs, passedMs);
    this.#lookedAtMs = nowMs;
  }
}

class HeldLease implements Lease {
  readonly #options: LeaseOptions;
  readonly #connection: { readonly bytesRead: number } | undefined;
  readonly #release: () => void;
  #bytesRead: number;
  #silentMs = 0;

  constructor(
    options: LeaseOptions,
    connection: { readonly bytesRead: number } | undefined,
    release: () => void,
  ) {
    this.#options = options;
    this.#connection = connection;
    this.#release = release;
    this.#bytesRead = connection?.bytesRead ?? 0;
  }

  renew(): void {
    this.#silentMs = 0;
  }

  /** `sinceMs`: when it was looked last, so long ago. */
  look(sinceMs: number, passedMs: number): void {
    const bytesRead = this.#connection?.bytesRead ?? 0;
    if (bytesRead !== this.#bytesRead) {
      this.#bytesRead = bytesRead;
      this.#silentMs = 0;
      this.#options.onHeard?.(sinceMs);
      return;
    }
    this.#silentMs += passedMs;
    if (this.#silentMs <= this.#options.leaseMs - lookMs) return;
    this.#release();
    this.#options.onExpired();
  }

  [Symbol.dispose](): void {
    this.#release();
  }
}
