import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeDurablySync } from '../../shared/durable-file.ts';
import { messageOf } from '../../shared/errors.ts';
import type { Address } from '../../shared/rpc/client.ts';
import { CommandFailure, exitStatus } from './exit-status.ts';

/** The coordinators that somebody logged in to, by name, and the one that is meant unless said otherwise. */
export interface Contexts {
  /** Empty: none. */
  readonly current: string;
  readonly contexts: Readonly<Record<string, Address>>;
}

const formatVersion = 1;

/**
 * The file that keeps contexts, mode 0600: tokens are in it. It is written whole or not at all, and one that
 * cannot be read is for its owner to look at, never replaced.
 */
export class ContextFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Empty if there is no file. */
  load(): Contexts {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch (error) {
      const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (isMissing) return { current: '', contexts: {} };
      throw this.#unusable(messageOf(error));
    }
    return this.#parse(text);
  }

  store({ current, contexts }: Contexts): void {
    const temporary = `${this.path}.${process.pid}.new`;
    const text = `${JSON.stringify({ version: formatVersion, current, contexts }, undefined, 2)}\n`;
    try {
      mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
      writeDurablySync(this.path, text, { temporary });
    } catch (error) {
      throw new CommandFailure(
        exitStatus.failed,
        `${this.path} cannot be written: ${messageOf(error)}; nothing was saved`,
      );
    }
  }

  #parse(text: string): Contexts {
    let content: unknown;
    try {
      content = JSON.parse(text);
    } catch {
      throw this.#unusable('it is not whole');
    }
    const { version, current, contexts } = (content ?? {}) as Record<string, unknown>;
    if (version !== formatVersion) throw this.#unusable('it is of another version of Fairlead');
    if (typeof current !== 'string' || !areContexts(contexts)) {
      throw this.#unusable('something in it is missing');
    }
    return { current, contexts };
  }

  #unusable(why: string): CommandFailure {
    return new CommandFailure(
      exitStatus.failed,
      `${this.path} cannot be used: ${why}; mend it, or remove it and log in again`,
    );
  }
}

function areContexts(value: unknown): value is Contexts['contexts'] {
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value as Record<string, Partial<Address> | null>).every(
    (context) => typeof context?.address === 'string' && typeof context.token === 'string',
  );
}
