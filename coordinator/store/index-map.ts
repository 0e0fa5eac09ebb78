/** Rows by a key that several share; kept up to date by a table's `onWrite`. */
export class IndexMap<Key, Row> {
  readonly #keyOf: (row: Row) => Key | null;
  readonly #groups = new Map<Key, Map<string, Row>>();

  constructor(keyOf: (row: Row) => Key | null) {
    this.#keyOf = keyOf;
  }

  get(key: Key): readonly Row[] {
    const group = this.#groups.get(key);
    return group === undefined ? [] : [...group.values()];
  }

  update(id: string, before: Row | undefined, after: Row | undefined): void {
    const oldKey = before === undefined ? null : this.#keyOf(before);
    const newKey = after === undefined ? null : this.#keyOf(after);
    if (oldKey !== null && oldKey !== newKey) {
      const group = this.#groups.get(oldKey);
      group?.delete(id);
      if (group?.size === 0) this.#groups.delete(oldKey);
    }
    if (newKey !== null && after !== undefined) {
      const group = this.#groups.get(newKey);
      if (group === undefined) this.#groups.set(newKey, new Map([[id, after]]));
      else group.set(id, after);
    }
  }
}
