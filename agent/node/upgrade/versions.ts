import { renameSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeDurably } from '../../../shared/durable-file.ts';

/** An upgrade that was given up, as the launcher left it. */
export interface GivenUp {
  readonly attempt: string;
  readonly version: string;
  readonly reason: string;
}

/**
 * The directory that the agent shares with its launcher (deploy/fairlead-agent-launcher says what is in it):
 * versions that were fetched, and which of them is on trial, chosen, or given up.
 */
export class Versions {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** The name of a directory for a version: never one that is there already. */
  static nameOf(version: string, attempt: string): string {
    return `${version}_${attempt.slice(0, 16)}`;
  }

  /** What was given up last; null: nothing. */
  async givenUp(): Promise<GivenUp | null> {
    const text = await this.#read('failed');
    const [, name = '', attempt = '', reason = ''] = /^(\S+) (\S+) (.*)/.exec(text) ?? [];
    return name === '' ? null : { attempt, version: versionIn(name), reason };
  }

  /** Whether the version in the directory of this name is on trial now. */
  async isOnTrial(name: string): Promise<boolean> {
    return name !== '' && nameIn(await this.#read('trial')) === name;
  }

  /** The version that runs stands: from now on it is what the launcher starts. */
  confirm(): void {
    renameSync(join(this.path, 'trial'), join(this.path, 'chosen'));
  }

  /** A version is to be tried: the launcher starts it when this agent has ended. */
  async propose(name: string, attempt: string): Promise<void> {
    await rm(join(this.path, 'starts'), { force: true });
    await rm(join(this.path, 'failed'), { force: true });
    await writeDurably(join(this.path, 'trial'), `${name} ${attempt}\n`);
  }

  /** What is left of an upgrade that stands goes: the version before it, and what is known of others. */
  async settle(): Promise<void> {
    for (const name of ['starts', 'failed']) await rm(join(this.path, name), { force: true });
    await syncDirectory(this.path);
    await this.tidy();
  }

  /** Removes every version that nothing will start. */
  async tidy(): Promise<void> {
    const kept = new Set([nameIn(await this.#read('trial')), nameIn(await this.#read('chosen'))]);
    for (const entry of await readdir(this.path, { withFileTypes: true })) {
      if (!entry.isDirectory() || kept.has(entry.name)) continue;
      await rm(join(this.path, entry.name), { recursive: true, force: true });
    }
  }

  async #read(name: string): Promise<string> {
    try {
      return await readFile(join(this.path, name), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
      throw error;
    }
  }
}

function nameIn(text: string): string {
  return /^\S+/.exec(text)?.[0] ?? '';
}

function versionIn(name: string): string {
  return name.slice(0, name.lastIndexOf('_'));
}
