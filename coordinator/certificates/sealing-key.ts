import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { damaged, writeSecretFile } from '../identity/key-files.ts';

const cipher = 'aes-256-gcm';
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const format = 'v1';

/** What is sealed, and what it belongs to. */
export interface Sealed {
  /** Id of the record that it is in: it can be opened there alone. */
  readonly id: string;
  readonly text: string;
}

/** What encrypts, and cannot open. */
export type Sealer = Pick<SealingKey, 'seal'>;

/**
 * Encrypts what the database holds and must not show: private keys of certificates. The key is in a file of
 * its own, so that a copy of the database alone gives nothing away.
 */
export class SealingKey {
  readonly #key: Buffer;

  private constructor(key: Buffer) {
    this.#key = key;
  }

  /**
   * Reads the key, or makes it if nothing is sealed with one. A file that is missing, damaged or of another
   * installation is refused: what is sealed could not be served any more.
   */
  static open(stateDir: string, sealed: Iterable<Sealed>): SealingKey {
    const path = join(stateDir, 'certificates.key');
    const [first] = sealed;
    const text = readIfThere(path);
    if (text === null && first === undefined) {
      const key = randomBytes(keyBytes);
      writeSecretFile(path, `${key.toString('hex')}\n`);
      return new SealingKey(key);
    }
    if (text === null) {
      throw damaged(path, new Error('it is missing, and private keys are encrypted with it'));
    }
    const key = Buffer.from(text.trim(), 'hex');
    if (key.length !== keyBytes) throw damaged(path, new Error('it is not a key of 32 bytes'));
    const opened = new SealingKey(key);
    if (first !== undefined) {
      try {
        opened.unseal(first);
      } catch {
        throw damaged(path, new Error('private keys in the database are encrypted with another'));
      }
    }
    return opened;
  }

  /** The text encrypted, never the same twice. */
  seal({ id, text }: Sealed): string {
    const nonce = randomBytes(nonceBytes);
    const sealing = createCipheriv(cipher, this.#key, nonce, { authTagLength: tagBytes });
    sealing.setAAD(Buffer.from(id));
    const parts = [nonce, sealing.update(text, 'utf8'), sealing.final()];
    return `${format}:${Buffer.concat([...parts, sealing.getAuthTag()]).toString('base64')}`;
  }

  /** The text that was sealed; throws if it was changed, or belongs to another record. */
  unseal({ id, text }: Sealed): string {
    const [version, content = ''] = text.split(':');
    const bytes = Buffer.from(content, 'base64');
    if (version !== format || bytes.length < nonceBytes + tagBytes) {
      throw new Error('it was not sealed by this program');
    }
    const nonce = bytes.subarray(0, nonceBytes);
    const opening = createDecipheriv(cipher, this.#key, nonce, { authTagLength: tagBytes });
    opening.setAAD(Buffer.from(id));
    opening.setAuthTag(bytes.subarray(-tagBytes));
    const sealed = bytes.subarray(nonceBytes, -tagBytes);
    return Buffer.concat([opening.update(sealed), opening.final()]).toString('utf8');
  }
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw damaged(path, error);
  }
}
