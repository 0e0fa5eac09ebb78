import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A directory of a test's own, gone with everything in it when it is disposed of. */
export class TemporaryDirectory implements AsyncDisposable {
  readonly path = mkdtempSync(join(tmpdir(), 'fairlead-test-'));

  /** The path of something in the directory. */
  join(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true, maxRetries: 5 });
  }
}
