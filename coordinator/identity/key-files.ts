import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { writeDurablySync } from '../../shared/durable-file.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import { makePrivateDirectory } from '../../shared/private-directory.ts';

const keyBytes = 32;

/** Makes the state directory, readable by its owner alone. */
export function prepareStateDirectory(path: string): void {
  try {
    makePrivateDirectory(path);
  } catch (error) {
    throw new DomainError(
      'precondition',
      `the state directory ${path} cannot be made: ${messageOf(error)}; choose another with --state-dir`,
      { reason: 'STATE_DIRECTORY_UNUSABLE', cause: error },
    );
  }
}

/**
 * The key that containers' tokens are derived from; made once. One that is damaged, or missing where there are such
 * tokens, is refused, never replaced.
 */
export function readOrCreateTokenKey(
  stateDir: string,
  { isExpected }: { readonly isExpected: boolean },
): Buffer {
  const path = join(stateDir, 'token.key');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw damaged(path, error);
    if (isExpected) {
      throw damaged(path, new Error('it is missing, and tokens of containers are made with it'));
    }
    const key = randomBytes(keyBytes);
    writeSecretFile(path, `${key.toString('hex')}\n`);
    return key;
  }
  const key = Buffer.from(text.trim(), 'hex');
  if (key.length !== keyBytes) throw damaged(path, new Error('it is not a key of 32 bytes'));
  return key;
}

/**
 * Writes a file that everybody may read, whole or not at all, unless it says that already. Its directory still
 * hides it.
 */
export function writePublicFile(path: string, content: string): void {
  if (!says(path, content)) writeFile(path, content, 0o644);
}

function says(path: string, content: string): boolean {
  try {
    return readFileSync(path, 'utf8') === content;
  } catch {
    return false;
  }
}

/** Writes a file of mode 0600 so that it is there whole or not at all. */
export function writeSecretFile(path: string, content: string): void {
  writeFile(path, content, 0o600);
}

function writeFile(path: string, content: string, mode: number): void {
  try {
    writeDurablySync(path, content, { mode });
  } catch (error) {
    throw new DomainError(
      'unavailable',
      `${path} cannot be written: ${messageOf(error)}; free space on its disk, or see that it may be written to`,
      { reason: 'STATE_DIRECTORY_UNUSABLE', cause: error },
    );
  }
}

/** The refusal of a file that cannot be used. It is never made anew: what hangs on it would be lost. */
export function damaged(path: string, error: unknown): DomainError {
  return new DomainError(
    'precondition',
    `${path} cannot be used: ${messageOf(error)}; restore it from a backup`,
    { reason: 'KEY_FILE_DAMAGED', cause: error },
  );
}
