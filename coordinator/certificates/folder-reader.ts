import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../shared/errors.ts';
import { certificateNameRule } from './certificate-names.ts';
import type { CertificateFiles } from './examine.ts';

const maxEntries = 1_000;
const maxFileBytes = 64 * 1024;

/** Files of one certificate in a directory of its own: as certbot has them, and as Kubernetes mounts them. */
const filesInDirectory = [
  ['fullchain.pem', 'privkey.pem'],
  ['tls.crt', 'tls.key'],
] as const;

/** What a folder has under one name. */
export interface FolderEntry {
  /** Changes whenever a file is written or replaced. */
  readonly signature: string;
  readonly read: () => Promise<CertificateFiles>;
}

/** What a folder has: certificates by name, and what in it is none, in words. */
export interface FolderReading {
  readonly entries: ReadonlyMap<string, FolderEntry>;
  readonly problems: ReadonlyMap<string, string>;
}

/** The files of one certificate. */
interface Place {
  readonly chain: string;
  /** Undefined: the key is in the same file. */
  readonly key: string | undefined;
}

/**
 * Looks through a folder: `NAME/fullchain.pem` and `NAME/privkey.pem` (or `tls.crt`, `tls.key`), `NAME.pem`
 * with chain and key, `NAME.crt` or `NAME.pem` beside `NAME.key`. Anything else is passed over. Throws if the
 * folder itself cannot be read.
 */
export async function readFolder(path: string): Promise<FolderReading> {
  const names = (await readdir(path)).filter((name) => !name.startsWith('.')).sort();
  const entries = new Map<string, FolderEntry>();
  const problems = new Map<string, string>();
  for (const [name, place] of placesIn(path, names)) {
    const rule = certificateNameRule(name);
    if (rule !== undefined) {
      problems.set(name, `its name ${rule}`);
      continue;
    }
    if (entries.size === maxEntries) {
      problems.set(name, `the folder has more than ${maxEntries} certificates`);
      break;
    }
    try {
      const entry = await entryAt(await placeOf(place));
      if (entry !== undefined) entries.set(name, entry);
    } catch (error) {
      problems.set(name, messageOf(error));
    }
  }
  return { entries, problems };
}

/** What may be a certificate, by name: a place, or the path of what may be a directory of its own. */
function placesIn(path: string, files: readonly string[]): Map<string, Place | string> {
  const there = new Set(files);
  const places = new Map<string, Place | string>();
  for (const file of files) {
    const [, stem = '', ending] = /^(.+)\.(pem|crt|key)$/.exec(file) ?? [];
    const name = stem.toLowerCase();
    if (ending === undefined) {
      if (!/\.(csr|txt|md|conf)$/i.test(file) && file !== 'README') {
        places.set(file.toLowerCase(), join(path, file));
      }
    } else if (ending !== 'key') {
      const key = there.has(`${stem}.key`) ? join(path, `${stem}.key`) : undefined;
      if (!places.has(name)) places.set(name, { chain: join(path, file), key });
    }
  }
  return places;
}

/** Undefined: a file that has nothing to do with certificates, or a directory of something else. */
async function placeOf(place: Place | string): Promise<Place | undefined> {
  if (typeof place !== 'string') return place;
  if (!(await stat(place)).isDirectory()) return undefined;
  const there = new Set(await readdir(place));
  const files = filesInDirectory.find(([chain]) => there.has(chain));
  return files && { chain: join(place, files[0]), key: join(place, files[1]) };
}

async function entryAt(place: Place | undefined): Promise<FolderEntry | undefined> {
  if (place === undefined) return undefined;
  const { chain, key } = place;
  const signatures = [await signatureOf(chain), key === undefined ? '' : await signatureOf(key)];
  return {
    signature: signatures.join(' '),
    read: async () => ({
      chainPem: await readFile(chain, 'utf8'),
      privateKeyPem: key === undefined ? '' : await readFile(key, 'utf8'),
    }),
  };
}

/** Of what a link leads to: certbot replaces links, others the files. */
async function signatureOf(path: string): Promise<string> {
  const { ino, size, mtimeMs, ctimeMs } = await stat(path);
  if (size > maxFileBytes) throw new Error(`${path} has more than ${maxFileBytes} bytes`);
  return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
}
