import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { FieldViolation } from '../../shared/errors.ts';
import type { CertificateFacts } from '../tls-model.ts';
import { examineChain, hostsOf, oneLine, withoutRoot, type Findings } from './chain.ts';
import { isCutShort, kindOf, pemBlocks, type PemBlock } from './pem.ts';

const maxCertificates = 10;
/** What HAProxy takes in one command at run time. */
const maxBytes = 15_000;
const minRsaBits = 2_048;
const maxRsaBits = 8_192;
const curves: Readonly<Record<string, string>> = {
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
};

/** A certificate as somebody hands it in. */
export interface CertificateFiles {
  /** May hold the key too. */
  readonly chainPem: string;
  readonly privateKeyPem: string;
}

/** A certificate that can be served. */
export interface UsableCertificate {
  readonly facts: CertificateFacts;
  /** With nothing between its blocks. */
  readonly chainPem: string;
  readonly privateKeyPem: string;
}

/**
 * Reads what was handed in. Undefined, and violations that name the field, if it could not be served: to every
 * client, now.
 */
export function examineCertificate(
  files: CertificateFiles,
  nowMs: number,
  violations: FieldViolation[],
): UsableCertificate | undefined {
  const before = violations.length;
  const inChain = pemBlocks(files.chainPem);
  const certificates = inChain.filter((block) => kindOf(block) === 'certificate');
  const chain = readChain(files.chainPem, certificates, violations);
  const keyBlock = findKey(files, inChain, violations);
  const key = keyBlock === undefined ? undefined : readKey(keyBlock, violations);
  if (chain === undefined) return undefined;
  const warnings: string[] = [];
  const findings: Findings = { field: 'chain_pem', nowMs, violations, warnings };
  examineChain(chain, key, findings);
  if (key === undefined || keyBlock === undefined) return undefined;
  const keyType = typeOf(key, violations);
  const chainPem = certificates.map(({ text }) => text).join('');
  const bytes = chainPem.length + keyBlock.text.length;
  if (bytes > maxBytes) {
    const rule = `must have at most ${maxBytes} bytes with the key, and has ${bytes}; leave out the root`;
    violations.push({ field: 'chain_pem', rule });
  }
  if (violations.length > before) return undefined;
  const facts = { ...factsOf(chain), keyType, warnings };
  return { facts, chainPem, privateKeyPem: keyBlock.text };
}

function factsOf(
  chain: readonly [X509Certificate, ...X509Certificate[]],
): Omit<CertificateFacts, 'keyType' | 'warnings'> {
  const [server] = chain;
  return {
    hosts: hostsOf(server),
    subject: oneLine(server.subject),
    issuer: oneLine(server.issuer),
    serialNumber: server.serialNumber.toLowerCase(),
    fingerprint: server.fingerprint256.replaceAll(':', '').toLowerCase(),
    notBeforeMs: Date.parse(server.validFrom),
    notAfterMs: Math.min(...withoutRoot(chain).map(({ validTo }) => Date.parse(validTo))),
    chainLength: chain.length,
  };
}

function readChain(
  text: string,
  blocks: readonly PemBlock[],
  violations: FieldViolation[],
): readonly [X509Certificate, ...X509Certificate[]] | undefined {
  const field = 'chain_pem';
  if (text === '') {
    violations.push({ field, rule: 'is required' });
    return undefined;
  }
  if (blocks.length > maxCertificates) {
    const rule = `must have at most ${maxCertificates} certificates, and has ${blocks.length}`;
    violations.push({ field, rule });
    return undefined;
  }
  const chain: X509Certificate[] = [];
  for (const [index, block] of blocks.entries()) {
    try {
      chain.push(new X509Certificate(block.text));
    } catch {
      violations.push({ field, rule: `must be certificates: number ${index + 1} cannot be read` });
      return undefined;
    }
  }
  if (isCutShort(text)) {
    // What is left of it may look like a shorter chain.
    violations.push({ field, rule: 'must be whole: a block begins that does not end' });
    return undefined;
  }
  const [first, ...others] = chain;
  if (first !== undefined) return [first, ...others];
  violations.push({ field, rule: 'must be certificates in PEM: it has no "BEGIN CERTIFICATE"' });
  return undefined;
}

function findKey(
  { privateKeyPem }: CertificateFiles,
  inChain: readonly PemBlock[],
  violations: FieldViolation[],
): PemBlock | undefined {
  const field = 'private_key_pem';
  const given = pemBlocks(privateKeyPem).filter((block) => kindOf(block) === 'key');
  if (privateKeyPem !== '' && given.length === 0) {
    violations.push({ field, rule: 'must be a private key in PEM' });
    return undefined;
  }
  const keys = [...given, ...inChain.filter((block) => kindOf(block) === 'key')];
  const [key] = keys;
  if (key === undefined) {
    violations.push({ field, rule: 'is required, unless chain_pem holds the key' });
  } else if (keys.length > 1) {
    violations.push({ field, rule: `must be the only private key, and there are ${keys.length}` });
  } else if (key.encrypted) {
    const rule =
      'must not be encrypted: take its passphrase off first, by "openssl pkey -in KEY -out NEW"';
    violations.push({ field, rule });
  } else {
    return key;
  }
  return undefined;
}

function readKey({ text }: PemBlock, violations: FieldViolation[]): KeyObject | undefined {
  try {
    return createPrivateKey(text);
  } catch {
    // The library's words may repeat parts of the key.
    violations.push({ field: 'private_key_pem', rule: 'must be a private key: it cannot be read' });
    return undefined;
  }
}

/** What kind of key it is, in words; tells if it is none to serve with. */
function typeOf(key: KeyObject, violations: FieldViolation[]): string {
  const field = 'private_key_pem';
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'rsa') {
    if (modulusLength < minRsaBits || modulusLength > maxRsaBits) {
      const rule = `must have ${minRsaBits} to ${maxRsaBits} bits, and has ${modulusLength}`;
      violations.push({ field, rule });
    }
    return `RSA ${modulusLength}`;
  }
  const curve = curves[namedCurve];
  if (key.asymmetricKeyType !== 'ec' || curve === undefined) {
    const kind = namedCurve === '' ? (key.asymmetricKeyType ?? 'unknown') : namedCurve;
    const rule = `must be RSA, or EC on P-256, P-384 or P-521, for every client to know it, and is ${kind}`;
    violations.push({ field, rule });
  }
  return `EC ${curve ?? namedCurve}`;
}
