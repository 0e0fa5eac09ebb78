import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { MapEntries } from './route-maps.ts';
import { writeAtomically } from './state-directory.ts';

/** The maps of one directory, written when they change. */
export class MapFiles {
  readonly #directory: string;
  readonly #written = new Map<string, MapEntries>();
  #known = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  pathOf(name: string): string {
    return join(this.#directory, name);
  }

  /** Makes the directory hold these maps, and nothing else. */
  async write(maps: ReadonlyMap<string, MapEntries>): Promise<void> {
    if (maps.size === 0 && this.#known && this.#written.size === 0) return;
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    for (const [name, entries] of maps) {
      if (this.#written.get(name) === entries) continue;
      await writeAtomically(this.pathOf(name), mapText(entries));
      this.#written.set(name, entries);
    }
    if (this.#known && [...this.#written.keys()].every((name) => maps.has(name))) return;
    for (const name of await readdir(this.#directory)) {
      if (!maps.has(name)) await rm(this.pathOf(name), { force: true });
    }
    for (const name of this.#written.keys()) if (!maps.has(name)) this.#written.delete(name);
    this.#known = true;
  }
}

/** A map as HAProxy reads it from a file or a command: a line for each entry. */
export function mapText(entries: MapEntries): string {
  return entries.map(([key, value]) => `${key} ${value}\n`).join('');
}
