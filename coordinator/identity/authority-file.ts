import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { damaged, writeSecretFile } from './key-files.ts';

/** A certificate and its private key, PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly privateKey: string;
}

/** Everything that a certificate authority keeps. */
export interface AuthorityRecord {
  /** What certificates are signed with. */
  readonly signer: KeyPair;
  /** What the coordinator itself shows; the certificate is empty before it is first made. */
  readonly server: KeyPair;
}

const formatVersion = 1;

/** The file that keeps the authority: one, so that it is there whole or not at all. */
export class AuthorityFile {
  readonly #path: string;

  constructor(stateDir: string) {
    this.#path = join(stateDir, 'authority.json');
  }

  /** Null if there is none yet. Refuses one that it cannot read. */
  read(): AuthorityRecord | null {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw damaged(this.#path, error);
    }
    try {
      return parse(text);
    } catch (error) {
      throw damaged(this.#path, error);
    }
  }

  write(record: AuthorityRecord): void {
    const content = JSON.stringify({ version: formatVersion, ...record }, null, 2);
    writeSecretFile(this.#path, `${content}\n`);
  }
}

function parse(text: string): AuthorityRecord {
  const content = JSON.parse(text) as Partial<AuthorityRecord> & { readonly version?: unknown };
  if (content.version !== formatVersion) {
    throw new Error(`its version is ${JSON.stringify(content.version)}, not ${formatVersion}`);
  }
  return { signer: keyPair(content.signer), server: keyPair(content.server) };
}

/** Throws unless both parts can be read and belong together. */
function keyPair(pair: Partial<KeyPair> | undefined): KeyPair {
  const { certificate, privateKey } = pair ?? {};
  if (typeof certificate !== 'string' || typeof privateKey !== 'string') {
    throw new Error('a certificate or key is missing');
  }
  const key = createPrivateKey(privateKey);
  if (certificate !== '' && !new X509Certificate(certificate).checkPrivateKey(key)) {
    throw new Error('a certificate and its key do not belong together');
  }
  return { certificate, privateKey };
}
