import { DamagedRecordError, type Database } from './database.ts';

/** A record's name in the change feed. */
export type TableName =
  'services' | 'containers' | 'nodes' | 'clusters' | 'tokens' | 'certificates' | 'actions';

/** One record that a transaction wrote; `record` is null if it was deleted. */
export interface Change {
  readonly table: TableName;
  readonly id: string;
}

/** Reading side of a table: everything is in memory, in order of insertion. */
export interface ReadonlyTable<Id extends string, Row> {
  get(id: Id): Row | undefined;
  values(): IterableIterator<Row>;
  readonly size: number;
  /** Grows with every write, of one that is undone too. */
  readonly writes: number;
}

interface Columns {
  readonly [column: string]: string | number | null;
}

export interface TableOptions<Row> {
  readonly name: TableName;
  /** The columns besides `id` and `record`. */
  readonly columns: (row: Row) => Columns;
  /** Names of those columns, in the same order. */
  readonly columnNames: readonly string[];
  /** Written to SQLite when the transaction ends: rows that one transaction writes a line at a time. */
  readonly late?: boolean;
  /**
   * A part that many rows have in common, or null: it has a column of its own under its name, and what is the
   * same text is read once.
   */
  readonly common?: keyof Row & string;
  /** Gives an equal row that takes less memory, before it is held. */
  readonly compact?: (row: Row) => Row;
  /** Told of every write, also of one that is undone, so that indexes follow. */
  readonly onWrite?: (before: Row | undefined, after: Row | undefined) => void;
}

/**
 * A table whose rows are JSON records, all held in memory and written through.
 *
 * Only inside `Store.transact`: writes touch memory and SQLite together, and `undo` takes the memory
 * back when SQLite rolls back.
 */
export class Table<Id extends string, Row extends { readonly id: Id }> implements ReadonlyTable<
  Id,
  Row
