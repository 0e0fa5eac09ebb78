import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { getuid } from 'node:process';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { run } from './lab/command.ts';
import { TemporaryDirectory } from './temporary-directory.ts';

const never = new AbortController().signal;
const pageBytes = 4_096;

/** A file system of a few megabytes in memory, to be filled; its mount goes with it. */
export class SmallDisk implements AsyncDisposable {
  readonly #directory: TemporaryDirectory;

  private constructor(directory: TemporaryDirectory) {
    this.#directory = directory;
  }

  static async mount(megabytes: number): Promise<SmallDisk> {
    const directory = new TemporaryDirectory();
    const options = `size=${megabytes}M,mode=0700`;
    await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory.path], {}, never);
    return new SmallDisk(directory);
  }

  get path(): string {
    return this.#directory.path;
  }

  join(...names: readonly string[]): string {
    return this.#directory.join(...names);
  }

  /** Leaves not a byte. */
  fill(): void {
    const file = openSync(join(this.path, 'filler'), 'a');
    try {
      for (let bytes = 256 * pageBytes; bytes >= pageBytes;) {
        try {
          writeSync(file, Buffer.alloc(bytes));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
          bytes /= 2;
        }
      }
    } finally {
      closeSync(file);
    }
  }

  /** There is space again. */
  free(): void {
    rmSync(join(this.path, 'filler'), { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A process that was told to end may be about to.
    await eventually(() => run('umount', [this.path], {}, never));
    await this.#directory[Symbol.asyncDispose]();
  }
}

/** Why no file system can be mounted here. */
export function reasonsAgainstMounts(): string[] {
  return getuid?.() === 0 ? [] : ['not root: file systems cannot be mounted'];
}
