import { DomainError } from '../../shared/errors.ts';
import { mapText } from './map-files.ts';
import type { MapEntries } from './route-maps.ts';
import type { RuntimeClient } from './runtime-client.ts';

/** A command must fit into HAProxy's buffer of 16 KiB. */
const chunkBytes = 12_000;

/**
 * Brings the maps of a HAProxy that runs to what is wanted, each as a whole: requests see the one before or the
 * one after. Knows what it has for as long as the same worker serves.
 */
export class MapSync {
  #client: RuntimeClient | undefined;
  readonly #known = new Map<string, string>();
  /** Maps with versions that were prepared and never came into use. */
  #abandoned = new Set<string>();

  /** Forgets what HAProxy has: somebody else may have changed it. */
  forget(): void {
    this.#known.clear();
  }

  /**
   * Changes the maps that differ, in the order in which they are given. What they lead to is added before anything
   * leads there, and taken away when nothing does any more: so the first map is set twice, with what it had
   * besides and without.
   */
  async sync(client: RuntimeClient, wanted: ReadonlyMap<string, MapEntries>): Promise<void> {
    if (this.#client !== client) this.#known.clear();
    this.#client = client;
    if ([...wanted.keys()].some((path) => !this.#known.has(path))) {
      this.#abandoned = abandonedIn(await client.query('show map'));
    }
    const differing: (readonly [string, MapEntries])[] = [];
    for (const [path, entries] of wanted) {
      const known = this.#known.get(path) ?? textOf(await client.query(`show map ${path}`));
      this.#known.set(path, known);
      // What an agent before this one, or a lost connection, left behind is freed by what takes its place.
      const isClean = !this.#abandoned.has(path);
      if (known !== mapText(entries) || !isClean) differing.push([path, entries]);
    }
    const [first] = wanted.keys();
    const [leading] = differing;
    if (leading === undefined) return;
    if (differing.length > 1 && leading[0] === first) {
      await this.#replace(client, first, union(leading[1], this.#known.get(first) ?? ''));
      differing.push(...differing.splice(0, 1));
    }
    for (const [path, entries] of differing) await this.#replace(client, path, entries);
  }

  async #replace(client: RuntimeClient, path: string, entries: MapEntries): Promise<void> {
    const before = this.#known.get(path) ?? '';
    this.#known.delete(path);
    const refusal = await write(client, path, entries);
    if (refusal !== undefined) {
      // What was prepared is freed by what comes into use after it alone: 3.4 does not clear it.
      await write(client, path, entriesOf(before));
      throw new DomainError('precondition', `HAProxy refused a map: ${refusal}`, {
        reason: 'HAPROXY_REFUSED',
      });
    }
    this.#abandoned.delete(path);
    this.#known.set(path, mapText(entries));
  }
}

/** Puts a map in place of the one before, as a whole; returns HAProxy's words if it refuses. */
async function write(
  client: RuntimeClient,
  path: string,
  entries: MapEntries,
): Promise<string | undefined> {
  const version = /\d+/.exec(await client.query(`prepare map ${path}`))?.[0] ?? '';
  const additions = chunksOf(entries).map((chunk) => `add map @${version} ${path} <<\n${chunk}`);
  for (const commands of [additions, [`commit map @${version} ${path}`]]) {
    const replies = await client.sendAll(commands);
    const refused = replies.find((reply) => reply.refusal !== undefined);
    if (refused !== undefined) return refused.refusal?.message;
  }
  return undefined;
}

/** The maps that have versions after the one in use. */
function abandonedIn(shown: string): Set<string> {
  const maps = [...shown.matchAll(/^\d+ \((.*?)\) .* curr_ver=(\d+) next_ver=(\d+) /gm)];
  return new Set(maps.flatMap(([, path = '', inUse, last]) => (inUse === last ? [] : [path])));
}

/** `show map` puts an address before each entry. */
function textOf(shown: string): string {
  return shown
    .split('\n')
    .filter((line) => line.startsWith('0x'))
    .map((line) => `${fromBytes(line.slice(line.indexOf(' ') + 1))}\n`)
    .join('');
}

/** Commands and answers are bytes, a character each. */
function toBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

function fromBytes(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** All that is wanted, and what was there besides. */
function union(entries: MapEntries, known: string): MapEntries {
  const keys = new Set(entries.map(([key]) => key));
  return [...entries, ...entriesOf(known).filter(([key]) => !keys.has(key))];
}

function entriesOf(text: string): [string, string][] {
  return text.split('\n').flatMap((line): [string, string][] => {
    const [key = '', value = ''] = line.split(' ');
    return key === '' ? [] : [[key, value]];
  });
}

function chunksOf(entries: MapEntries): string[] {
  const chunks: string[] = [];
  let chunk = '';
  for (const [key, value] of entries) {
    const line = toBytes(`${key} ${value}\n`);
    if (chunk.length + line.length > chunkBytes) {
      chunks.push(chunk);
      chunk = '';
    }
    chunk += line;
  }
  return chunk === '' ? chunks : [...chunks, chunk];
}
