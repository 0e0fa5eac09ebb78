/**
 * The wall clock in fractions of a millisecond, comparable with the times that an engine gives its
 * events. Node gives whole milliseconds, so it is watched until one begins.
 */
export class FineWallClock {
  #offsetMs = 0;

  constructor() {
    this.synchronize();
  }

  /** Takes the difference to the monotonic clock anew; keeps the processor busy for a few milliseconds. */
  synchronize(): void {
    let offsetMs = -Infinity;
    for (let tries = 0; tries < 3; tries++) {
      const before = Date.now();
      let now = before;
      while (now === before) now = Date.now();
      // Noticed late it comes out too small, so the largest is the nearest.
      offsetMs = Math.max(offsetMs, now - performance.now());
    }
    this.#offsetMs = offsetMs;
  }

  now(): number {
    return this.#offsetMs + performance.now();
  }
}
