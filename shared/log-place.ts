/** A place in a log: after so many of the lines that were recorded at a time or later. */
export interface LogPosition {
  /** RFC 3339 in UTC with nine decimals, so that the text sorts by time. Empty: not known. */
  readonly time: string;
  readonly lines: number;
}

/** Before every line. */
export const beginning: LogPosition = { time: '1970-01-01T00:00:00.000000000Z', lines: 0 };

/** Lines of one container are recorded out of order by less than this. */
const disorderMs = 100;

/**
 * Follows how far a log was read, so that reading can go on from there with no line lost or doubled.
 *
 * An engine records what comes on two streams at once, so a line may carry a time that is a little before that
 * of the line above it. Hence the place counts lines from a time that is already a while ago: asked again for
 * lines from that time on, the engine gives the same ones in the same order, and the first so many are known.
 */
export class LogPlace {
  /** From a time that no line before it can follow any more. */
  #settled: LogPosition;
  /** From a later time; takes the place of the other when lines have moved on. */
  #recent: LogPosition;
  /** No line that was read so far is later than this by more than the disorder. Undefined: none was. */
  #recentMs: number | undefined;

  constructor(position: LogPosition) {
    this.#settled = position;
    this.#recent = position;
  }

  get position(): LogPosition {
    return this.#settled;
  }

  /** A line was read. */
  add(time: string): void {
    const timeMs = Date.parse(time);
    if (this.#settled.time === '') this.#settled = this.#recent = { time, lines: 0 };
    this.#recentMs ??= timeMs;
    if (timeMs - this.#recentMs <= disorderMs) {
      this.#settled = countIn(this.#settled, time);
      this.#recent = countIn(this.#recent, time);
      return;
    }
    this.#settled = countIn(this.#recent, time);
    this.#recent = { time, lines: 1 };
    this.#recentMs = timeMs;
  }
}

function countIn(position: LogPosition, time: string): LogPosition {
  return time < position.time ? position : { time: position.time, lines: position.lines + 1 };
}
