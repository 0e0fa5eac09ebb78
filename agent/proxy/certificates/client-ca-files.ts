import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Frontend } from '../backend-list.ts';
import { makeDirectory, readIfThere, writeAtomically } from '../state-directory.ts';

/** Files of the authorities that clients are verified by, named by their content; none of them is a secret. */
export class ClientCaFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  pathOf(pem: string): string {
    const digest = createHash('sha256').update(pem).digest('hex');
    return join(this.#directory, `clients-${digest.slice(0, 16)}.crt`);
  }

  /** Writes those that some frontends need and that are not there. */
  async write(frontends: readonly Frontend[]): Promise<void> {
    for (const { tls } of frontends) {
      if (tls === undefined || tls.clientCaPem === '') continue;
      const path = this.pathOf(tls.clientCaPem);
      if ((await readIfThere(path)) === tls.clientCaPem) continue;
      await makeDirectory(this.#directory);
      await writeAtomically(path, tls.clientCaPem);
    }
  }
}
