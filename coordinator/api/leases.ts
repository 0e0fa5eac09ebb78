import type { Clock } from '../../shared/clock.ts';
import type { Connections } from './connections.ts';

/**
 * How often it is looked who was silent: so much sooner than asked a lease may end. As often as the dispatcher looks,
 * so that both wake the process at the same moment: at rest, waking is what costs.
 */
const lookMs = 500;
/** So much of a longer while counts: while we were busy or frozen ourselves, nobody could be heard. */
const countedMs = 750;

/** Who holds a lease. */
export interface LeaseHolder {
  /** The peer was heard of at a moment of the monotonic clock, or a little later. */
  heard(atMs: number): void;
  /** It was silent for as long as its lease; told once. */
  silent(): void;
  /** The certificate that its connection was opened with is valid no more; told once. */
  outlived(): void;
}

export interface LeaseOptions {
  /** Address of the peer, as its call tells it. */
  readonly peer: string;
  readonly leaseMs: number;
  /** When its certificate expires, by the wall clock. */
  readonly validToMs: number;
}

/** The word that a peer is alive. Dispose it when its session is over. */
export interface Lease extends Disposable {
  /** To be called on every message of the peer. */
  renew(): void;
}

/**
 * How long the peers of all sessions count as alive without a sign of life, and are who they said.
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

  hold(options: LeaseOptions, holder: LeaseHolder): Lease {
    const lease = new HeldLease(options, {
      ...{ holder, held: this.#held },
      connection: this.#connections.of(options.peer),
    });
    this.#held.add(lease);
    return lease;
  }

  #look(): void {
    const nowMs = this.#clock.monotonic();
    const wallMs = this.#clock.now();
    const passedMs = Math.min(nowMs - this.#lookedAtMs, countedMs);
    const look = { sinceMs: this.#lookedAtMs, passedMs, wallMs };
    for (const lease of this.#held) lease.look(look);
    this.#lookedAtMs = nowMs;
  }
}

/** A moment in which it is looked who was silent. */
interface Look {
  /** When it was looked last, by the monotonic clock. */
  readonly sinceMs: number;
  /** So long ago. */
  readonly passedMs: number;
  readonly wallMs: number;
}

class HeldLease implements Lease {
  readonly #holder: LeaseHolder;
  readonly #held: Set<HeldLease>;
  readonly #connection: { readonly bytesRead: number } | undefined;
  readonly #leaseMs: number;
  readonly #validToMs: number;
  #bytesRead: number;
  #silentMs = 0;

  constructor(
    { leaseMs, validToMs }: LeaseOptions,
    {
      holder,
      held,
      connection,
    }: {
      readonly holder: LeaseHolder;
      readonly held: Set<HeldLease>;
      readonly connection: { readonly bytesRead: number } | undefined;
    },
  ) {
    this.#holder = holder;
    this.#held = held;
    this.#connection = connection;
    this.#leaseMs = leaseMs;
    this.#validToMs = validToMs;
    this.#bytesRead = connection?.bytesRead ?? 0;
  }

  renew(): void {
    this.#silentMs = 0;
  }

  look({ sinceMs, passedMs, wallMs }: Look): void {
    if (wallMs >= this.#validToMs) {
      this[Symbol.dispose]();
      this.#holder.outlived();
      return;
    }
    const bytesRead = this.#connection?.bytesRead ?? 0;
    if (bytesRead !== this.#bytesRead) {
      this.#bytesRead = bytesRead;
      // It may have been silent ever since, but for the first moment.
      this.#silentMs = passedMs;
      this.#holder.heard(sinceMs);
      return;
    }
    this.#silentMs += passedMs;
    if (this.#silentMs < this.#leaseMs) return;
    this[Symbol.dispose]();
    this.#holder.silent();
  }

  [Symbol.dispose](): void {
    this.#held.delete(this);
  }
}
