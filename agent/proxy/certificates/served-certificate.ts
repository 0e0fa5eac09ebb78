import { X509Certificate } from 'node:crypto';

/** A certificate that HAProxy is to show. */
export interface ServedCertificate {
  /** The coordinator's id of it: letters and digits. */
  readonly id: string;
  /** Changes with its content. */
  readonly digest: string;
  /** Chain and private key. */
  readonly pem: string;
}

/** What became of a certificate that the coordinator handed over. */
export interface HeldCertificate {
  readonly id: string;
  readonly digest: string;
  /** HAProxy's words if it refused; empty: it is in effect. */
  readonly refusal: string;
}

/** The SHA-1 by which HAProxy tells which certificate it has, in upper case; throws if it is none. */
export function haproxyFingerprint(pem: string): string {
  return new X509Certificate(pem).fingerprint.replaceAll(':', '');
}

/** The names by which HAProxy finds it, in lower case: alternative names and the common name. */
export function hostsOf(pem: string): string[] {
  const { subject, subjectAltName } = new X509Certificate(pem);
  const found = [
    ...(subjectAltName ?? '').matchAll(/(?:^|, )DNS:("[^"]*"|[^,]*)/g),
    ...subject.matchAll(/^CN=(.*)$/gm),
  ];
  return [...new Set(found.map(([, host = '']) => host.toLowerCase()))];
}
