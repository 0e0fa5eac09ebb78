import { createPrivateKey, X509Certificate } from 'node:crypto';
import { copyFile, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { NodeId } from '../../shared/ids.ts';
import type { Identity } from '../../shared/rpc/identity-keeper.ts';
import { makePrivateKey } from '../../shared/rpc/signing-request.ts';
import { certificatesIn, pinOf } from '../../shared/rpc/trust.ts';
import { writeDurably } from '../../shared/durable-file.ts';
import { makePrivateDirectory } from '../../shared/private-directory.ts';

/** Who this node is: the id is given once by the coordinator, for ever. */
export interface NodeIdentity extends Identity {
  readonly nodeId: NodeId;
}

const formatVersion = 2;

/**
 * The file that keeps a node's identity. Nothing ever erases or replaces an identity that is there but a
 * renewed one that works, or one of a new node when somebody had this host join anew: one that cannot be read is
 * for an operator to look at.
 */
export class IdentityFile {
  readonly #directory: string;
  readonly path: string;
  /** The key that this host asks to join with, for as long as it has no answer. */
  readonly #joiningKeyPath: string;

  constructor(stateDir: string) {
    this.#directory = stateDir;
    this.path = join(stateDir, 'node.json');
    this.#joiningKeyPath = join(stateDir, 'joining.key');
  }

  /** The identity; undefined if this host never joined. Refuses a file that it cannot understand. */
  async load(): Promise<NodeIdentity | undefined> {
    try {
      const text = await readIfThere(this.path);
      return text === undefined ? undefined : parse(text);
    } catch (error) {
      throw this.#unreadable(messageOf(error), error);
    }
  }

  /**
   * The key to join with. It is kept before it is used, so that a host whose answer was lost is the same node
   * when it asks again.
   */
  async joiningKey(): Promise<string> {
    try {
      makePrivateDirectory(this.#directory);
    } catch (error) {
      throw this.#notWritable(error);
    }
    const known = await this.#knownJoiningKey();
    if (known !== undefined) return known;
    const key = makePrivateKey();
    await this.#write(this.#joiningKeyPath, key);
    return key;
  }

  async #knownJoiningKey(): Promise<string | undefined> {
    try {
      const known = await readIfThere(this.#joiningKeyPath);
      if (known === undefined || isPrivateKey(known)) return known;
      throw new Error('it is no private key');
    } catch (error) {
      throw new DomainError(
        'precondition',
        `the key in ${this.#joiningKeyPath} cannot be read: ${messageOf(error)}. This host asked to join with it, and may be a node already: restore the file from a copy. Only to join as a new node, remove it, and the node that nobody speaks for: "fairlead node rm"`,
        { reason: 'IDENTITY_UNREADABLE', cause: error },
      );
    }
  }

  /** Keeps an identity, all of it or nothing, whatever happens in between. */
  async store(identity: NodeIdentity): Promise<void> {
    const { nodeId, certificatePem, privateKeyPem, trustPem, renewAtMs } = identity;
    const content = { nodeId, certificatePem, privateKeyPem, trustPem, renewAtMs };
    // For the install script, which compares them with the pin of a token.
    const pins = certificatesIn(trustPem).map(pinOf);
    const text = JSON.stringify({ version: formatVersion, pins, ...content }, null, 2);
    await this.#write(this.path, `${text}\n`);
    await rm(this.#joiningKeyPath, { force: true });
  }

  /** Keeps the identity of another node than before; that of the one before is put aside. */
  async replace(identity: NodeIdentity): Promise<void> {
    try {
      await copyFile(this.path, `${this.path}.before`);
    } catch (error) {
      throw this.#notWritable(error);
    }
    await this.store(identity);
  }

  async #write(path: string, text: string): Promise<void> {
    try {
      await writeDurably(path, text);
    } catch (error) {
      throw this.#notWritable(error);
    }
  }

  #notWritable(error: unknown): DomainError {
    return new DomainError(
      'precondition',
      `the state directory ${this.#directory} cannot be written (${messageOf(error)}): free space on its disk, make it writable for the agent, or name another by --state-dir`,
      { reason: 'STATE_DIR_NOT_WRITABLE', cause: error },
    );
  }

  #unreadable(why: string, cause?: unknown): DomainError {
    return new DomainError(
      'precondition',
      `the node's identity in ${this.path} cannot be read: ${why}. Restore the file from a copy. Only to join this host as a new node, which knows nothing of the containers that run here, move the file away and start the agent with a join token`,
      { reason: 'IDENTITY_UNREADABLE', cause },
    );
  }
}

/** Throws the reason why it is no identity. */
function parse(text: string): NodeIdentity {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw new Error('it is not whole JSON', { cause: error });
  }
  const { version, nodeId, certificatePem, privateKeyPem, trustPem, renewAtMs } = (content ??
    {}) as Partial<NodeIdentity> & { readonly version?: unknown };
  if (version !== formatVersion) {
    throw new Error(`its version is ${JSON.stringify(version)}, not ${formatVersion}`);
  }
  if (nodeId === undefined || !/^[0-9a-f]{32}$/.test(nodeId)) {
    throw new Error('its node id is no node id');
  }
  if (!isPrivateKey(privateKeyPem)) throw new Error('its key cannot be read');
  if (!isCertificateOf(certificatePem, privateKeyPem)) {
    throw new Error('its certificate cannot be read, or is not of its key');
  }
  if (trustPem === undefined || !isBundle(trustPem)) {
    throw new Error('the certificates of its coordinator cannot be read');
  }
  return { nodeId, certificatePem, privateKeyPem, trustPem, renewAtMs: renewAtMs ?? 0 };
}

function isPrivateKey(text: unknown): text is string {
  return typeof text === 'string' && succeeds(() => createPrivateKey(text));
}

function isCertificateOf(text: unknown, privateKey: string): text is string {
  if (typeof text !== 'string') return false;
  return succeeds(() => {
    const key = createPrivateKey(privateKey);
    if (!new X509Certificate(text).checkPrivateKey(key)) throw new Error('another key');
  });
}

function isBundle(text: string): boolean {
  return succeeds(() => {
    if (certificatesIn(text).length === 0) throw new Error('no certificate');
  });
}

function succeeds(attempt: () => void): boolean {
  try {
    attempt();
    return true;
  } catch {
    return false;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
