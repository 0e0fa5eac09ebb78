import type { Clock } from '../../shared/clock.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { Call } from './call.ts';
import type { ChangeLog, Topic } from './change-log.ts';

/** Changes that come within this time are told together. */
const coalesceMs = 25;

/** Objects in one message: keeps a large list below the largest message. */
const perMessage = 200;

export interface WatchMessage<T> {
  /** Where to resume: after this message, never after what is still to follow it. */
  readonly cursor: string;
  readonly snapshot: boolean;
  readonly more: boolean;
  readonly objects: T[];
  readonly removedIds: string[];
}

/**
 * First all of a list, then every change of it.
 *
 * `list` answers what the caller may see now. What was sent last is remembered for each object, so that
 * changes which come to nothing are not told; a slow reader gets the newest state, never a backlog.
 */
export async function* watch<T extends { readonly id: string }>(
  options: {
    readonly topic: Topic;
    readonly cursor: string;
    readonly list: () => readonly T[];
    readonly changes: ChangeLog;
    readonly clock: Clock;
  },
  { signal }: Pick<Call, 'signal'>,
): AsyncGenerator<WatchMessage<T>> {
  const { topic, list, changes, clock } = options;
  const wakeup = new Wakeup();
  using _watch = changes.watch(wakeup);
  const sent = new Map<string, string>();
  // A snapshot that breaks off starts anew; changes that break off come again.
  let told = options.cursor;
  let cursor = changes.cursor;
  const first = list();
  for (const object of first) sent.set(object.id, JSON.stringify(object));

  const missed = options.cursor === '' ? null : changes.changedSince(options.cursor, topic);
  if (missed === null) yield* chunks(first, { cursor, before: '', snapshot: true });
  else
    yield* chunks(
      first.filter(({ id }) => missed.has(id)),
      { cursor, before: told, snapshot: false },
      [...missed].filter((id) => !sent.has(id)),
    );
  told = cursor;

  while (!signal.aborted) {
    await wakeup.wait(signal);
    await clock.sleep(coalesceMs, signal);
    if (signal.aborted) return;
    cursor = changes.cursor;
    const now = list();
    const changed = now.filter((object) => {
      const text = JSON.stringify(object);
      if (sent.get(object.id) === text) return false;
      sent.set(object.id, text);
      return true;
    });
    const present = new Set(now.map(({ id }) => id));
    const removed = [...sent.keys()].filter((id) => !present.has(id));
    for (const id of removed) sent.delete(id);
    if (changed.length === 0 && removed.length === 0) continue;
    yield* chunks(changed, { cursor, before: told, snapshot: false }, removed);
    told = cursor;
  }
}

function* chunks<T>(
  objects: readonly T[],
  {
    cursor,
    before,
    snapshot,
  }: { readonly cursor: string; readonly before: string; readonly snapshot: boolean },
  removedIds: string[] = [],
): Generator<WatchMessage<T>> {
  let start = 0;
  do {
    const end = start + perMessage;
    const last = end >= objects.length;
    yield {
      cursor: last ? cursor : before,
      snapshot,
      more: snapshot && !last,
      objects: objects.slice(start, end),
      removedIds: start === 0 ? removedIds : [],
    };
    start = end;
  } while (start < objects.length);
}
