import { mkdirSync, statSync } from 'node:fs';
import { DomainError } from '../../../shared/errors.ts';

/**
 * Makes a directory that only we may enter, below one that everybody may write to. What lies in it
 * is trusted as root's own, so one that somebody else made first is refused.
 */
export function ensurePrivateDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const { uid, mode } = statSync(directory);
  if (uid !== process.getuid?.() || (mode & 0o077) !== 0) {
    throw new DomainError(
      'precondition',
      `${directory} belongs to or is open to others; remove it, or set TMPDIR to another place`,
      { reason: 'LAB_DIRECTORY_NOT_PRIVATE' },
    );
  }
}
