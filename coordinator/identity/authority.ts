import { createPublicKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { makePrivateKey } from '../../shared/rpc/signing-request.ts';
import { pinOf } from '../../shared/rpc/trust.ts';
import { agentUri, type AgentIdentity } from './agent-identity.ts';
import { AuthorityFile } from './authority-file.ts';
import {
  bundleOf,
  chainOf,
  firstRecord,
  maxAuthorities,
  succeededBy,
  without,
  type AuthorityKey,
  type AuthorityRecord,
} from './authority-record.ts';
import type { Holder, Signer, Validity } from './certificates.ts';
import { writePublicFile } from './key-files.ts';
import { Turns } from './turns.ts';

/** An authority outlives everything that it signs by far; it ends by being replaced. */
const authorityLifeMs = 10 * 365 * 86_400_000;
/** Certificates are valid from before they are made: clocks differ by minutes. */
const clockToleranceMs = 3_600_000;
/** One that was made while the coordinator's own clock was ahead must be good when that is set right. */
const authorityToleranceMs = 365 * 86_400_000;
/** How often it is looked whether something is due. Clocks jump, and hosts sleep. */
const lookEveryMs = 3_600_000;
const retryMs = 60_000;
/** How soon a file is tried again that could not be written. */
const keepAgainMs = 10_000;

export interface AuthorityDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

export interface AuthorityOptions {
  readonly stateDir: string;
  /** In the certificates of agents, so that those of two installations differ. */
  readonly installationId: string;
  /** Names and addresses that the coordinator is dialled at; others may be in its certificate as well. */
  readonly names: readonly string[];
  /** How long a certificate is valid; each is renewed at half of it. */
  readonly certificateLifeMs: number;
  /** True: there are those who trust it, so that one which is missing was lost. */
  readonly isExpected?: boolean;
}

/** A certificate for an agent, and when it is to ask for the next one. */
export interface Issued {
  readonly certificatePem: string;
  readonly renewAfterMs: number;
}

/** What the coordinator shows its clients, and whose certificates it takes. All PEM. */
export interface ServerIdentity {
  /** Its own certificate, then those up to an authority that signs itself. */
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly trust: string;
}

/** An authority that is trusted. */
export interface TrustedAuthority extends AuthorityKey {
  readonly pin: string;
}

/** Who signed a certificate: an authority by its pin, and whether it is still trusted. */
export interface CertificateSigner {
  readonly pin: string;
  readonly trusted: boolean;
}

/** An authority with what is asked of it often. */
interface Known {
  readonly pin: string;
  readonly certificate: X509Certificate;
  readonly trusted: boolean;
}

/**
 * The certificate authority of an installation, with the coordinator's own certificate.
 *
 * All is in one file of the state directory, which is made on the first start. A damaged one is refused,
 * never replaced: a new authority would lock out every agent. One that is replaced by `rotate` is trusted
 * for as long as what it signed may live, and vouches for its successor.
 */
export class Authority {
  readonly #deps: AuthorityDeps;
  readonly #options: AuthorityOptions;
  readonly #file: AuthorityFile;
  readonly #listeners = new Set<() => void>();
  readonly #turns = new Turns();
  #record: AuthorityRecord;
  #known: readonly Known[] = [];
  /** Whether what is in use is also on the disk. */
  #isKept = true;

  private constructor(
    deps: AuthorityDeps,
    options: AuthorityOptions,
    { file, record }: { readonly file: AuthorityFile; readonly record: AuthorityRecord },
  ) {
    this.#deps = deps;
    this.#options = options;
    this.#file = file;
    this.#record = record;
    this.#known = knownOf(record);
  }

  /**
   * The authority of a state directory; made if there is none. Refuses to make one where people and nodes trust
   * another.
   */
  static async open(deps: AuthorityDeps, options: AuthorityOptions): Promise<Authority> {
    const file = new AuthorityFile(options.stateDir);
    const known = file.read();
    if (known === null && options.isExpected === true) throw file.missing();
    const record = known ?? (await newRecord(deps));
    const authority = new Authority(deps, options, { file, record });
    if (known === null) {
      authority.#write(record);
      deps.log.info({ pin: authority.pin }, 'certificate authority made');
    }
    await authority.#look();
    // A full disk is no reason not to start: what is not kept now is kept later.
    authority.#keepServer();
    authority.#publish();
    return authority;
  }

  /** What tokens end with, so that whoever has one knows the coordinator. */
  get pin(): string {
    return this.trusted[0].pin;
  }

  /** Certificates of the authorities that agents and clients are to trust, PEM; the one that signs first. */
  get bundle(): string {
    return bundleOf(this.#record);
  }

  get serverIdentity(): ServerIdentity {
    const { server, retired } = this.#record;
    return {
      certificateChain: chainOf(this.#record),
      privateKey: server.privateKey,
      // Who shows a certificate of a retired one is told so; `signerOf` says that it is not trusted.
      trust: this.bundle + retired.map(({ certificate }) => certificate).join(''),
    };
  }

  /** The authorities that are trusted, newest first; the first one signs. */
  get trusted(): readonly [TrustedAuthority, ...TrustedAuthority[]] {
    const [first, ...earlier] = this.#record.authorities;
    const withPin = (authority: AuthorityKey) => ({
      ...authority,
      pin: pinOf(new X509Certificate(authority.certificate)),
    });
    return [withPin(first), ...earlier.map(withPin)];
  }

  /** Grows with every authority that comes or goes. */
  get version(): number {
    return this.#record.version;
  }

  /** The action that changed the authorities last; empty: none has. */
  get lastActionId(): string {
    return this.#record.lastActionId;
  }

  /** Calls the listener when the server's identity or the bundle has changed. */
  subscribe(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener);
      },
    };
  }

  /**
   * Whose key signed a certificate; null: none of ours. Its issuer's name would prove nothing: what
   * an authority has vouched for may call itself anything.
   */
  signerOf(certificate: X509Certificate): CertificateSigner | null {
    const signer = this.#known.find(
      (known) =>
        certificate.issuer === known.certificate.subject &&
        certificate.verify(known.certificate.publicKey),
    );
    return signer === undefined ? null : { pin: signer.pin, trusted: signer.trusted };
  }

  /** Whether an authority is one of ours, if only one that is trusted no more. */
  knows(pin: string): boolean {
    return this.#known.some((known) => known.pin === pin);
  }

  /** Whether certificates of an authority are good. */
  trusts(pin: string): boolean {
    return this.#known.some((known) => known.trusted && known.pin === pin);
  }

  /** The public key (SPKI, DER) in a signing request. Refuses a request that asks for anything. */
  async keyIn(request: string): Promise<Buffer> {
    const { readSigningRequest } = await import('./certificates.ts');
    const reading = await readSigningRequest(request);
    if ('rule' in reading) throw refused(reading.rule);
    return reading.spki;
  }

  /** A certificate that says who the holder of a key is, valid no longer than `untilMs`. */
  async issue(identity: AgentIdentity, key: Buffer, untilMs = Infinity): Promise<Issued> {
    const nowMs = this.#deps.clock.now();
    const lifeMs = Math.min(this.#options.certificateLifeMs, untilMs - nowMs);
    const uri = agentUri(this.#options.installationId, identity);
    const holder = { kind: 'client', uri } as const;
    const certificatePem = await this.#sign(key, holder, this.#signer, nowMs + lifeMs);
    return { certificatePem, renewAfterMs: Math.max(0, Math.floor(lifeMs / 2)) };
  }

  /** When a certificate that is issued now ends. */
  get issuedUntilMs(): number {
    return this.#deps.clock.now() + this.#options.certificateLifeMs;
  }

  /** Throws 'precondition' if as many are trusted as may be. */
  requireRoom(): void {
    if (this.#record.authorities.length < maxAuthorities) return;
    throw new DomainError(
      'precondition',
      `${maxAuthorities} authorities are trusted, which is the most: end the trust in the older ones first (fairlead ca rotate --finish)`,
      { reason: 'TOO_MANY_AUTHORITIES' },
    );
  }

  /** Makes an authority that signs from now on. All of it is on disk when it resolves, or nothing. */
  async rotate(actionId: string): Promise<void> {
    await this.#turns.take(async () => {
      this.requireRoom();
      const { makeAuthorityCertificate, vouchFor } = await import('./certificates.ts');
      const nowMs = this.#deps.clock.now();
      const signingKey = makePrivateKey();
      const validity = authorityValidity(nowMs);
      const certificate = await makeAuthorityCertificate(signingKey, validity);
      const signer = { certificatePem: certificate, privateKeyPem: signingKey };
      const successor = {
        ...{ certificate, signingKey, nowMs },
        vouched: await vouchFor(certificate, this.#signer, validity),
        serverCertificate: await this.#serverCertificate(signer),
        overlapUntilMs: nowMs + this.#options.certificateLifeMs,
      };
      this.#write({ ...succeededBy(this.#record, successor), lastActionId: actionId });
      this.#deps.log.info({ pin: this.pin }, 'certificate authority replaced');
    });
  }

  /** Ends the trust in all authorities but the one that signs. */
  async finish(actionId: string): Promise<void> {
    await this.#turns.take(() => {
      this.#retire(() => true, actionId);
    });
  }

  /**
   * Renews the coordinator's own certificate at half of its life, and ends the trust in authorities that
   * were replaced when all that they signed has expired, until the signal aborts.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    while (!signal.aborted) {
      const dueInMs = Math.max(this.#nextDueMs() - clock.now(), 1_000);
      const lookInMs = this.#isKept ? lookEveryMs : keepAgainMs;
      await clock.sleep(Math.min(dueInMs, lookInMs), signal);
      if (signal.aborted) return;
      try {
        await this.#look();
      } catch (error) {
        log.error({ err: error, retryInMs: retryMs }, 'own certificate and trust not kept up');
        await clock.sleep(retryMs, signal);
      }
      this.#keepServer();
    }
  }

  /** Its key stays, so that one which is lost with the process is made again from what is on the disk. */
  #keepServer(): void {
    if (this.#isKept) return;
    try {
      this.#file.write(this.#record);
      this.#isKept = true;
    } catch (error) {
      const words = 'own certificate is in use and not written down yet';
      this.#deps.log.warn({ reason: messageOf(error), retryInMs: keepAgainMs }, words);
    }
  }

  async #look(): Promise<void> {
    await this.#turns.take(async () => {
      await this.#renewServer();
      const nowMs = this.#deps.clock.now();
      this.#retire(({ trustedUntilMs }) => trustedUntilMs !== null && nowMs >= trustedUntilMs);
    });
  }

  #retire(isOver: (authority: AuthorityKey) => boolean, lastActionId?: string): void {
    const after = without(this.#record, isOver);
    if (after === this.#record) return;
    this.#write({ ...after, ...(lastActionId !== undefined && { lastActionId }) });
    this.#deps.log.info({ trusted: after.authorities.length }, 'authority is trusted no more');
  }

  /** Makes the coordinator's own certificate anew if it is half over or lacks a name; its key stays. */
  async #renewServer(): Promise<void> {
    const { server } = this.#record;
    const missing = this.#options.names.filter((name) => !hasName(server.certificate, name));
    if (missing.length === 0 && this.#deps.clock.now() < this.#serverRenewalMs()) return;
    const certificate = await this.#serverCertificate(this.#signer);
    this.#isKept = false;
    this.#use({ ...this.#record, server: { ...server, certificate } });
    this.#deps.log.info('own certificate made');
  }

  async #serverCertificate(signer: Signer): Promise<string> {
    const { privateKey } = this.#record.server;
    const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
    const names = this.#options.names.map((value) => ({
      type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const),
      value,
    }));
    return await this.#sign(spki, { kind: 'server', names }, signer, this.issuedUntilMs);
  }

  #nextDueMs(): number {
    const ends = this.#record.authorities.map(({ trustedUntilMs }) => trustedUntilMs ?? Infinity);
    return Math.min(this.#serverRenewalMs(), ...ends);
  }

  #serverRenewalMs(): number {
    const { certificate } = this.#record.server;
    if (certificate === '') return -Infinity;
    const { validFrom, validTo } = new X509Certificate(certificate);
    // It was made while the clock was ahead: nobody takes it before that day.
    if (Date.parse(validFrom) > this.#deps.clock.now()) return -Infinity;
    return Date.parse(validTo) - this.#options.certificateLifeMs / 2;
  }

  get #signer(): Signer {
    const { authorities, signingKey } = this.#record;
    return { certificatePem: authorities[0].certificate, privateKeyPem: signingKey };
  }

  async #sign(spki: Buffer, holder: Holder, signer: Signer, untilMs: number): Promise<string> {
    const { issueCertificate } = await import('./certificates.ts');
    const sinceMs = this.#deps.clock.now() - clockToleranceMs;
    // As old as its authority, so that it is good as well if our clock was ahead and is set right, and for hosts
    // whose clock is days behind: those are named when they are here. Only the end of a certificate limits its use.
    const notBeforeMs = Math.min(sinceMs, startOf(signer.certificatePem));
    return await issueCertificate(spki, holder, signer, { notBeforeMs, notAfterMs: untilMs });
  }

  #write(record: AuthorityRecord): void {
    try {
      this.#file.write(record);
    } catch (error) {
      throw new DomainError(
        'unavailable',
        `the certificate authority could not be written (${messageOf(error)}): nothing has changed; free space, then try again`,
        { reason: 'STORE_FULL', cause: error },
      );
    }
    this.#isKept = true;
    this.#use(record);
  }

  #use(record: AuthorityRecord): void {
    const isNews = bundleOf(record) !== this.bundle;
    this.#record = record;
    this.#known = knownOf(record);
    if (isNews) this.#publish();
    for (const listener of this.#listeners) listener();
  }

  /** For tools of others; made anew at every start, so that it is of no matter if this fails. */
  #publish(): void {
    try {
      writePublicFile(join(this.#options.stateDir, 'ca.pem'), this.bundle);
    } catch (err) {
      this.#deps.log.warn({ err }, 'ca.pem not written');
    }
  }
}

