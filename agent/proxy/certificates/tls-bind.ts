import type { Frontend, FrontendTls } from '../backend-list.ts';

/** Where HAProxy finds what it needs for TLS. */
export interface TlsPaths {
  /** The list of certificates. */
  readonly certificateList: string;
  /** File of the authorities that certificates of clients are to be issued by. */
  readonly clientCa: (pem: string) => string;
}

/** By the recommendations of Mozilla, version 5.7, less the ciphers that need Diffie-Hellman parameters. */
const ciphers = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');
const suites = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

const versions = {
  intermediate: `ssl-min-ver TLSv1.2 ciphers ${ciphers} ciphersuites ${suites}`,
  modern: `ssl-min-ver TLSv1.3 ciphersuites ${suites}`,
} as const;

/** What follows the address in the line of a port; empty for one without TLS. */
export function tlsParameters({ tls, protocol }: Frontend, paths: TlsPaths): string {
  if (tls === undefined) return '';
  const { policy, clientCertificates, clientCaPem } = tls;
  return [
    ` ssl crt-list ${paths.certificateList}`,
    ...(protocol === 'http' ? ['alpn h2,http/1.1'] : []),
    versions[policy],
    // Keys of tickets would be kept for as long as the process lives, and each worker has its own.
    'prefer-client-ciphers no-tls-tickets',
    ...(clientCertificates === 'none'
      ? []
      : [`ca-file ${paths.clientCa(clientCaPem)} verify ${clientCertificates}`]),
  ].join(' ');
}

/** Name of the socket by which requests come that an old worker has had already. */
export const handoffName = 'handoff';

/**
 * Rules that tell backends what the client showed, and keep clients from telling it themselves, at ports where
 * nobody is asked as well: a container behind two ports cannot tell which one a request came by. There an
 * upstream that is trusted (the name of the condition that says so) may tell what it was shown.
 */
export function clientCertificateRules(tls: FrontendTls | undefined, trusted?: string): string[] {
  // An old worker hands requests over with these headers already set, on a connection without TLS.
  const fromClient = `unless { so_name ${handoffName} }`;
  const hasOne = `if { ssl_c_used } !{ so_name ${handoffName} }`;
  // With an underscore for a dash it is the same to what goes by CGI.
  const names = "'^x[-_]ssl[-_]client[-_](verify|dn)$'";
  const dropped = (unless: string) => [`http-request del-header ${names} -m reg ${unless}`];
  if (tls === undefined || tls.clientCertificates === 'none') {
    return dropped(trusted === undefined ? fromClient : `${fromClient} || ${trusted}`);
  }
  return [
    ...dropped(fromClient),
    `http-request set-header X-SSL-Client-Verify %[ssl_c_verify] ${hasOne}`,
    `http-request set-header X-SSL-Client-DN %{+Q}[ssl_c_s_dn] ${hasOne}`,
  ];
}
