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
    const differing: (readonly [string, MapEntries])[] = [];
    for (const [path, entries] of wanted) {
      const known = this.#known.get(path) ?? textOf(await client.query(`show map ${path}`));
      this.#known.set(path, known);
      if (known !== mapText(entries)) differing.push([path, entries]);
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
    this.#known.delete(path);
    const version = /\d+/.exec(await client.query(`prepare map ${path}`))?.[0] ?? '';
    const replies = await client.sendAll([
      ...chunksOf(entries).map((chunk) => `add map @${version} ${path} <<\n${chunk}`),
      `commit map @${version} ${path}`,
    ]);
    const refusal = replies.find((reply) => reply.refusal !== undefined)?.refusal;
    if (refusal !== undefined) {
      throw new DomainError('precondition', `HAProxy refused a map: ${refusal.message}`, {
        reason: 'HAPROXY_REFUSED',
      });
    }
    this.#known.set(path, mapText(entries));
  }
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
  const others = known.split('\n').flatMap((line): [string, string][] => {
    const [key = '', value = ''] = line.split(' ');
    return key === '' || keys.has(key) ? [] : [[key, value]];
  });
  return [...entries, ...others];
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
