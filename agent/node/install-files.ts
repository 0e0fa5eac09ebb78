import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDurably } from '../../shared/durable-file.ts';
import { messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { agentVersion } from './version.ts';

/**
 * What an agent and whoever installs it tell each other in the state directory: `join.token`, a join token that
 * somebody gave this host just now, and `connected`, which is there once the agent that runs has had a session.
 */
export class InstallFiles {
  readonly #tokenPath: string;
  readonly #connectedPath: string;
  readonly #log: Logger;
  #isConnected = false;

  constructor(stateDir: string, log: Logger) {
    this.#tokenPath = join(stateDir, 'join.token');
    this.#connectedPath = join(stateDir, 'connected');
    this.#log = log;
  }

  /** Takes back what an agent before this one said, and reads the token; undefined: there is none. */
  async begin(): Promise<string | undefined> {
    await this.#remove(this.#connectedPath);
    try {
      return (await readFile(this.#tokenPath, 'utf8')).trim();
    } catch (error) {
      // A node needs none, and a host that does says what is missing.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#log.warn({ reason: messageOf(error) }, 'join token cannot be read');
      }
      return undefined;
    }
  }

  /** The token has done its work, or is not needed. */
  async forgetToken(): Promise<void> {
    await this.#remove(this.#tokenPath);
  }

  /**
   * A session stands. Written once; a disk that takes nothing keeps no agent from its work, and the next session
   * tries again.
   */
  connected(): void {
    if (this.#isConnected) return;
    this.#isConnected = true;
    void this.#tell();
  }

  async #tell(): Promise<void> {
    await this.forgetToken();
    try {
      await writeDurably(this.#connectedPath, `${agentVersion}\n`);
    } catch (error) {
      this.#isConnected = false;
      this.#log.warn({ reason: messageOf(error) }, 'cannot write down that the session stands');
    }
  }

  async #remove(path: string): Promise<void> {
    try {
      await rm(path, { force: true });
    } catch (error) {
      this.#log.warn({ reason: messageOf(error) }, 'a file of the state directory stays');
    }
  }
}
