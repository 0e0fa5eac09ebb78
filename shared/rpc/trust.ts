import { createHash, X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import { ChildController, onAbort } from '../abort.ts';
import type { Clock } from '../clock.ts';
import { DomainError } from '../errors.ts';
import { unreachable } from './unreachable.ts';

/** The name in every coordinator's certificate: addresses may change, and are not what is trusted. */
export const coordinatorName = 'coordinator.fairlead.internal';

/** How a coordinator is recognized: by the pin in a token at first, by its authorities from then on. */
export type Trust =
  | { readonly kind: 'pin'; readonly pin: string }
  /** Certificates of authorities, PEM. */
  | { readonly kind: 'bundle'; readonly pem: string };

/** SHA-256 of a certificate's public key (SPKI, DER) in base64url, 43 characters. */
export function pinOf(certificate: X509Certificate): string {
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('base64url');
}

/** The certificates of a bundle. */
export function certificatesIn(bundle: string): X509Certificate[] {
  const blocks = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

/** The pin that a token ends with. Refuses what is no whole token. */
export function trustOf(token: string): Extract<Trust, { kind: 'pin' }> {
  const pin = /^flt_[0-9a-f]{16}_[A-Za-z0-9_-]{43}_([A-Za-z0-9_-]{43})$/.exec(token)?.[1];
  if (pin !== undefined) return { kind: 'pin', pin };
  throw new DomainError(
    'unauthenticated',
    'the token is not whole: it is "flt_", an id, a secret and the pin of its coordinator; copy all of it',
    { reason: 'TOKEN_MALFORMED' },
  );
}

export interface ExamineDeps {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/**
 * Connects to a coordinator, says nothing, and looks at who it is. Resolves with the certificate of the
 * authority that is trusted and that vouches for it. Throws COORDINATOR_NOT_TRUSTED if it is somebody
 * else's, COORDINATOR_UNREACHABLE if nothing there speaks TLS in time.
 */
export async function examine(
  address: string,
  trust: Trust,
  { clock, timeoutMs }: ExamineDeps,
  signal: AbortSignal,
): Promise<string> {
  const chain = await presentedChain(address, { clock, timeoutMs }, signal);
  const pins = trust.kind === 'pin' ? [trust.pin] : certificatesIn(trust.pem).map(pinOf);
  const at = chain.findIndex((certificate) => certificate.ca && pins.includes(pinOf(certificate)));
  const anchor = chain[at];
  if (anchor === undefined || !isSound(chain.slice(0, at + 1))) {
    throw notTrusted(address, trust, seenIn(chain));
  }
  // On the way there it may be the one that an older authority vouched for, which ends no chain.
  const root = chain.find((each) => pinOf(each) === pinOf(anchor) && isOwnIssuer(each)) ?? anchor;
  requireValidNow(address, [...chain.slice(0, at + 1), root], clock.now());
  return root.toString();
}

/** The pin of the authority that signed what is shown. */
function seenIn([leaf, ...others]: readonly X509Certificate[]): string {
  const signer = others.find((each) => leaf?.checkIssued(each));
  return signer === undefined ? 'none' : pinOf(signer);
}

function isOwnIssuer(certificate: X509Certificate): boolean {
  return certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey);
}

/** Each certificate is signed by the next, and the first is a coordinator's. */
function isSound(chain: readonly X509Certificate[]): boolean {
  const [leaf] = chain;
  const signed = chain.every((certificate, index) => {
    const issuer = chain[index + 1];
    return (
      issuer === undefined ||
      (issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey))
    );
  });
  return chain.length > 1 && signed && leaf?.checkHost(coordinatorName) !== undefined;
}

function requireValidNow(address: string, chain: readonly X509Certificate[], nowMs: number): void {
  for (const { validFrom, validTo } of chain) {
    if (nowMs >= Date.parse(validFrom) && nowMs < Date.parse(validTo)) continue;
    throw new DomainError(
      'precondition',
      `the certificate of the coordinator at ${address} is valid from ${validFrom} to ${validTo}, and it is ` +
        `${new Date(nowMs).toUTCString()} here: one of the two clocks is wrong; set it`,
      { reason: 'CLOCKS_DIFFER' },
    );
  }
}

function notTrusted(address: string, trust: Trust, seen: string): DomainError {
  const expected =
    trust.kind === 'pin' ? trust.pin : certificatesIn(trust.pem).map(pinOf).join(', ');
  const [source, replaced] =
    trust.kind === 'pin'
      ? [
          'the token is from',
          'its authority was replaced after the token was made: then put the pin that "fairlead ca ls" shows at the end of the token, in place of the old one',
        ]
      : [
          'this host joined',
          'its authority was replaced while this host was away: then it joins anew, with its state directory moved away',
        ];
  return new DomainError(
    'unauthenticated',
    `the coordinator at ${address} is not the one that ${source}: its pin is ${seen}, expected was ${expected}. ` +
      'Nothing was told to it. If the address is right, somebody else answers there, or the coordinator was set ' +
      `up anew: then take a new token from it; or ${replaced}`,
    { reason: 'COORDINATOR_NOT_TRUSTED' },
  );
}

/** The certificates that a server presents, its own first. Nothing is sent but the beginning of TLS. */
async function presentedChain(
  address: string,
  { clock, timeoutMs }: ExamineDeps,
  signal: AbortSignal,
): Promise<X509Certificate[]> {
  const { host, port } = splitAddress(address);
  using patience = new ChildController(signal);
  void clock.sleep(timeoutMs, patience.signal).then(() => {
    patience.abort(new Error(`no answer within ${timeoutMs} ms`));
  });
  if (!(port > 0 && port <= 65_535)) throw unreachable(address, new Error('that is not HOST:PORT'));
  const socket = connect({
    ...{ host, port, servername: coordinatorName, ALPNProtocols: ['h2'], minVersion: 'TLSv1.2' },
    // The very thing that is found out here; the connection is closed before anything is said on it.
    rejectUnauthorized: false,
  });
  using _stop = onAbort(patience.signal, () => {
    socket.destroy(patience.signal.reason as Error);
  });
  try {
    return await new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('close', () => {
        reject(new Error('the connection was closed'));
      });
      socket.once('secureConnect', () => {
        const chain: X509Certificate[] = [];
        for (let next = socket.getPeerX509Certificate(); next; next = next.issuerCertificate) {
          if (chain.push(next) > maxChainLength) break;
        }
        resolve(chain);
      });
    });
  } catch (error) {
    signal.throwIfAborted();
    throw unreachable(address, error);
  } finally {
    socket.destroy();
  }
}

const maxChainLength = 8;

function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const split = address.lastIndexOf(':');
  return {
    host: address.slice(0, split).replace(/^\[(.*)\]$/, '$1'),
    port: Number(address.slice(split + 1)),
  };
}