> {
  readonly #rows = new Map<Id, Row>();
  /** A row that was deleted has been brought back, and is not in its place. */
  #displaced = false;
  #writes = 0;
  readonly #undo: (() => void)[] = [];
  readonly #changed = new Set<Id>();
  /** Written in memory and not yet to SQLite. */
  readonly #unwritten = new Set<Id>();
  readonly #options: TableOptions<Row>;
  readonly #upsert: (row: Row) => void;
  readonly #remove: (id: Id) => void;
  /** All ids, in order of insertion. */
  readonly #idsInOrder: () => Id[];

  constructor(database: Database, options: TableOptions<Row>) {
    this.#options = options;
    const common = options.common === undefined ? undefined : new CommonPart(options.common);
    const parts = common === undefined ? [] : [common.name];
    const columns = ['id', ...options.columnNames, 'record', ...parts];
    const updates = columns.slice(1).map((column) => `${column} = excluded.${column}`);
    const upsert = database.prepare(
      `INSERT INTO ${options.name} (${columns.join(', ')}) VALUES (${columns.map((c) => `@${c}`).join(', ')})
       ON CONFLICT (id) DO UPDATE SET ${updates.join(', ')}`,
    );
    const remove = database.prepare(`DELETE FROM ${options.name} WHERE id = ?`);
    this.#upsert = (row) => {
      const own = { id: row.id, ...options.columns(row) };
      if (common === undefined) upsert.run({ ...own, record: JSON.stringify(row) });
      else upsert.run({ ...own, ...common.split(row) });
    };
    this.#remove = (id) => {
      remove.run(id);
    };
    const order = database.prepare(`SELECT id FROM ${options.name} ORDER BY rowid`).pluck();
    this.#idsInOrder = () => order.all() as Id[];
    const load = database.prepare(
      `SELECT ${['record', ...parts].join(', ')} FROM ${options.name} ORDER BY rowid`,
    );
    for (const texts of load.raw().iterate()) {
      const [record, text] = texts as [record: string, text: string | null | undefined];
      const held = this.#compact(this.#parse(record, text, common));
      if (text != null) common?.remember(held);
      this.#set(held);
    }
    common?.forgetTexts();
  }

  get(id: Id): Row | undefined {
    return this.#rows.get(id);
  }

  values(): IterableIterator<Row> {
    return this.#rows.values();
  }

  get size(): number {
    return this.#rows.size;
  }

  get writes(): number {
    return this.#writes;
  }

  put(row: Row): void {
    const before = this.#rows.get(row.id);
    const held = this.#compact(row);
    if (this.#options.late === true) this.#unwritten.add(row.id);
    else this.#upsert(held);
    this.#set(held);
    this.#changed.add(row.id);
    this.#undo.push(() => {
      if (before === undefined) this.#delete(row.id);
      else this.#set(before);
    });
  }

  delete(id: Id): void {
    const before = this.#rows.get(id);
    if (before === undefined) return;
    this.#unwritten.delete(id);
    this.#remove(id);
    this.#delete(id);
    this.#changed.add(id);
    this.#undo.push(() => {
      this.#set(before);
      this.#displaced = true;
    });
  }

  /** Writes to SQLite what is late, before the transaction ends. */
  flush(): void {
    for (const id of this.#unwritten) {
      const row = this.#rows.get(id);
      if (row !== undefined) this.#upsert(row);
    }
    this.#unwritten.clear();
  }

  /** Ends a transaction that was stored; the changes it made. */
  commit(): Change[] {
    const changes = [...this.#changed].map((id) => ({ table: this.#options.name, id }));
    this.#changed.clear();
    this.#undo.length = 0;
    return changes;
  }

  /** Ends a transaction that was rolled back: memory is as before. */
  rollback(): void {
    for (const undo of this.#undo.reverse()) undo();
    if (this.#displaced) this.#putInOrder();
    this.#displaced = false;
    this.#unwritten.clear();
    this.#changed.clear();
    this.#undo.length = 0;
  }

  /** SQLite has taken everything back already, and knows the order. */
  #putInOrder(): void {
    const rows = new Map(this.#rows);
    for (const id of rows.keys()) this.#delete(id);
    for (const id of new Set([...this.#idsInOrder(), ...rows.keys()])) {
      const row = rows.get(id);
      if (row !== undefined) this.#set(row);
    }
  }

  #compact(row: Row): Row {
    return this.#options.compact?.(row) ?? row;
  }

  #parse(record: string, text: string | null | undefined, common?: CommonPart<Row>): Row {
    try {
      const row = JSON.parse(record) as Row;
      return text == null || common === undefined ? row : common.join(row, text);
    } catch (error) {
      throw new DamagedRecordError(this.#options.name, error);
    }
  }

  #set(row: Row): void {
    this.#writes++;
    this.#options.onWrite?.(this.#rows.get(row.id), row);
    this.#rows.set(row.id, row);
  }

  #delete(id: Id): void {
    this.#writes++;
    this.#options.onWrite?.(this.#rows.get(id), undefined);
    this.#rows.delete(id);
  }
}

/** Texts of parts that are remembered while rows are read. */
const maxTexts = 1_000;

/** A part of rows that is stored apart. */
class CommonPart<Row> {
  readonly name: keyof Row & string;
  /** By their text, while rows are read. */
  readonly #parts = new Map<string, unknown>();
  /** What was read last is nearly always the next as well: comparing long texts is cheaper than looking them up. */
  #last: { readonly text: string; part: unknown } | undefined;
  /** Of each part that was written: most rows have the very part of another. */
  readonly #texts = new WeakMap<object, string>();

  constructor(name: keyof Row & string) {
    this.name = name;
  }

  /** A row as its columns have it. */
  split(row: Row): Record<string, string | null> {
    const part = row[this.name] as object | null;
    return {
      record: JSON.stringify({ ...row, [this.name]: null }),
      [this.name]: part === null ? null : this.#textOf(part),
    };
  }

  /** The row with its part in its place. */
  join(row: Row, text: string): Row {
    if (this.#last?.text !== text) this.#last = { text, part: this.#partOf(text) };
    // In place: a copy of every row would cost as much again.
    (row as Record<string, unknown>)[this.name] = this.#last.part;
    return row;
  }

  /** The row that was joined last is held with a part that is equal: the next with its text get that very part. */
  remember(held: Row): void {
    const part = held[this.name];
    if (this.#last === undefined || this.#last.part === part) return;
    this.#last.part = part;
    this.#parts.set(this.#last.text, part);
  }

  /** All rows have been read. */
  forgetTexts(): void {
    this.#parts.clear();
    this.#last = undefined;
  }

  #partOf(text: string): unknown {
    let part = this.#parts.get(text);
    if (part === undefined) {
      part = JSON.parse(text);
      if (this.#parts.size >= maxTexts) this.#parts.clear();
      this.#parts.set(text, part);
    }
    return part;
  }

  #textOf(part: object): string {
    let text = this.#texts.get(part);
    if (text === undefined) {
      text = JSON.stringify(part);
      this.#texts.set(part, text);
    }
    return text;
  }
}
