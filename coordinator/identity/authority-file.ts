import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  firstRecord,
  type AuthorityKey,
  type AuthorityRecord,
  type KeyPair,
} from './authority-record.ts';
import { damaged, writeSecretFile } from './key-files.ts';

const formatVersion = 2;

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

  /** The refusal of one that is gone, with all who trust it still there. */
  missing(): Error {
    return damaged(
      this.#path,
      new Error('it is missing, and the tokens and certificates of this coordinator are of it'),
    );
  }

  write(record: AuthorityRecord): void {
    const content = JSON.stringify({ formatVersion, ...record }, null, 2);
    writeSecretFile(this.#path, `${content}\n`);
  }
}

type Content = Partial<AuthorityRecord> & {
  readonly formatVersion?: unknown;
  /** Of the first format, in which there was one authority for ever. */
  readonly signer?: KeyPair;
};

function parse(text: string): AuthorityRecord {
  const content = JSON.parse(text) as Content;
  if (content.formatVersion === formatVersion) return parseRecord(content);
  // In that one `version` was the format's.
  if (content.formatVersion === undefined && content.version === 1) return parseFirst(content);
  throw new Error(`its format is ${JSON.stringify(content.formatVersion)}, not ${formatVersion}`);
}

function parseRecord(content: Content): AuthorityRecord {
  const { authorities = [], signingKey, retired = [], version = 1, lastActionId = '' } = content;
  const [first, ...earlier] = authorities as readonly AuthorityKey[];
  const signer = keyPair({ certificate: first?.certificate, privateKey: signingKey });
  if (first === undefined || signer.certificate === '') throw new Error('an authority is missing');
  for (const { certificate } of [...earlier, ...retired]) new X509Certificate(certificate);
  // The oldest has nobody who vouches for it, or nobody who is still trusted.
  for (const { vouched } of authorities.slice(0, -1)) new X509Certificate(vouched);
  return {
    authorities: [first, ...earlier],
    signingKey: signer.privateKey,
    retired,
    server: keyPair(content.server),
    version,
    lastActionId,
  };
}

function parseFirst({ signer, server }: Content): AuthorityRecord {
  const { certificate, privateKey } = keyPair(signer);
  const sinceMs = Date.parse(new X509Certificate(certificate).validFrom);
  return firstRecord({ certificate, privateKey }, keyPair(server), sinceMs);
}

/** Throws unless both parts can be read and belong together. */
function keyPair(pair: Partial<Record<keyof KeyPair, string | undefined>> | undefined): KeyPair {
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