function knownOf({ authorities, retired }: AuthorityRecord): Known[] {
  const known = (trusted: boolean) => (authority: { readonly certificate: string }) => {
    const certificate = new X509Certificate(authority.certificate);
    return { certificate, pin: pinOf(certificate), trusted };
  };
  return [...authorities.map(known(true)), ...retired.map(known(false))];
}

async function newRecord({ clock }: AuthorityDeps): Promise<AuthorityRecord> {
  const { makeAuthorityCertificate } = await import('./certificates.ts');
  const privateKey = makePrivateKey();
  const validity = authorityValidity(clock.now());
  const certificate = await makeAuthorityCertificate(privateKey, validity);
  const server = { certificate: '', privateKey: makePrivateKey() };
  return firstRecord({ certificate, privateKey }, server, clock.now());
}

function authorityValidity(nowMs: number): Validity {
  return { notBeforeMs: nowMs - authorityToleranceMs, notAfterMs: nowMs + authorityLifeMs };
}

function startOf(certificate: string): number {
  return Date.parse(new X509Certificate(certificate).validFrom);
}

function hasName(certificate: string, name: string): boolean {
  if (certificate === '') return false;
  const parsed = new X509Certificate(certificate);
  return (isIP(name) === 0 ? parsed.checkHost(name) : parsed.checkIP(name)) !== undefined;
}

function refused(rule: string): DomainError {
  const field = 'signing_request_pem';
  return new DomainError('invalid', `${field} ${rule}`, {
    reason: 'INVALID_REQUEST',
    violations: [{ field, rule }],
  });
}
