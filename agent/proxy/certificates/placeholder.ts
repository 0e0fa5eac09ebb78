import { createPrivateKey, createPublicKey, randomBytes, sign } from 'node:crypto';
import { der, derTag, ecdsaWithSha256, pemOf } from '../../../shared/rpc/der.ts';
import { makePrivateKey } from '../../../shared/rpc/signing-request.ts';

const commonName = Buffer.of(0x55, 0x04, 0x03);
const text = 'Fairlead has no certificate for this';

/**
 * A certificate that nobody trusts, with its key, in PEM: what a port for TLS shows while it has no other. With
 * it the port is there from the start, and the first real one needs no reload.
 */
export function makePlaceholder(): string {
  const keyPem = makePrivateKey();
  const key = createPrivateKey(keyPem);
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  // The first byte keeps the number positive, and in its shortest form.
  const serial = der(derTag.integer, Buffer.of(0x40), randomBytes(15));
  const algorithm = der(derTag.sequence, der(derTag.objectId, ecdsaWithSha256));
  const attribute = [der(derTag.objectId, commonName), der(derTag.utf8String, Buffer.from(text))];
  const name = der(derTag.sequence, der(derTag.set, der(derTag.sequence, ...attribute)));
  const validity = der(derTag.sequence, utcTime('000101000000Z'), utcTime('491231235959Z'));
  const parts = [serial, algorithm, name, validity, name, spki];
  const signed = der(derTag.sequence, ...parts);
  const signature = der(derTag.bitString, Buffer.of(0), sign('sha256', signed, key));
  const certificate = der(derTag.sequence, signed, algorithm, signature);
  return pemOf('CERTIFICATE', certificate) + keyPem;
}

function utcTime(value: string): Buffer {
  return der(derTag.utcTime, Buffer.from(value));
}
