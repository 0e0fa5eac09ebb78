import { existsSync, readFileSync } from 'node:fs';

/** The version of this package, from the package.json above this file, built or not. */
export function packageVersion(): string {
  let directory = new URL('.', import.meta.url);
  for (;;) {
    const file = new URL('package.json', directory);
    if (existsSync(file)) {
      return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
    }
    const parent = new URL('..', directory);
    if (parent.href === directory.href) return 'unknown';
    directory = parent;
  }
}
