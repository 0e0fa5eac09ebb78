import type { Event } from '../model.ts';
import type { Database } from './database.ts';

/** Events that are kept. */
const keptEvents = 20_000;

/** Bytes of their objects that are kept, of the newest events. */
const keptObjectBytes = 16 * 1024 * 1024;

/** An object that takes more is left out. */
const maxObjectBytes = 64 * 1024;

/** Bytes of objects that are read in one go. */
const maxBatchBytes = 2 * 1024 * 1024;

/** Which events to read. */
export interface EventFilter {
  /** Types (`container.ready`), or what they begin with (`container`); empty: all. */
  readonly types: readonly string[];
  /** Id of an object, or the name that it had; empty: of all objects. */
  readonly object: string;
  /** Only what belongs to these services and node clusters; null: everything. */
  readonly owners: readonly string[] | null;
  /** Recorded then or later. */
  readonly sinceMs: number;
  /** Recorded earlier. */
  readonly untilMs: number;
  /** With their objects. */
  readonly objects: boolean;
}

/** What a filter leaves open. */
const everything: EventFilter = {
  types: [],
  object: '',
  owners: null,
  sinceMs: 0,
  untilMs: Number.MAX_SAFE_INTEGER,
  objects: false,
};

/** An event with its object, as it was encoded; null: it has none. */
export interface KeptEvent extends Event {
  readonly object: Uint8Array | null;
}

export interface EventBatch {
  readonly events: readonly KeptEvent[];
  /** Everything up to here was looked at: where to go on. */
  readonly cursor: number;
}

/** An event that is being written. */
type NewEvent = Omit<Event, 'cursor'> & { readonly ownerId: string };

/** What happened, in order, bounded; written in the transaction of what caused it. */
export class EventLog {
  readonly #statements: ReturnType<typeof prepare>;
  readonly #listeners = new Set<() => void>();
  /** Those of the transaction that is open. */
  #fresh: Event[] = [];
  #newest: number;
  /** What the objects take, those of the open transaction included. */
  #objectBytes: number;

  constructor(database: Database) {
    this.#statements = prepare(database);
    const { newest, objectBytes } = this.#statements;
    this.#newest = (newest.get() as number | null) ?? 0;
    this.#objectBytes = objectBytes.get() as number;
  }

  /** Cursor of the newest event, 0 if there is none. */
  get newest(): number {
    return this.#newest;
  }

