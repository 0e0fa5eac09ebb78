import type { Clock } from '../../shared/clock.ts';
import type { ContainerId } from '../../shared/ids.ts';
import type { LogPosition } from '../../shared/log-place.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { LogLine, LogNews } from './log-line.ts';

/** A line of one of several logs, or what became of one of them. */
export type Merged =
  | { readonly kind: 'line'; readonly id: ContainerId; readonly line: LogLine }
  | { readonly kind: 'standing'; readonly id: ContainerId; readonly standing: Standing };

/** What became of a log; its lines before that have been told. */
export type Standing =
  | { readonly kind: 'reading'; readonly position: LogPosition | null }
  | { readonly kind: 'waiting' | 'failed'; readonly why: string }
  | { readonly kind: 'ended' };

interface Source {
  readonly id: ContainerId;
  readonly log: AsyncIterator<LogNews>;
  readonly queue: LogLine[];
  /** Place of the next line in the queue. */
  at: number;
  /** What was told that is no line, and comes after the queue. */
  news: Exclude<LogNews, { kind: 'lines' }> | undefined;
  /** Lines of others wait until it has told what it had: theirs may be later. */
  holds: boolean;
  isPulling: boolean;
  isOver: boolean;
  failure: unknown;
}

/** Lines that come within this time are put in order. */
const gatherMs = 25;
/** Told in batches of about this size at most. */
const batchBytes = 48 * 1024;

/**
 * Merges logs by the time of their lines. What was there at the beginning comes in exact order; lines that are
 * followed come in the order of their arrival, but for those that arrive together.
 *
 * Of each log one batch is held, and the next one asked for when it has been told: who does not read, holds
 * up the engines and fills no memory.
 */
export class LogMerge {
  readonly #clock: Clock;
  readonly #sources = new Map<ContainerId, Source>();
  readonly #wakeup = new Wakeup();
  #isClosed = false;

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
  }

  /** `holds`: the others wait for what it has already. */
  add(id: ContainerId, log: AsyncIterator<LogNews>, { holds }: { readonly holds: boolean }): void {
    this.#sources.set(id, {
      ...{ id, log, holds, queue: [], at: 0, news: undefined },
      ...{ isPulling: false, isOver: false, failure: undefined },
    });
    this.#wakeup.notify();
  }

  /** Whether more may come of a log. */
  has(id: ContainerId): boolean {
    return this.#sources.has(id);
  }

  /** Logs of which more may come. */
  get size(): number {
    return this.#sources.size;
  }

  /** No more logs are added: it ends with the last of them. */
  close(): void {
    this.#isClosed = true;
    this.#wakeup.notify();
  }

  /** Whether something of what was there at the beginning is still to come. */
  get isHolding(): boolean {
    return [...this.#sources.values()].some(({ holds, isOver }) => holds && !isOver);
  }

  async *read(signal: AbortSignal): AsyncGenerator<Merged[]> {
    try {
      while (!signal.aborted) {
        const merged = this.#collect();
        if (merged.length > 0) {
          yield merged;
          continue;
        }
        if (this.#isClosed && this.#sources.size === 0) return;
        await this.#wakeup.wait(signal);
        if (this.#sources.size > 1 && !this.isHolding) await this.#clock.sleep(gatherMs, signal);
      }
    } finally {
      // One that has told more than was read waits to be asked, for ever.
      for (const { log } of this.#sources.values()) void log.return?.().catch(ignore);
    }
  }

  #collect(): Merged[] {
    const merged: Merged[] = [];
    let bytes = 0;
    while (bytes < batchBytes) {
      this.#takeNews(merged);
      const source = this.#first();
      const line = source?.queue[source.at];
      if (source === undefined || line === undefined) break;
      source.at++;
      bytes += line.data.length + 64;
      merged.push({ kind: 'line', id: source.id, line });
    }
    return merged;
  }

  /** Asks for more where the queue is told, and tells what is no line. */
  #takeNews(merged: Merged[]): void {
    for (const source of this.#sources.values()) {
      if (source.at < source.queue.length || source.isPulling) continue;
      if (source.failure !== undefined) throw source.failure as Error;
      const { id, news } = source;
      source.news = undefined;
      if (news !== undefined) {
        source.holds &&= news.kind === 'reading';
        merged.push({ kind: 'standing', id, standing: standingOf(news) });
      }
      if (source.isOver) this.#sources.delete(id);
      else void this.#pull(source);
    }
  }

  /** The log whose next line is the oldest; undefined: none, or one must be waited for. */
  #first(): Source | undefined {
    let first: Source | undefined;
    let firstTime = '';
    for (const source of this.#sources.values()) {
      const time = source.queue[source.at]?.time;
      if (time === undefined) {
        if (source.holds) return undefined;
        continue;
      }
      if (first === undefined || time < firstTime) {
        first = source;
        firstTime = time;
      }
    }
    return first;
  }

  async #pull(source: Source): Promise<void> {
    source.isPulling = true;
    source.queue.length = 0;
    source.at = 0;
    try {
      const next = await source.log.next();
      if (next.done === true) source.isOver = true;
      else if (next.value.kind === 'lines') source.queue.push(...next.value.lines);
      else source.news = next.value;
    } catch (error) {
      source.failure = error;
    }
    source.isPulling = false;
    this.#wakeup.notify();
  }
}

function standingOf(news: Exclude<LogNews, { kind: 'lines' }>): Standing {
  switch (news.kind) {
    case 'caught-up':
      return { kind: 'reading', position: news.position };
    case 'reading':
      return { kind: 'reading', position: null };
    case 'waiting':
    case 'failed':
    case 'ended':
      return news;
  }
}

function ignore(): void {
  // Nobody reads it any more.
}
