import { makePrivateKey, signingRequest } from '../../shared/rpc/signing-request.ts';
import { OldAgent } from './first-contract.ts';
import type { Installation } from './installation.ts';

/** A proxy agent of the first contract, with the certificate that it got for a token. */
export async function enrolOldProxy(
  { coordinator: { address, authorities: trustPem } }: Installation,
  token: string,
): Promise<OldAgent> {
  using newcomer = new OldAgent('ProxyService', address, { trustPem });
  const privateKeyPem = makePrivateKey();
  const request = { signingRequestPem: signingRequest(privateKeyPem) };
  const { certificate } = await newcomer.call('Enrol', request, token);
  const { certificatePem } = certificate as { readonly certificatePem: string };
  return new OldAgent('ProxyService', address, {
    trustPem,
    certificate: { certificatePem, privateKeyPem },
  });
}
