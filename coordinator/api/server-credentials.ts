import { TLSSocket } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';
import { onAbort } from '../../shared/abort.ts';
import type { Authority } from '../identity/authority.ts';
import type { Handshakes } from './handshakes.ts';

/** Somebody who connects and does not get on with TLS is cut. In a crowd it takes as long until agents give up. */
const handshakeTimeoutMs = 10_000;
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
  constructor(authority: TlsIdentity, handshakes: Handshakes, signal: AbortSignal) {
    super(
      {
        requestCert: true,
        rejectUnauthorized: false,
        handshakeTimeout: handshakeTimeoutMs,
        SNICallback: inTurn(handshakes),
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

/**
 * The one question of a handshake that the runtime waits with for the answer, and it asks before all that takes
 * time: which certificate to show under this name. There is one. Clients of ours all say a name; whoever says none is
 * not asked about, and served at once.
 */
function inTurn(handshakes: Handshakes) {
  return function (this: unknown, _name: string, answer: (error: null) => void): void {
    const start = () => {
      answer(null);
    };
    if (this instanceof TLSSocket) handshakes.begin(this, start);
    else start();
  };
}

function contextOf(authority: TlsIdentity) {
  const { certificateChain, privateKey, trust } = authority.serverIdentity;
  return { cert: certificateChain, key: privateKey, ca: trust, minVersion: minTlsVersion } as const;
}
