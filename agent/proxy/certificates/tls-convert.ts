import { X509Certificate } from 'node:crypto';
import type { FrontendTls as ProtoFrontendTls } from '../../../shared/gen/fairlead/v1/proxy_service.ts';
import { ClientCertificates, TlsPolicy } from '../../../shared/gen/fairlead/v1/tls.ts';
import type { FrontendTls } from '../backend-list.ts';

/** Reads how a frontend speaks TLS; in words why it cannot be used. What is not known is the default. */
export function frontendTlsOf(message: ProtoFrontendTls): FrontendTls | string {
  const { policy, clientCaPem } = message;
  const clientCertificates = askedOf(message);
  if (clientCertificates !== 'none' && !isAuthority(clientCaPem)) {
    return 'the authorities of its clients cannot be read';
  }
  return {
    policy: policy === TlsPolicy.MODERN ? 'modern' : 'intermediate',
    clientCertificates,
    clientCaPem: clientCertificates === 'none' ? '' : clientCaPem,
  };
}

/** Whoever asks for something that is not known here asks for something: nobody is let in without. */
function askedOf({ clientCertificates }: ProtoFrontendTls): FrontendTls['clientCertificates'] {
  switch (clientCertificates) {
    case ClientCertificates.UNSPECIFIED:
    case ClientCertificates.NONE:
      return 'none';
    case ClientCertificates.OPTIONAL:
      return 'optional';
    case ClientCertificates.REQUIRED:
    default:
      return 'required';
  }
}

function isAuthority(pem: string): boolean {
  try {
    return new X509Certificate(pem).ca;
  } catch {
    return false;
  }
}
