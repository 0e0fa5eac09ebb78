import { Wakeup } from '../../shared/wakeup.ts';

interface Change<T> {
  readonly sequence: number;
  readonly id: string;
  readonly item: T | undefined;
}

interface Filter<T> {
  readonly matches: (item: T) => boolean;
  readonly cursor: string;
}

/** One message of a watch. */
export interface Batch<T> {
  readonly cursor: string;
  readonly snapshot: boolean;
  readonly more: boolean;
  readonly items: T[];
  readonly removedIds: string[];
}

/** Objects of one kind, with the changes that watches resume from. */
export class Collection<T extends { readonly id: string }> {
  /** Messages that a snapshot is sent in. */
  snapshotParts = 1;
  #items = new Map<string, T>();
  #changes: Change<T>[] = [];
  #sequence = 0;
  readonly #watchers = new Set<Wakeup>();
  readonly #nameOf: (item: T) => string;

  constructor(nameOf: (item: T) => string) {
    this.#nameOf = nameOf;
  }

  list(): T[] {
    return [...this.#items.values()].sort((a, b) =>
      this.#nameOf(a).localeCompare(this.#nameOf(b), 'en', { numeric: true }),
    );
  }

  find(nameOrId: string): T | undefined {
    return this.#items.get(nameOrId) ?? this.list().find((item) => this.#nameOf(item) === nameOrId);
  }

  put(item: T): T {
    this.#items.set(item.id, item);
    this.#record({ sequence: ++this.#sequence, id: item.id, item });
    return item;
  }

  remove(id: string): void {
    this.#items.delete(id);
    this.#record({ sequence: ++this.#sequence, id, item: undefined });
  }

  /** Makes every cursor too old. */
  forgetHistory(): void {
    this.#changes = [];
    this.#sequence += 1_000;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  async *watch({ matches, cursor }: Filter<T>, signal: AbortSignal): AsyncGenerator<Batch<T>> {
    const wakeup = new Wakeup();
    this.#watchers.add(wakeup);
    try {
      let sent = Number(cursor);
      if (cursor === '' || sent < this.#sequence - this.#changes.length) {
        sent = this.#sequence;
        yield* this.#snapshot(matches);
      }
      while (!signal.aborted) {
        const changes = this.#changes.filter(({ sequence }) => sequence > sent);
        sent = this.#sequence;
        if (changes.length > 0) yield batchOf(changes, matches, sent);
        else await wakeup.wait(signal);
      }
    } finally {
      this.#watchers.delete(wakeup);
    }
  }

  *#snapshot(matches: (item: T) => boolean): Generator<Batch<T>> {
    const items = this.list().filter(matches);
    const size = Math.max(1, Math.ceil(items.length / this.snapshotParts));
    for (let part = 0; part < this.snapshotParts; part++) {
      yield {
        cursor: String(this.#sequence),
        snapshot: true,
        more: part < this.snapshotParts - 1,
        items: items.slice(part * size, (part + 1) * size),
        removedIds: [],
      };
    }
  }

  #record(change: Change<T>): void {
    this.#changes.push(change);
    for (const watcher of this.#watchers) watcher.notify();
  }
}

function batchOf<T>(
  changes: readonly Change<T>[],
  matches: (item: T) => boolean,
  sequence: number,
): Batch<T> {
  const latest = [...new Map(changes.map((change) => [change.id, change])).values()];
  return {
    cursor: String(sequence),
    snapshot: false,
    more: false,
    items: latest.flatMap(({ item }) => (item !== undefined && matches(item) ? [item] : [])),
    removedIds: latest.flatMap(({ id, item }) =>
      item === undefined || !matches(item) ? [id] : [],
    ),
  };
}
