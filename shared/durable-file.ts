import {
  closeSync,
  fchmodSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

/** For a file's owner alone. */
const ownerOnly = 0o600;

/**
 * Writes a file of mode 0600: all of it or nothing, whatever happens in between, and for good. What is long
 * may come in parts.
 */
export async function writeDurably(
  path: string,
  content: string | Iterable<string | Uint8Array>,
): Promise<void> {
  await replaceFile(path, content);
  await syncDirectory(dirname(path));
}

/** As `writeDurably`, of what can be had anew: after a loss of power it may be the file that was there before. */
export async function replaceFile(
  path: string,
  content: string | Iterable<string | Uint8Array>,
): Promise<void> {
  const temporary = `${path}.new`;
  try {
    await using file = await openAnew(temporary);
    // Each goes on where the one before ended.
    for (const part of typeof content === 'string' ? [content] : content) {
      await file.writeFile(part);
    }
    await file.sync();
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** A file that is there, left behind by a process that was ended, may have another mode. */
async function openAnew(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', ownerOnly);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    await rm(path);
    return await open(path, 'wx', ownerOnly);
  }
}

/** Makes what was renamed in a directory outlive a loss of power. */
export async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
}

export interface DurableFileOptions {
  /** Mode of the file; 0600 if left out. */
  readonly mode?: number;
  /** Beside the file; where several processes may write it, a name of each one's own. */
  readonly temporary?: string;
}

/** The same as `writeDurably`, for who cannot go on before it is done. */
export function writeDurablySync(
  path: string,
  text: string,
  { mode = ownerOnly, temporary = `${path}.new` }: DurableFileOptions = {},
): void {
  try {
    withFile(openSync(temporary, 'w', mode), (file) => {
      // The mode of a file that was there already stays otherwise.
      fchmodSync(file, mode);
      // One write of the system may take a part alone, as on a disk that is nearly full.
      writeFileSync(file, text);
      fsyncSync(file);
    });
    renameSync(temporary, path);
    withFile(openSync(dirname(path), 'r'), fsyncSync);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function withFile(file: number, use: (file: number) => void): void {
  try {
    use(file);
  } finally {
    closeSync(file);
  }
}
