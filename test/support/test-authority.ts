import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { credentials, type ServerCredentials } from '@grpc/grpc-js';
import { createChannel, type Channel } from 'nice-grpc';
import { Handshakes } from '../../coordinator/api/handshakes.ts';
import {
  CoordinatorCredentials,
  type TlsIdentity,
} from '../../coordinator/api/server-credentials.ts';
import {
  issueCertificate,
  makeAuthorityCertificate,
  readSigningRequest,
  type Holder,
  type Signer,
} from '../../coordinator/identity/certificates.ts';
import type { CertificateSigner, ServerIdentity } from '../../coordinator/identity/authority.ts';
import { systemClock } from '../../shared/clock.ts';
import type { IssuedCertificate, TrustBundle } from '../../shared/gen/fairlead/v1/certificate.ts';
import type { ClientCertificate } from '../../shared/rpc/client.ts';
import { makePrivateKey, signingRequest } from '../../shared/rpc/signing-request.ts';
import { coordinatorName, pinOf } from '../../shared/rpc/trust.ts';

const dayMs = 86_400_000;

/** Whose certificates are made, in their URIs. */
export const testInstallation = 'ab'.repeat(16);

/** From when to when a certificate is valid, in milliseconds from now. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

const aDay: Span = { fromMs: -3_600_000, toMs: dayMs };

/** A certificate authority for servers that tests run, with the certificate of a coordinator. */
export class TestAuthority implements TlsIdentity {
  readonly bundle: string;
  readonly pin: string;
  readonly serverIdentity: ServerIdentity;
  readonly #signer: Signer;

  private constructor(signer: Signer, server: Signer) {
    this.#signer = signer;
    this.bundle = signer.certificatePem;
    this.pin = pinOf(new X509Certificate(signer.certificatePem));
    this.serverIdentity = {
      certificateChain: server.certificatePem + signer.certificatePem,
      privateKey: server.privateKeyPem,
      trust: signer.certificatePem,
    };
  }

  /** `span` is that of the server's certificate. */
  static async make(span: Span = aDay): Promise<TestAuthority> {
    const privateKeyPem = makePrivateKey();
    const validity = validityOf({ fromMs: Math.min(span.fromMs, aDay.fromMs), toMs: dayMs });
    const certificatePem = await makeAuthorityCertificate(privateKeyPem, validity);
    const signer = { certificatePem, privateKeyPem };
    const serverKey = makePrivateKey();
    const names = [
      { type: 'dns' as const, value: coordinatorName },
      { type: 'dns' as const, value: 'localhost' },
      { type: 'ip' as const, value: '127.0.0.1' },
    ];
    const holder: Holder = { kind: 'server', names };
    const server = await issueCertificate(spkiOf(serverKey), holder, signer, validityOf(span));
    return new TestAuthority(signer, { certificatePem: server, privateKeyPem: serverKey });
  }

  /** What agents are told. */
  get trust(): TrustBundle {
    return { pem: this.bundle, renewWithinMs: 0 };
  }

  /** Whatever the certificate is, TLS has let it in. */
  signerOf(): CertificateSigner {
    return { pin: this.pin, trusted: true };
  }

  /** Every one is looked at anew. */
  remembered(): null {
    return null;
  }

  /** Nothing changes here. */
  subscribe(): Disposable {
    return { [Symbol.dispose]: () => undefined };
  }

  /** A token of the right form that leads to servers of this authority. The same for the same name. */
  token(name: string): string {
    const digest = (what: string) => createHash('sha256').update(`${what} ${name}`);
    const id = digest('id').digest('hex').slice(0, 16);
    return `flt_${id}_${digest('secret').digest('base64url')}_${this.pin}`;
  }

  /** Answers a signing request. */
  async issue(request: string, who: string, span: Span = aDay): Promise<IssuedCertificate> {
    const reading = await readSigningRequest(request);
    if ('rule' in reading) throw new Error(reading.rule);
    const uri = `fairlead://${testInstallation}/${who}`;
    const holder: Holder = { kind: 'client', uri };
    const validity = validityOf(span);
    const certificatePem = await issueCertificate(reading.spki, holder, this.#signer, validity);
    return { certificatePem, trust: this.trust, renewAfterMs: dayMs / 2 };
  }

  /** A certificate with its key; `who` is `node/ID` or `proxy/ID`. */
  async certificate(who: string, span: Span = aDay): Promise<ClientCertificate> {
    const privateKeyPem = makePrivateKey();
    const { certificatePem } = await this.issue(signingRequest(privateKeyPem), who, span);
    return { certificatePem, privateKeyPem };
  }

  /** What an HTTPS server at an IP address shows. */
  async serverAt(address: string): Promise<{ readonly cert: string; readonly key: string }> {
    const key = makePrivateKey();
    const holder: Holder = { kind: 'server', names: [{ type: 'ip', value: address }] };
    const cert = await issueCertificate(spkiOf(key), holder, this.#signer, validityOf(aDay));
    return { cert, key };
  }

  serverCredentials(): ServerCredentials {
    const handshakes = new Handshakes({ clock: systemClock });
    return new CoordinatorCredentials(this, handshakes, new AbortController().signal);
  }

  /** A connection to a server of this authority. */
  channel(address: string, certificate?: ClientCertificate): Channel {
    const { certificatePem, privateKeyPem } = certificate ?? {};
    const pem = (text: string | undefined) => (text === undefined ? null : Buffer.from(text));
    const tls = credentials.createSsl(pem(this.bundle), pem(privateKeyPem), pem(certificatePem));
    return createChannel(address, tls, {
      'grpc.ssl_target_name_override': coordinatorName,
      'grpc.use_local_subchannel_pool': 1,
    });
  }
}

/** The authority of all fake coordinators of a process. */
export const testAuthority = await TestAuthority.make();

function validityOf({ fromMs, toMs }: Span) {
  return { notBeforeMs: Date.now() + fromMs, notAfterMs: Date.now() + toMs };
}

function spkiOf(privateKeyPem: string): Buffer {
  return createPublicKey(privateKeyPem).export({ type: 'spki', format: 'der' });
}
