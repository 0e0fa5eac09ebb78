import { type KeyObject, X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import type { FieldViolation } from '../../shared/errors.ts';

const serverAuthentication = '1.3.6.1.5.5.7.3.1';
const anyUsage = '2.5.29.37.0';
/** Signatures with MD5 and SHA-1, and by DSA, as DER has their names: TLS libraries refuse them by now. */
const weakSignatures = [
  '2a864886f70d010102',
  '2a864886f70d010104',
  '2a864886f70d010105',
  '2a8648ce3d0401',
  '2a8648ce380403',
];
const hostPattern =
  /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/;
const maxHostLength = 253;

/** Where rules that are broken are told. */
export interface Findings {
  readonly field: string;
  readonly nowMs: number;
  readonly violations: FieldViolation[];
  /** What is odd, and yet can be used. */
  readonly warnings: string[];
}

/** The host names and addresses that a certificate is for, in lower case. */
export function hostsOf({ subjectAltName }: X509Certificate): string[] {
  const found = (subjectAltName ?? '').matchAll(/(?:^|, )(?:DNS|IP Address):("[^"]*"|[^,]*)/g);
  return [...found].map(([, host = '']) => host.toLowerCase());
}

/** Holds the chain to what every client asks of one. `key`: undefined if that could not be read. */
export function examineChain(
  chain: readonly [X509Certificate, ...X509Certificate[]],
  key: KeyObject | undefined,
  findings: Findings,
): void {
  examineServer(chain[0], findings);
  if (key !== undefined) examineOwner(chain, key, findings);
  for (const [index, certificate] of withoutRoot(chain).entries()) {
    const name = index === 0 ? 'the server certificate' : `certificate ${index + 1} of the chain`;
    examineLife(certificate, name, findings);
    if (weakSignatures.includes(signatureOf(certificate))) {
      refuse(findings, `must not be signed with SHA-1, MD5 or DSA, as ${name} is`);
    }
  }
  examineOrder(chain, findings);
}

function examineServer(server: X509Certificate, findings: Findings): void {
  const hosts = hostsOf(server);
  if (hosts.length === 0) {
    refuse(findings, 'must name hosts in its subject alternative names: clients look there alone');
  }
  for (const host of hosts) {
    if (isHost(host)) continue;
    refuse(findings, `must be for host names and addresses, and names ${JSON.stringify(host)}`);
  }
  const usages = (server.keyUsage as readonly string[] | undefined) ?? [];
  if (usages.length > 0 && !usages.includes(serverAuthentication) && !usages.includes(anyUsage)) {
    refuse(findings, 'must be for servers: its extended key usage has no server authentication');
  }
  if (server.ca && !isSelfSigned(server)) {
    refuse(
      findings,
      'must begin with the certificate of a server, and begins with that of an authority',
    );
  }
}

function isHost(host: string): boolean {
  if (/^[0-9.]+$|:/.test(host)) return true;
  return host.length <= maxHostLength && hostPattern.test(host);
}

function examineOwner(
  chain: readonly X509Certificate[],
  key: KeyObject,
  { violations, field }: Findings,
): void {
  const owner = chain.findIndex((certificate) => certificate.checkPrivateKey(key));
  if (owner === 0) return;
  violations.push(
    owner === -1
      ? { field: 'private_key_pem', rule: 'must be the key of the first certificate in the chain' }
      : {
          field,
          rule: `must have the server certificate first: the key belongs to certificate ${owner + 1}`,
        },
  );
}

/**
 * The chain as far as clients look at it: a root at its end they trust because they have it, whatever its dates and
 * its signature are. One that is served by itself is no such root.
 */
export function withoutRoot(chain: readonly X509Certificate[]): readonly X509Certificate[] {
  return chain.filter((certificate, index) => index === 0 || !isSelfSigned(certificate));
}

function examineLife(certificate: X509Certificate, name: string, findings: Findings): void {
  const { nowMs } = findings;
  const untilMs = Date.parse(certificate.validTo);
  const fromMs = Date.parse(certificate.validFrom);
  if (untilMs <= nowMs) {
    refuse(findings, `must be valid, and ${name} expired on ${dateOf(untilMs)}`);
  }
  if (fromMs > nowMs) {
    refuse(findings, `must be valid now, and ${name} is not before ${dateOf(fromMs)}`);
  }
}

function examineOrder(chain: readonly X509Certificate[], findings: Findings): void {
  for (const [index, certificate] of chain.entries()) {
    const issuer = chain[index + 1];
    if (issuer === undefined || isIssuedBy(certificate, issuer)) continue;
    refuse(
      findings,
      `must have the issuer of each certificate after it: certificate ${index + 2} did not issue certificate ${index + 1}`,
    );
    return;
  }
  const last = chain.at(-1);
  if (last === undefined) return;
  if (isSelfSigned(last)) {
    if (chain.length === 1) {
      findings.warnings.push('it is signed by itself: clients refuse it unless they know it');
    }
  } else if (!isPublicRoot(last)) {
    findings.warnings.push(
      `its chain may be incomplete: clients that do not know "${oneLine(last.issuer)}" refuse it`,
    );
  }
}

/** Whether one of the authorities that everybody knows has issued it. */
function isPublicRoot(certificate: X509Certificate): boolean {
  return rootCertificates.some((pem) => isIssuedBy(certificate, new X509Certificate(pem)));
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function isSelfSigned(certificate: X509Certificate): boolean {
  return isIssuedBy(certificate, certificate);
}

/** A distinguished name on one line. */
export function oneLine(name: string): string {
  return name.replaceAll('\n', ', ');
}

/** The object identifier of the signature algorithm: the second element of the outermost sequence has it. */
function signatureOf({ raw }: X509Certificate): string {
  const outer = elementAt(raw, 0);
  const signed = elementAt(raw, outer.content);
  const algorithm = elementAt(raw, signed.end);
  const identifier = elementAt(raw, algorithm.content);
  return raw.subarray(identifier.content, identifier.end).toString('hex');
}

/** Where an element of DER that begins at `start` has its content, and where it ends. */
function elementAt(der: Buffer, start: number): { readonly content: number; readonly end: number } {
  const first = der.readUInt8(start + 1);
  if (first < 0x80) return { content: start + 2, end: start + 2 + first };
  const bytes = first & 0x7f;
  const content = start + 2 + bytes;
  return { content, end: content + der.readUIntBE(start + 2, bytes) };
}

/** The day, as people write it. */
export function dateOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function refuse({ violations, field }: Findings, rule: string): void {
  violations.push({ field, rule });
}
