import { ResponderBuilder, ServerInterceptingCall, ServerListenerBuilder } from '@grpc/grpc-js';
import type { ServerInterceptor } from '@grpc/grpc-js';
import type { Metadata } from 'nice-grpc-common';

/** A certificate that a caller showed, and that one of our authorities signed. */
export interface PeerCertificate {
  /** Who it says that the caller is. */
  readonly uri: string;
  readonly validToMs: number;
}

/** Under this name a call's metadata tell of the certificate. Whatever comes in under it is taken away. */
export const peerKey = 'fairlead-internal-peer';

/** Tells handlers of the certificate that the connection of a call was opened with, if it is a valid one. */
export const tellPeer: ServerInterceptor = (_method, call) => {
  const certificate = call.getAuthContext().sslPeerCertificate;
  const uri = /^URI:([^,"\s]+)$/.exec(certificate?.subjectaltname ?? '')?.[1];
  const listener = new ServerListenerBuilder()
    .withOnReceiveMetadata((metadata, next) => {
      metadata.remove(peerKey);
      if (certificate !== undefined && uri !== undefined) {
        metadata.set(peerKey, `${Date.parse(certificate.valid_to)} ${uri}`);
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

/** The certificate of a caller; null if it has none that is valid. */
export function peerOf(metadata: Metadata): PeerCertificate | null {
  const [validToMs, uri] = metadata.get(peerKey)?.split(' ', 2) ?? [];
  return uri === undefined ? null : { uri, validToMs: Number(validToMs) };
}
