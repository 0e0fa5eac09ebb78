import type { Clock } from '../../shared/clock.ts';
import { messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import { advanceDrain, type Drain } from './drain.ts';
import type { ProcessorPressure } from './processor-pressure.ts';

/** Least time between two readings. */
const readEveryMs = 25;
/**
 * And while programs wait for processors: beside fifty changes a second the slowest hundredth of the requests was 1.30
 * times as slow as with none when read every 25 ms, and 1.15 times when read as often as this (`bench:proxy`).
 */
const readEveryMsUnderPressure = 200;
/** Readings take at most this part of the time of HAProxy. */
const readingShare = 1 / 4;

export interface DrainerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly pressure: Pick<ProcessorPressure, 'isHigh'>;
  /**
   * What is in flight on each path, over all workers of HAProxy; undefined if it cannot be told now.
   */
  readonly read: (
    paths: readonly string[],
    signal: AbortSignal,
  ) => Promise<ReadonlyMap<string, number> | undefined>;
  /** Ends what is in flight. */
  readonly cut: (paths: readonly string[], signal: AbortSignal) => Promise<void>;
  readonly onReading: (path: string, inFlight: number) => void;
  /** Told once; the drainer has forgotten the path then. */
  readonly onDrained: (path: string) => void;
}

/** Watches targets that take no new requests until nothing is in flight on them, or their time is over. */
export class Drainer {
  readonly #deps: DrainerDeps;
  readonly #drains = new Map<string, Drain>();
  readonly #wakeup = new Wakeup();

  constructor(deps: DrainerDeps) {
    this.#deps = deps;
  }

  /** To be called when the drain is in effect: a reading from before would prove nothing. */
  watch(path: string, deadlineAt: number): void {
    const before = this.#drains.get(path);
    if (before?.deadlineAt === deadlineAt) return;
    this.#drains.set(path, {
      deadlineAt,
      zeroReadings: before?.zeroReadings ?? 0,
      cutAt: before?.cutAt,
    });
    this.#wakeup.notify();
  }

  forget(path: string): void {
    this.#drains.delete(path);
  }

  watches(path: string): boolean {
    return this.#drains.has(path);
  }

  /** To be called when readings from before do not count any more. */
  startOver(): void {
    for (const [path, drain] of this.#drains) {
      this.#drains.set(path, { ...drain, zeroReadings: 0 });
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, pressure } = this.#deps;
    while (!signal.aborted) {
      if (this.#drains.size === 0) {
        await this.#wakeup.wait(signal);
        continue;
      }
      const startedAt = clock.monotonic();
      const leastMs = pressure.isHigh ? readEveryMsUnderPressure : readEveryMs;
      let pauseMs = leastMs;
      try {
        await this.#look(signal);
        pauseMs = Math.max(leastMs, (clock.monotonic() - startedAt) / readingShare);
      } catch (error) {
        // That no answer came took HAProxy no time: an old worker that ends may owe one, and is gone the next time.
        if (!signal.aborted)
          log.debug({ err: messageOf(error) }, 'could not read what is in flight');
      }
      await clock.sleep(pauseMs, signal);
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const before = new Map(this.#drains);
    const readings = await this.#deps.read([...before.keys()], signal);
    if (readings === undefined) return;
    const now = this.#deps.clock.monotonic();
    const toCut: string[] = [];
    for (const [path, drain] of before) {
      const inFlight = readings.get(path);
      // Watched anew, or started over, while the reading was on its way: it does not count.
      if (inFlight === undefined || this.#drains.get(path) !== drain) continue;
      this.#deps.onReading(path, inFlight);
      const next = advanceDrain(drain, inFlight, now);
      this.#drains.set(path, next.drain);
      if (next.action === 'cut') toCut.push(path);
      if (next.action === 'drained') this.#finish(path, inFlight);
    }
    if (toCut.length === 0) return;
    this.#deps.log.warn({ targets: toCut }, 'cutting requests that outlived their drain time');
    await this.#deps.cut(toCut, signal);
  }

  #finish(path: string, inFlight: number): void {
    if (inFlight > 0) {
      this.#deps.log.warn({ target: path, inFlight }, 'gave up on requests that cannot be cut');
    }
    this.#drains.delete(path);
    this.#deps.onDrained(path);
  }
}
