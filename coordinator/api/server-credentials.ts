import { ServerCredentials } from '@grpc/grpc-js';
import { onAbort } from '../../shared/abort.ts';
import type { Authority } from '../identity/authority.ts';

/** Somebody who connects and does not get on with TLS is cut. */
const handshakeTimeoutMs = 5_000;
const minTlsVersion = 'TLSv1.2';

/** What is shown and trusted, and news of it. */
export type TlsIdentity = Pick<Authority, 'serverIdentity' | 'subscribe'>;

/**
 * TLS of the gRPC port: asks every client for a certificate, and lets those in who have none, because people
 * have tokens. What a handler is told of is a certificate that one of our authorities signed.
 *
 * Follows the authority until the signal aborts: a new certificate serves from the next connection on.
 */
export class CoordinatorCredentials extends ServerCredentials {
  constructor(authority: TlsIdentity, signal: AbortSignal) {
    super(
      {
        requestCert: true,
        rejectUnauthorized: false,
        handshakeTimeout: handshakeTimeoutMs,
      },
      contextOf(authority),
    );
    const subscription = authority.subscribe(() => {
      this.updateSecureContextOptions(contextOf(authority));
    });
    onAbort(signal, () => {
      subscription[Symbol.dispose]();
    });
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function contextOf(authority: TlsIdentity) {
  const { certificateChain, privateKey, trust } = authority.serverIdentity;
  return { cert: certificateChain, key: privateKey, ca: trust, minVersion: minTlsVersion } as const;
}
