import { readFileSync } from 'node:fs';
import type { Clock } from '../../shared/clock.ts';

/** Where Linux since 4.20 tells it, unless it was built or started without. */
const pressureFile = '/proc/pressure/cpu';
const sampleEveryMs = 200;
/** What was read before tells nothing of now. */
const outdatedMs = 2_000;
/** At full load it is around two thirds with two processors, and a quarter while hundreds of changes come at once. */
const highShare = 0.5;

/** Whether programs of this host wait for a processor, for at least half of the time. */
export class ProcessorPressure {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #read: () => string;
  #last: { readonly atMs: number; readonly waitedMs: number } | undefined;
  #isHigh = false;
  #isTold = true;

  /** `read` returns the kernel's text, and throws if it tells nothing. */
  constructor(
    clock: Pick<Clock, 'monotonic'>,
    read: () => string = () => readFileSync(pressureFile, 'utf8'),
  ) {
    this.#clock = clock;
    this.#read = read;
  }

  /** False as well if the kernel does not tell, or was not asked in the last seconds. */
  get isHigh(): boolean {
    const atMs = this.#clock.monotonic();
    const last = this.#last;
    if (!this.#isTold || (last !== undefined && atMs - last.atMs < sampleEveryMs)) {
      return this.#isHigh;
    }
    const waitedMs = this.#waitedMs();
    if (waitedMs === undefined) {
      this.#isTold = false;
      this.#isHigh = false;
      return false;
    }
    const passedMs = atMs - (last?.atMs ?? -Infinity);
    this.#isHigh =
      last !== undefined &&
      passedMs <= outdatedMs &&
      waitedMs - last.waitedMs >= passedMs * highShare;
    this.#last = { atMs, waitedMs };
    return this.#isHigh;
  }

  #waitedMs(): number | undefined {
    try {
      return readWaitedMs(this.#read());
    } catch {
      return undefined;
    }
  }
}

/** For how long in all some program waited, by the kernel's text; undefined if it does not say. */
export function readWaitedMs(text: string): number | undefined {
  const micros = /^some .*\btotal=(\d+)$/m.exec(text)?.[1];
  return micros === undefined ? undefined : Number(micros) / 1_000;
}
