import { chmodSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes a directory that its owner alone may enter. Those above it that are missing may be entered by anybody,
 * whatever the umask is: users of other packages have directories beside it.
 */
export function makePrivateDirectory(path: string): void {
  const directory = resolve(path);
  const parent = dirname(directory);
  const highest = mkdirSync(parent, { recursive: true });
  if (highest !== undefined) {
    for (let made = parent; made.length >= highest.length; made = dirname(made)) {
      chmodSync(made, 0o755);
    }
  }
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
}
