import type { CertificateId, ServiceId } from '../shared/ids.ts';

// What the core knows of load balancers' TLS.

/** What a certificate says of itself, and what is to be said of it. */
export interface CertificateFacts {
  /** Host names and addresses that it is for, in lower case. */
  readonly hosts: readonly string[];
  readonly subject: string;
  readonly issuer: string;
  readonly serialNumber: string;
  /** SHA-256 of the server's own, hexadecimal. */
  readonly fingerprint: string;
  readonly notBeforeMs: number;
  /** The earliest end in its chain. */
  readonly notAfterMs: number;
  readonly keyType: string;
  readonly chainLength: number;
  /** What is odd about it although it can be used, in words. */
  readonly warnings: readonly string[];
}

/** What load balancers show to clients. */
export interface Certificate {
  readonly id: CertificateId;
  readonly name: string;
  readonly source: 'caller' | 'folder';
  /** Load balancer services that it is limited to; empty: every one that serves one of its hosts. */
  readonly serviceIds: readonly ServiceId[];
  readonly chainPem: string;
  /** Encrypted by the sealing key, for this record alone. */
  readonly sealedKey: string;
  readonly facts: CertificateFacts;
  /** Days that were left when its end was last told; null: not yet. */
  readonly toldDays: number | null;
  readonly version: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** How a load balancer speaks TLS with its clients. */
export interface TlsSettings extends FrontendTls {
  /** Container ports; empty: 443. */
  readonly ports: readonly number[];
}

/** How a port speaks TLS with clients. */
export interface FrontendTls {
  readonly policy: 'intermediate' | 'modern';
  readonly clientCertificates: 'none' | 'optional' | 'required';
  /** Authorities that certificates of clients are to be issued by; empty where none are asked for. */
  readonly clientCaPem: string;
}
