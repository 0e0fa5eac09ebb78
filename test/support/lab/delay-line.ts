import type { Socket } from 'node:net';
import { systemClock } from '../../../shared/clock.ts';

/** A sender is not read any further while this much of what it sent is on its way. */
const bytesInFlightMax = 1 << 24;

interface Parcel {
  readonly dueAt: number;
  /** Undefined is the end of the stream. */
  readonly bytes: Buffer | undefined;
}

/**
 * One direction of a relayed connection: what comes in at one socket goes out at the other, in
 * order, each piece a fixed time after it came. While it is held nothing moves, and nothing is lost.
 */
export class DelayLine {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #delayMs: () => number;
  readonly #parcels: Parcel[] = [];
  #bytesInFlight = 0;
  #timer: NodeJS.Timeout | undefined;
  #held = false;

  constructor(from: Socket, to: Socket, delayMs: () => number) {
    this.#from = from;
    this.#to = to;
    this.#delayMs = delayMs;
    from.on('data', (bytes) => {
      this.#take(bytes);
    });
    from.on('end', () => {
      this.#take(undefined);
    });
    to.on('drain', () => {
      this.#deliver();
    });
    // A socket that was paused before does not start by itself when it gets a listener.
    this.#regulate();
  }

  /** Stops reading and delivering, or goes on with both. */
  hold(held: boolean): void {
    this.#held = held;
    this.#regulate();
    this.#deliver();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#parcels.length = 0;
  }

  #take(bytes: Buffer | undefined): void {
    this.#parcels.push({ dueAt: systemClock.monotonic() + this.#delayMs(), bytes });
    this.#bytesInFlight += bytes?.length ?? 0;
    this.#regulate();
    this.#deliver();
  }

  #deliver(): void {
    clearTimeout(this.#timer);
    while (!this.#held && !this.#to.writableNeedDrain) {
      const next = this.#parcels[0];
      if (next === undefined) break;
      const waitMs = next.dueAt - systemClock.monotonic();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => {
          this.#deliver();
        }, waitMs);
        break;
      }
      this.#parcels.shift();
      this.#bytesInFlight -= next.bytes?.length ?? 0;
      if (next.bytes === undefined) this.#to.end();
      else this.#to.write(next.bytes);
    }
    this.#regulate();
  }

  #regulate(): void {
    if (this.#held || this.#bytesInFlight >= bytesInFlightMax) this.#from.pause();
    else this.#from.resume();
  }
}