  /** When the newest event was; 0 if there is none. */
  lastTimeMs(): number {
    return (this.#statements.lastTime.get() as number | undefined) ?? 0;
  }

  /** Cursor before the oldest event that is kept. */
  get oldest(): number {
    const first = this.#statements.oldest.get() as number | null;
    return first === null ? this.#newest : first - 1;
  }

  /** The first events after a cursor that match, at most `limit`, and fewer if their objects are large. */
  after(cursor: number, filter: Partial<EventFilter>, limit: number): EventBatch {
    const query = { ...parametersOf({ ...everything, ...filter }), cursor, limit };
    const events: KeptEvent[] = [];
    let bytes = 0;
    for (const row of this.#statements.select.iterate(query)) {
      const event = row as KeptEvent;
      bytes += event.object?.length ?? 0;
      if (events.length > 0 && bytes > maxBatchBytes) break;
      events.push(event);
      if (events.length === limit) break;
    }
    const isCut = events.length === limit || bytes > maxBatchBytes;
    return { events, cursor: (isCut ? events.at(-1)?.cursor : undefined) ?? this.#newest };
  }

  /** Whose the object of the last event on it was; empty: nobody's, or there is none. */
  lastOwnerOf(objectId: string): string {
    return (this.#statements.lastOwner.get(objectId) as string | undefined) ?? '';
  }

  append(event: NewEvent): void {
    const cursor = Number(this.#statements.insert.run(event).lastInsertRowid);
    if (cursor % 1_000 === 0) this.#trim(cursor - keptEvents);
    this.#fresh.push({ ...event, cursor });
  }

  /** Keeps the objects of what the transaction appended, as they are at its end. */
  keepObjects(encode: (event: Event) => Uint8Array | null): void {
    const encoded = new Map<string, Uint8Array | null>();
    for (const event of this.#fresh) {
      const key = `${kindOf(event.type)} ${event.objectId} ${event.actionId}`;
      const object = encoded.get(key) ?? encode(event);
      encoded.set(key, object);
      if (object === null || object.length > maxObjectBytes) continue;
      this.#statements.insertObject.run(event.cursor, object);
      this.#objectBytes += object.length;
    }
    if (this.#objectBytes > keptObjectBytes) this.#trimObjects();
  }

  commit(): void {
    const last = this.#fresh.at(-1);
    if (last === undefined) return;
    this.#fresh = [];
    this.#newest = last.cursor;
    for (const listener of this.#listeners) listener();
  }

  rollback(): void {
    if (this.#fresh.length === 0) return;
    this.#fresh = [];
    this.#objectBytes = this.#statements.objectBytes.get() as number;
  }

  /** Calls `listener` after every commit that added events. */
  subscribe(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #trim(upTo: number): void {
    this.#statements.trim.run(upTo);
    this.#statements.trimObjects.run(upTo);
    this.#objectBytes = this.#statements.objectBytes.get() as number;
  }

  /** More than are too many, so that it is done seldom. */
  #trimObjects(): void {
    const { surplusObject, trimObjects, objectBytes } = this.#statements;
    const upTo = surplusObject.get(keptObjectBytes * 0.75) as number | undefined;
    if (upTo !== undefined) trimObjects.run(upTo);
    this.#objectBytes = objectBytes.get() as number;
  }
}

function parametersOf({ types, owners, objects, ...rest }: EventFilter) {
  return {
    ...rest,
    objects: Number(objects),
    types: types.length === 0 ? null : JSON.stringify(types),
    owners: owners === null ? null : JSON.stringify(owners),
  };
}

/** `container` of `container.ready`. */
export function kindOf(type: string): string {
  return type.slice(0, type.indexOf('.'));
}

function prepare(database: Database) {
  const value = (sql: string) => database.prepare(sql).pluck();
  return {
    insert: database.prepare(
      `INSERT INTO events (time_ms, type, object_id, object_name, action_id, message, owner_id)
       VALUES (@timeMs, @type, @objectId, @objectName, @actionId, @message, @ownerId)`,
    ),
    insertObject: database.prepare('INSERT INTO event_objects (cursor, object) VALUES (?, ?)'),
    select: database.prepare(
      `SELECT cursor, time_ms AS timeMs, type, object_id AS objectId, object_name AS objectName,
              action_id AS actionId, message,
              CASE WHEN @objects THEN
                (SELECT object FROM event_objects WHERE event_objects.cursor = events.cursor)
              END AS object
       FROM events
       WHERE cursor > @cursor
         AND (@object = '' OR @object IN (object_id, object_name))
         AND (@types IS NULL OR type IN (SELECT value FROM json_each(@types))
              OR substr(type, 1, instr(type, '.') - 1) IN (SELECT value FROM json_each(@types)))
         AND (@owners IS NULL OR owner_id IN (SELECT value FROM json_each(@owners)))
         AND time_ms >= @sinceMs AND time_ms < @untilMs
       ORDER BY cursor LIMIT @limit`,
    ),
    newest: value('SELECT max(cursor) FROM events'),
    lastTime: value('SELECT time_ms FROM events ORDER BY cursor DESC LIMIT 1'),
    oldest: value('SELECT min(cursor) FROM events'),
    lastOwner: value(
      'SELECT owner_id FROM events WHERE object_id = ? ORDER BY cursor DESC LIMIT 1',
    ),
    trim: database.prepare('DELETE FROM events WHERE cursor <= ?'),
    trimObjects: database.prepare('DELETE FROM event_objects WHERE cursor <= ?'),
    objectBytes: value('SELECT coalesce(sum(length(object)), 0) FROM event_objects'),
    surplusObject: value(
      `SELECT cursor FROM (SELECT cursor, sum(length(object)) OVER (ORDER BY cursor DESC) AS total
                           FROM event_objects)
       WHERE total > ? ORDER BY cursor DESC LIMIT 1`,
    ),
  };
}
