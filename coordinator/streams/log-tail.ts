import type { ContainerId } from '../../shared/ids.ts';
import { LogPlace, type LogPosition } from '../../shared/log-place.ts';
import type { LogLine } from './log-line.ts';

/** Of the lines that are kept, all together. */
const maxBytes = 4 * 1024 * 1024;

interface Kept {
  readonly id: ContainerId;
  readonly line: LogLine;
}

/** The newest lines of several logs together; knows from where each log is told. */
export class LogTail {
  readonly #maxLines: number;
  readonly #dropped = new Map<ContainerId, LogPlace>();
  #kept: Kept[] = [];
  /** Lines at the start of the list that are dropped. */
  #surplus = 0;
  #bytes = 0;

  constructor(maxLines: number) {
    this.#maxLines = maxLines;
  }

  add(id: ContainerId, line: LogLine): void {
    this.#kept.push({ id, line });
    this.#bytes += sizeOf(line);
    while (this.#kept.length - this.#surplus > this.#maxLines || this.#bytes > maxBytes) {
      this.#drop();
    }
    if (this.#surplus < 1_024) return;
    this.#kept = this.#kept.slice(this.#surplus);
    this.#surplus = 0;
  }

  /** The newest lines, oldest first. */
  get lines(): readonly Kept[] {
    return this.#kept.slice(this.#surplus);
  }

  /** The place before the first line of a log that is told; null: it has none. */
  startOf(id: ContainerId): LogPosition | null {
    const dropped = this.#dropped.get(id)?.position;
    if (dropped !== undefined) return dropped;
    const first = this.lines.find((kept) => kept.id === id);
    return first === undefined ? null : { time: first.line.time, lines: 0 };
  }

  #drop(): void {
    const kept = this.#kept[this.#surplus++];
    if (kept === undefined) return;
    this.#bytes -= sizeOf(kept.line);
    let place = this.#dropped.get(kept.id);
    if (place === undefined) {
      place = new LogPlace({ time: '', lines: 0 });
      this.#dropped.set(kept.id, place);
    }
    place.add(kept.line.time);
  }
}

function sizeOf({ data }: LogLine): number {
  return data.length + 64;
}
