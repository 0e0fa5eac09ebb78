import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Structure, Target } from './backend-list.ts';
import { pagesOf } from './pages.ts';
import { holdsRequests, pausesMap } from './pause-rules.ts';
import { pausesOf } from './pauses.ts';
import { mapsOf, type MapEntries } from './route-maps.ts';
import { slotsIn, slotsMap, stickyOf } from './slots.ts';
import { makeDirectory, writeAtomically } from './state-directory.ts';

/** What a configuration refers to by its path: maps and pages, in one directory, written when they change. */
export class MapFiles {
  readonly #directory: string;
  readonly #written = new Map<string, string>();
  #known = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  pathOf(name: string): string {
    return join(this.#directory, name);
  }

  /** Makes the directory hold these files, and nothing else. */
  async write(files: ReadonlyMap<string, string>): Promise<void> {
    if (files.size === 0 && this.#known && this.#written.size === 0) return;
    await makeDirectory(this.#directory);
    for (const [name, text] of files) {
      if (this.#written.get(name) === text) continue;
      await writeAtomically(this.pathOf(name), text);
      this.#written.set(name, text);
    }
    if (this.#known && [...this.#written.keys()].every((name) => files.has(name))) return;
    for (const name of await readdir(this.#directory)) {
      if (!files.has(name)) await rm(this.pathOf(name), { force: true });
    }
    for (const name of this.#written.keys()) if (!files.has(name)) this.#written.delete(name);
    this.#known = true;
  }
}

const texts = new WeakMap<MapEntries, string>();

/** A map as HAProxy reads it from a file or a command: a line for each entry. */
export function mapText(entries: MapEntries): string {
  const known = texts.get(entries) ?? entries.map(([key, value]) => `${key} ${value}\n`).join('');
  texts.set(entries, known);
  return known;
}

/** Maps of a structure by their name: of its routes, and last what is paused. */
export function allMapsOf(structure: Structure): Map<string, MapEntries> {
  const paused: readonly (readonly [string, MapEntries])[] = holdsRequests(structure)
    ? [[pausesMap, pausesOf(structure)]]
    : [];
  return new Map([...mapsOf(structure), ...paused]);
}

/** Every file that the configuration of a structure refers to, by its name. */
export function filesOf(structure: Structure, targets: Iterable<Target>): Map<string, string> {
  const { backends } = structure;
  const slots: readonly (readonly [string, MapEntries])[] = backends.some(stickyOf)
    ? [[slotsMap, slotsIn(backends, targets)]]
    : [];
  const maps = [...allMapsOf(structure), ...slots].map(
    ([name, map]) => [name, mapText(map)] as const,
  );
  return new Map([...maps, ...pagesOf(structure)]);
}
