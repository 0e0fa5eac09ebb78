import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { NodeId } from '../../shared/ids.ts';

/** Who this node is: given once by the coordinator, for ever. */
export interface NodeIdentity {
  readonly nodeId: NodeId;
  /** Secret that sessions are authorized by. */
  readonly credential: string;
}

const formatVersion = 1;
const fileName = 'node.json';

/**
 * The file that keeps a node's identity. Nothing ever erases or replaces an identity that is there: one
 * that cannot be read is for an operator to look at.
 */
export class IdentityFile {
  readonly #directory: string;
  readonly path: string;

  constructor(stateDir: string) {
    this.#directory = stateDir;
    this.path = join(stateDir, fileName);
  }

  /** The identity; undefined if this host never joined. Refuses a file that it cannot understand. */
  async load(): Promise<NodeIdentity | undefined> {
    let text: string;
    try {
      text = await readFile(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw this.#unreadable(messageOf(error), error);
    }
    return this.#parse(text);
  }

  /** Makes sure that an identity can be kept, before one is asked for: join tokens are used up. */
  async prepare(): Promise<void> {
    const probe = `${this.path}.probe`;
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await chmod(this.#directory, 0o700);
      await writeDurably(probe, '');
      await rm(probe);
    } catch (error) {
      throw new DomainError(
        'precondition',
        `the state directory ${this.#directory} cannot be written (${messageOf(error)}): make it writable for the agent, or name another by --state-dir`,
        { reason: 'STATE_DIR_NOT_WRITABLE', cause: error },
      );
    }
  }

  /** Keeps an identity, all of it or nothing, whatever happens in between. */
  async store({ nodeId, credential }: NodeIdentity): Promise<void> {
    const temporary = `${this.path}.new`;
    await writeDurably(
      temporary,
      `${JSON.stringify({ version: formatVersion, nodeId, credential })}\n`,
    );
    await rename(temporary, this.path);
    const directory = await open(this.#directory, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  #parse(text: string): NodeIdentity {
    let content: unknown;
    try {
      content = JSON.parse(text);
    } catch (error) {
      throw this.#unreadable('it is not whole JSON', error);
    }
    const { version, nodeId, credential } = (content ?? {}) as Record<string, unknown>;
    if (version !== formatVersion) {
      throw this.#unreadable(`its version is ${JSON.stringify(version)}, not ${formatVersion}`);
    }
    if (typeof nodeId !== 'string' || !/^[0-9a-f]{32}$/.test(nodeId)) {
      throw this.#unreadable('its node id is no node id');
    }
    if (typeof credential !== 'string' || credential === '') {
      throw this.#unreadable('it has no credential');
    }
    return { nodeId: nodeId as NodeId, credential };
  }

  #unreadable(why: string, cause?: unknown): DomainError {
    return new DomainError(
      'precondition',
      `the node's identity in ${this.path} cannot be read: ${why}. Restore the file from a copy. Only to join this host as a new node, which knows nothing of the containers that run here, move the file away and start the agent with a join token`,
      { reason: 'IDENTITY_UNREADABLE', cause },
    );
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.chmod(0o600);
    await file.sync();
  } finally {
    await file.close();
  }
}
