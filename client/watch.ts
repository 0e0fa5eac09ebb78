import type { Clock } from '../shared/clock.ts';
import { ChildController } from '../shared/abort.ts';
import { backoffMs } from '../shared/retry.ts';
import { isTransient } from './fairlead-error.ts';

/** A list of the coordinator's objects that is kept up to date, as of one message of the watch. */
export interface View<T> {
  /** All objects as they are now, by id, in the order in which they were first seen. */
  readonly items: ReadonlyMap<string, T>;
  /** Those that this message brought: all of them if it is a snapshot. */
  readonly changed: readonly T[];
  /** Ids of those that went. */
  readonly removedIds: readonly string[];
  /** True: the list was sent anew. */
  readonly snapshot: boolean;
  /** Where to resume. */
  readonly cursor: string;
}

/** What every response of a watch has besides its objects. */
export interface WatchMessage {
  readonly cursor: string;
  readonly snapshot: boolean;
  readonly more: boolean;
  readonly removedIds: readonly string[];
}

/** One whole snapshot, or one change. */
export interface Batch<T> {
  readonly cursor: string;
  readonly snapshot: boolean;
  readonly items: readonly T[];
  readonly removedIds: readonly string[];
}

export interface ResumeDeps {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Told when the stream ended, and of the wait before it is opened again. */
  readonly onLost: (error: unknown, waitMs: number) => void;
}

const backoff = { minMs: 100, maxMs: 5_000 };

/**
 * Messages of a stream that is opened again from the last cursor whenever it ends, until the signal
 * aborts. Throws what opening it again cannot mend: a token that is refused, a cursor too old.
 */
export async function* resume<M extends { readonly cursor: string }>(
  open: (cursor: string, signal: AbortSignal) => AsyncIterable<M>,
  from: string,
  { clock, random, onLost }: ResumeDeps,
  signal: AbortSignal,
): AsyncGenerator<M, void, undefined> {
  let cursor = from;
  let failures = 0;
  while (!signal.aborted) {
    let lost: unknown = new Error('the coordinator ended the watch');
    try {
      using attempt = new ChildController(signal);
      for await (const message of open(cursor, attempt.signal)) {
        failures = 0;
        cursor = message.cursor;
        yield message;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!isTransient(error)) throw error;
      lost = error;
    }
    if (signal.aborted) return;
    const waitMs = backoffMs(failures, backoff, random);
    failures++;
    onLost(lost, waitMs);
    await clock.sleep(waitMs, signal);
  }
}

/**
 * Joins the parts of a snapshot into one batch. A snapshot that is cut off is dropped whole, together
 * with its cursors: nothing can be resumed from the middle of it.
 */
export async function* wholeBatches<T, M extends WatchMessage>(
  messages: AsyncIterable<M>,
  itemsOf: (message: M) => readonly T[],
): AsyncGenerator<Batch<T>, void, undefined> {
  let items: T[] = [];
  for await (const message of messages) {
    items.push(...itemsOf(message));
    if (message.more) continue;
    const { cursor, snapshot, removedIds } = message;
    yield { cursor, snapshot, items, removedIds };
    items = [];
  }
}

/** Applies batches to a list, and yields the list after each. */
export async function* maintainView<T extends { readonly id: string }>(
  batches: AsyncIterable<Batch<T>>,
): AsyncGenerator<View<T>, void, undefined> {
  let items = new Map<string, T>();
  for await (const { cursor, snapshot, items: changed, removedIds } of batches) {
    const before = items;
    items = new Map(snapshot ? [] : before);
    for (const item of changed) items.set(item.id, item);
    for (const id of removedIds) items.delete(id);
    const gone = snapshot ? [...before.keys()].filter((id) => !items.has(id)) : removedIds;
    yield { items, changed, removedIds: gone, snapshot, cursor };
  }
}
