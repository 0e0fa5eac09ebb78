import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';

// How they are made: test/fixtures/first-programs.js.

const fixture = (name: string) =>
  readFileSync(new URL(`../fixtures/first-programs.${name}`, import.meta.url));
const nodeModules = fileURLToPath(new URL('../../node_modules', import.meta.url));

interface Described {
  readonly commit: string;
  readonly sha256: string;
}

/** Which of the first versions: the last without identities, or the first with them. */
export type FirstVersion = 'unsecured' | 'first';

/**
 * Lays out all of `fairlead` as it once was, in a directory that is made; returns the path of the program, for Node.
 * Throws if it is not what was made of the commit that is named.
 */
export function layOutFirstProgram(version: FirstVersion, directory: string): string {
  const manifest = JSON.parse(fixture('json').toString()) as Record<FirstVersion, Described>;
  const text = brotliDecompressSync(fixture('br')).toString();
  const program = (JSON.parse(text) as Record<FirstVersion, string>)[version];
  const { commit, sha256 } = manifest[version];
  const made = createHash('sha256').update(program).digest('hex');
  if (made !== sha256) throw new Error(`${version} is not what was made of ${commit}: ${made}`);
  mkdirSync(directory, { recursive: true });
  // SQLite is native, and found from where the program is.
  symlinkSync(nodeModules, join(directory, 'node_modules'));
  const path = join(directory, 'fairlead.mjs');
  writeFileSync(path, program);
  return path;
}
