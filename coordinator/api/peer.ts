import { X509Certificate } from 'node:crypto';
import type { ServerHttp2Stream } from 'node:http2';
import { TLSSocket, type PeerCertificate as BriefCertificate } from 'node:tls';
import {
  ResponderBuilder,
  ServerInterceptingCall,
  ServerListenerBuilder,
  status,
  type Metadata as GrpcMetadata,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import type { Metadata } from 'nice-grpc-common';
import type { Authority } from '../identity/authority.ts';

/** A certificate that a caller showed, and that one of our authorities signed. */
export interface PeerCertificate {
  /** Who it says that the caller is. */
  readonly uri: string;
  readonly validToMs: number;
  /** The pin of the authority that signed it, which may be trusted no more. */
  readonly authority: string;
  /** SHA-256 of it; left out where it is not known. */
  readonly fingerprint?: string;
}

/** Says who signed a certificate. */
export interface CertificateSigners extends Pick<Authority, 'signerOf'> {
  /** The pin of who signed the certificate with this fingerprint, if that was found out before; else null. */
  remembered(uri: string, fingerprint: string): string | null;
}

/** Under this name a call's metadata tell of the certificate. Whatever comes in under it is taken away. */
export const peerKey = 'fairlead-internal-peer';

/** Of all metadata of a call; a token has 0.1 kB. */
const maxMetadataBytes = 16 * 1024;

/**
 * Tells handlers of the certificate that the connection of a call was opened with, if it is a valid one.
 * Refuses calls with more metadata than anybody needs.
 */
export function tellPeer(signers: CertificateSigners): ServerInterceptor {
  return (_method, call) => {
    const certificate = certificateOf(call, signers);
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        if (refuseExcess(metadata, call)) return;
        metadata.remove(peerKey);
        if (certificate !== null) {
          const { validToMs, authority, uri } = certificate;
          metadata.set(peerKey, `${validToMs} ${authority} ${uri}`);
        }
        next(metadata);
      })
      .build();
    const responder = new ResponderBuilder()
      .withStart((next) => {
        next(listener);
      })
      .build();
    return new ServerInterceptingCall(call, responder);
  };
}

/** Ends a call that has more metadata than anybody needs; whether it did. */
export function refuseExcess(
  metadata: GrpcMetadata,
  call: Pick<ServerInterceptingCallInterface, 'sendStatus'>,
): boolean {
  if (sizeOf(metadata) <= maxMetadataBytes) return false;
  const details = `the metadata of a call may have ${maxMetadataBytes} bytes`;
  call.sendStatus({ code: status.RESOURCE_EXHAUSTED, details });
  return true;
}

/** The certificate that the connection of a call was opened with; null if there is none that is valid. */
export function certificateOf(
  call: Pick<ServerInterceptingCallInterface, 'getAuthContext'>,
  signers: CertificateSigners,
): PeerCertificate | null {
  const socket = streamOf(call)?.session?.socket;
  if (socket instanceof TLSSocket) return socket.authorized ? shownOn(socket, signers) : null;
  // What grpc-js has of it takes longer to put together than all else about a call.
  const { sslPeerCertificate } = call.getAuthContext();
  if (sslPeerCertificate === undefined) return null;
  return examine(new X509Certificate(sslPeerCertificate.raw), signers);
}

/** Whether the connection of a call was opened with a certificate that is of ours, and has expired. */
export function showsExpired(call: object): boolean {
  const socket = streamOf(call)?.session?.socket;
  if (!(socket instanceof TLSSocket) || socket.authorized) return false;
  // Of Node's types it is an error, and it is the code of one.
  return String(socket.authorizationError) === 'CERT_HAS_EXPIRED';
}

/**
 * Who signed it is found out once: a certificate whose fingerprint is remembered is the very one. To read it as a
 * whole, and what came with it, takes three times as long as to be told what stands in it, and the signature as long
 * again: half of what a crowd that comes back costs besides its handshakes.
 */
function shownOn(socket: TLSSocket, signers: CertificateSigners): PeerCertificate | null {
  const brief = socket.getPeerCertificate() as Partial<BriefCertificate>;
  const uri = uriIn(brief.subjectaltname);
  const { fingerprint256: fingerprint, valid_to: validTo } = brief;
  if (uri === undefined || fingerprint === undefined || validTo === undefined) return null;
  const authority = signers.remembered(uri, fingerprint);
  if (authority !== null) return { uri, validToMs: Date.parse(validTo), authority, fingerprint };
  const whole = socket.getPeerX509Certificate();
  return whole === undefined ? null : examine(whole, signers);
}

function examine(
  certificate: X509Certificate,
  signers: CertificateSigners,
): PeerCertificate | null {
  const uri = uriIn(certificate.subjectAltName);
  const authority = uri === undefined ? undefined : signers.signerOf(certificate)?.pin;
  if (uri === undefined || authority === undefined) return null;
  const validToMs = Date.parse(certificate.validTo);
  return { uri, validToMs, authority, fingerprint: certificate.fingerprint256 };
}

function uriIn(subjectAltName: string | undefined): string | undefined {
  return /^URI:([^,"\s]+)$/.exec(subjectAltName ?? '')?.[1];
}

/** The stream that a call is. grpc-js has no call for it. Interceptors wrap the call that has it. */
export function streamOf(call: object): ServerHttp2Stream | undefined {
  let inner = call as { readonly stream?: ServerHttp2Stream; readonly nextCall?: object };
  while (inner.stream === undefined && inner.nextCall !== undefined) inner = inner.nextCall;
  return inner.stream;
}

function sizeOf(metadata: GrpcMetadata): number {
  return Object.entries(metadata.toHttp2Headers()).reduce(
    (sum, [name, value]) => sum + name.length + String(value).length,
    0,
  );
}

/** The certificate of a caller; null if it has none that is valid. */
export function peerOf(metadata: Metadata): PeerCertificate | null {
  const [validToMs, authority = '', uri] = metadata.get(peerKey)?.split(' ', 3) ?? [];
  return uri === undefined ? null : { uri, validToMs: Number(validToMs), authority };
}
