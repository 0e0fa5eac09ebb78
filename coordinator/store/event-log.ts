import type { Event } from '../model.ts';
import type { Database } from './database.ts';

/** Events that are kept. */
const keptEvents = 20_000;

/** What happened, in order, bounded; written in the transaction of what caused it. */
export class EventLog {
  readonly #append: (event: Omit<Event, 'cursor'>) => number;
  readonly #trim: (newest: number) => void;
  readonly #select: (after: number, objectId: string, limit: number) => Event[];
  readonly #listeners = new Set<() => void>();
  #newest: number;
  #uncommitted = false;

  constructor(database: Database) {
    const insert = database.prepare(
      `INSERT INTO events (time_ms, type, object_id, object_name, action_id, message)
       VALUES (@timeMs, @type, @objectId, @objectName, @actionId, @message)`,
    );
    const trim = database.prepare('DELETE FROM events WHERE cursor <= ?');
    const select = database.prepare(
      `SELECT cursor, time_ms AS timeMs, type, object_id AS objectId, object_name AS objectName,
              action_id AS actionId, message
       FROM events WHERE cursor > @after AND (@objectId = '' OR object_id = @objectId)
       ORDER BY cursor LIMIT @limit`,
    );
    this.#append = (event) => Number(insert.run(event).lastInsertRowid);
    this.#trim = (newest) => {
      trim.run(newest - keptEvents);
    };
    this.#select = (after, objectId, limit) => select.all({ after, objectId, limit }) as Event[];
    const newest = database.prepare('SELECT max(cursor) FROM events').pluck().get();
    this.#newest = (newest as number | null) ?? 0;
  }

  /** Cursor of the newest event, 0 if there is none. */
  get newest(): number {
    return this.#newest;
  }

  /** Cursor before the oldest event that is kept. */
  get oldest(): number {
    const [first] = this.#select(0, '', 1);
    return first === undefined ? this.#newest : first.cursor - 1;
  }

  after(cursor: number, objectId: string, limit: number): Event[] {
    return this.#select(cursor, objectId, limit);
  }

  append(event: Omit<Event, 'cursor'>): void {
    const cursor = this.#append(event);
    if (cursor % 1_000 === 0) this.#trim(cursor);
    this.#uncommitted = true;
  }

  commit(): void {
    if (!this.#uncommitted) return;
    this.#uncommitted = false;
    const [last] = this.#select(this.#newest, '', -1).slice(-1);
    this.#newest = last?.cursor ?? this.#newest;
    for (const listener of this.#listeners) listener();
  }

  rollback(): void {
    this.#uncommitted = false;
  }

  /** Calls `listener` after every commit that added events. */
  subscribe(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }
}
