import 'reflect-metadata';
import { createHash, createPrivateKey, createPublicKey, webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  AuthorityKeyIdentifierExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  cryptoProvider,
  type Extension,
  type JsonGeneralName,
} from '@peculiar/x509';

// The library that makes certificates costs 20 MB of memory: this file is loaded when one is made.
cryptoProvider.set(webcrypto as unknown as Parameters<typeof cryptoProvider.set>[0]);

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };
/** OpenSSL's name of P-256. */
const curve = 'prime256v1';

/** A certificate authority: its certificate, and the key that it signs with. Both PEM. */
export interface Signer {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** From when to when a certificate is valid. */
export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Whom a certificate is for. */
export type Holder =
  /** The coordinator, by names and addresses that its clients may dial. */
  | { readonly kind: 'server'; readonly names: readonly JsonGeneralName[] }
  /** An agent, by the URI that says who it is. */
  | { readonly kind: 'client'; readonly uri: string };

/** The certificate of a new authority, signed by itself. */
export async function makeAuthorityCertificate(
  privateKeyPem: string,
  validity: Validity,
): Promise<string> {
  const publicKey = await importPublicKey(publicKeyOf(privateKeyPem));
  const name = authorityName(privateKeyPem);
  const certificate = await X509CertificateGenerator.create({
    ...{ subject: name, issuer: name, ...datesOf(validity) },
    ...{ publicKey, signingKey: await importPrivateKey(privateKeyPem), signingAlgorithm },
    serialNumber: serialNumber(),
    extensions: await authorityExtensions(publicKey, publicKey),
  });
  return pem(certificate);
}

/** The certificate by which an authority vouches for the one that takes its place. */
export async function vouchFor(
  successorPem: string,
  signer: Signer,
  validity: Validity,
): Promise<string> {
  const successor = new X509Certificate(successorPem);
  const issuer = new X509Certificate(signer.certificatePem);
  const publicKey = await importPublicKey(Buffer.from(successor.publicKey.rawData));
  const issuerKey = await importPublicKey(Buffer.from(issuer.publicKey.rawData));
  const certificate = await X509CertificateGenerator.create({
    ...{ subject: successor.subject, issuer: issuer.subject, ...datesOf(validity) },
    ...{ publicKey, signingKey: await importPrivateKey(signer.privateKeyPem), signingAlgorithm },
    serialNumber: serialNumber(),
    extensions: await authorityExtensions(publicKey, issuerKey),
  });
  return pem(certificate);
}

/** A certificate for a public key (SPKI, DER). What it says is up to us alone. */
export async function issueCertificate(
  spki: Buffer,
  holder: Holder,
  signer: Signer,
  validity: Validity,
): Promise<string> {
  const issuer = new X509Certificate(signer.certificatePem);
  const publicKey = await importPublicKey(spki);
  const isServer = holder.kind === 'server';
  const names = isServer ? [...holder.names] : [{ type: 'url' as const, value: holder.uri }];
  const usage = isServer ? ExtendedKeyUsage.serverAuth : ExtendedKeyUsage.clientAuth;
  const certificate = await X509CertificateGenerator.create({
    ...{ subject: isServer ? 'CN=Fairlead coordinator' : 'CN=Fairlead agent' },
    ...{ issuer: issuer.subject, ...datesOf(validity), serialNumber: serialNumber() },
    ...{ publicKey, signingKey: await importPrivateKey(signer.privateKeyPem), signingAlgorithm },
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([usage]),
      new SubjectAlternativeNameExtension(names),
      await AuthorityKeyIdentifierExtension.create(await issuer.publicKey.export()),
    ],
  });
  return pem(certificate);
}

/** What a signing request gives, or the rule that it breaks. */
export type RequestReading = { readonly spki: Buffer } | { readonly rule: string };

/** Reads a signing request. It may hold a P-256 key and the proof of having it, and nothing else. */
export async function readSigningRequest(text: string): Promise<RequestReading> {
  try {
    return await read(new Pkcs10CertificateRequest(text));
  } catch {
    // Whatever the library stumbles over is no request of ours.
    return { rule: 'must be a certificate signing request (PKCS #10) in PEM' };
  }
}

async function read(request: Pkcs10CertificateRequest): Promise<RequestReading> {
  const { namedCurve } = request.publicKey.algorithm as { readonly namedCurve?: string };
  if (namedCurve !== keyAlgorithm.namedCurve) return { rule: 'must be for a P-256 key' };
  if (request.subject !== '') {
    return { rule: `must ask for no name, and asks for "${request.subject}"` };
  }
  if (request.extensions.length > 0 || request.attributes.length > 0) {
    return {
      rule: 'must ask for no extensions or attributes: the coordinator alone says what a certificate may be used for',
    };
  }
  if (!(await request.verify())) return { rule: 'must be signed by the key that it holds' };
  return { spki: Buffer.from(request.publicKey.rawData) };
}

function authorityName(privateKeyPem: string): string {
  const digest = createHash('sha256').update(publicKeyOf(privateKeyPem)).digest('hex');
  // Each authority has a name of its own, so that nobody tries a certificate against the wrong one.
  return `CN=Fairlead authority ${digest.slice(0, 16)}`;
}

async function authorityExtensions(
  subjectKey: webcrypto.CryptoKey,
  issuerKey: webcrypto.CryptoKey,
): Promise<Extension[]> {
  return [
    new BasicConstraintsExtension(true, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    await SubjectKeyIdentifierExtension.create(subjectKey),
    await AuthorityKeyIdentifierExtension.create(issuerKey),
  ];
}

function datesOf({ notBeforeMs, notAfterMs }: Validity) {
  return { notBefore: new Date(notBeforeMs), notAfter: new Date(notAfterMs) };
}

/** 128 bits of chance, as a positive number. */
function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(Buffer.alloc(16));
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString('hex');
}

function publicKeyOf(privateKeyPem: string): Buffer {
  return createPublicKey(privateKeyPem).export({ type: 'spki', format: 'der' });
}

async function importPublicKey(spki: Buffer): Promise<webcrypto.CryptoKey> {
  return await webcrypto.subtle.importKey('spki', spki, keyAlgorithm, true, ['verify']);
}

async function importPrivateKey(privateKeyPem: string): Promise<webcrypto.CryptoKey> {
  const key = createPrivateKey(privateKeyPem);
  if (key.asymmetricKeyDetails?.namedCurve !== curve) throw new Error('the key is not of P-256');
  const der = key.export({ type: 'pkcs8', format: 'der' });
  return await webcrypto.subtle.importKey('pkcs8', der, keyAlgorithm, false, ['sign']);
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}
