import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';

/** A new P-256 private key, PKCS #8 in PEM. */
export function makePrivateKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/**
 * A certificate signing request (PKCS #10, PEM) for a key: the key, the proof of having it, and no wish.
 *
 * Such a request has one form alone, which is put together here: a library that can make all of them
 * would cost an agent at rest a third of its memory.
 */
export function signingRequest(privateKeyPem: string): string {
  const key = createPrivateKey(privateKeyPem);
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const version = der(integer, Buffer.of(0));
  const noName = der(sequence);
  const noAttributes = der(firstOfContext);
  const request = der(sequence, version, noName, spki, noAttributes);
  const algorithm = der(sequence, der(objectId, ecdsaWithSha256));
  const signature = der(bitString, Buffer.of(0), sign('sha256', request, key));
  const base64 = der(sequence, request, algorithm, signature).toString('base64');
  const lines = base64.match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}

// Tags of ASN.1 (X.690).
const integer = 0x02;
const bitString = 0x03;
const objectId = 0x06;
const sequence = 0x30;
const firstOfContext = 0xa0;
/** 1.2.840.10045.4.3.2 */
const ecdsaWithSha256 = Buffer.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02);

/** One value in the distinguished encoding: tag, length, content. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const lengths = length < 0x80 ? [length] : [0x82, length >> 8, length & 0xff];
  if (length >= 0x80 && length < 0x100) lengths.splice(0, 2, 0x81);
  return Buffer.concat([Buffer.of(tag, ...lengths), content]);
}
