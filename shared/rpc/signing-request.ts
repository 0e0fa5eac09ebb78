import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { der, derTag, ecdsaWithSha256, pemOf } from './der.ts';

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
  const version = der(derTag.integer, Buffer.of(0));
  const noName = der(derTag.sequence);
  const noAttributes = der(derTag.firstOfContext);
  const request = der(derTag.sequence, version, noName, spki, noAttributes);
  const algorithm = der(derTag.sequence, der(derTag.objectId, ecdsaWithSha256));
  const signature = der(derTag.bitString, Buffer.of(0), sign('sha256', request, key));
  return pemOf('CERTIFICATE REQUEST', der(derTag.sequence, request, algorithm, signature));
}
