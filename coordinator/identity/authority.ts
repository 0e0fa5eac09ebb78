import { createPublicKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { DomainError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { makePrivateKey } from '../../shared/rpc/signing-request.ts';
import { pinOf } from '../../shared/rpc/trust.ts';
import { AuthorityFile, type AuthorityRecord } from './authority-file.ts';
import { agentUri, type AgentIdentity } from './agent-identity.ts';
import { writePublicFile } from './key-files.ts';
import type { Holder, Validity } from './certificates.ts';

/** An authority outlives everything that it signs by far; it ends by being replaced. */
const authorityLifeMs = 10 * 365 * 86_400_000;
/** Certificates are valid from before they are made: clocks differ by minutes. */
const clockToleranceMs = 3_600_000;
/** How often it is looked whether the coordinator's own certificate is due. Clocks jump, and hosts sleep. */
const lookEveryMs = 3_600_000;
const retryMs = 60_000;

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

/**
 * The certificate authority of an installation, with the coordinator's own certificate.
 *
 * Both are in one file of the state directory, which is made on the first start. A damaged one is refused,
 * never replaced: a new authority would lock out every agent.
 */
export class Authority {
  readonly #deps: AuthorityDeps;
  readonly #options: AuthorityOptions;
  readonly #file: AuthorityFile;
  readonly #listeners = new Set<() => void>();
  #record: AuthorityRecord;

  private constructor(
    deps: AuthorityDeps,
    options: AuthorityOptions,
    { file, record }: { readonly file: AuthorityFile; readonly record: AuthorityRecord },
  ) {
    this.#deps = deps;
    this.#options = options;
    this.#file = file;
    this.#record = record;
  }

  /** The authority of a state directory; made if there is none. */
  static async open(deps: AuthorityDeps, options: AuthorityOptions): Promise<Authority> {
    const file = new AuthorityFile(options.stateDir);
    const known = file.read();
    const record = known ?? (await newRecord(deps));
    const authority = new Authority(deps, options, { file, record });
    if (known === null) {
      authority.#write(record);
      deps.log.info({ pin: authority.pin }, 'certificate authority made');
    }
    await authority.#renewServer();
    writePublicFile(join(options.stateDir, 'ca.pem'), authority.bundle);
    return authority;
  }

  /** What tokens end with, so that whoever has one knows the coordinator. */
  get pin(): string {
    return pinOf(new X509Certificate(this.#record.signer.certificate));
  }

  /** Certificates of the authorities that agents and clients are to trust, PEM. */
  get bundle(): string {
    return this.#record.signer.certificate;
  }

  get serverIdentity(): ServerIdentity {
    const { server, signer } = this.#record;
    return {
      certificateChain: server.certificate + signer.certificate,
      privateKey: server.privateKey,
      trust: this.bundle,
    };
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
    const certificatePem = await this.#sign(key, { kind: 'client', uri }, nowMs + lifeMs);
    return { certificatePem, renewAfterMs: Math.max(0, Math.floor(lifeMs / 2)) };
  }

  /** Renews the coordinator's own certificate at half of its life, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    while (!signal.aborted) {
      const dueInMs = Math.max(this.#serverRenewalMs() - clock.now(), 1_000);
      await clock.sleep(Math.min(dueInMs, lookEveryMs), signal);
      if (signal.aborted) return;
      try {
        await this.#renewServer();
      } catch (error) {
        log.error({ err: error, retryInMs: retryMs }, 'own certificate not renewed');
        await clock.sleep(retryMs, signal);
      }
    }
  }

  /** Makes the coordinator's own certificate anew if it is half over or lacks a name; its key stays. */
  async #renewServer(): Promise<void> {
    const { clock, log } = this.#deps;
    const { server } = this.#record;
    const missing = this.#options.names.filter((name) => !hasName(server.certificate, name));
    if (missing.length === 0 && clock.now() < this.#serverRenewalMs()) return;
    const spki = createPublicKey(server.privateKey).export({ type: 'spki', format: 'der' });
    const names = this.#options.names.map((value) => ({
      type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const),
      value,
    }));
    const untilMs = clock.now() + this.#options.certificateLifeMs;
    const certificate = await this.#sign(spki, { kind: 'server', names }, untilMs);
    this.#write({ ...this.#record, server: { ...server, certificate } });
    log.info({ until: new Date(untilMs).toISOString() }, 'own certificate made');
  }

  #serverRenewalMs(): number {
    const { certificate } = this.#record.server;
    if (certificate === '') return -Infinity;
    const { validTo } = new X509Certificate(certificate);
    return Date.parse(validTo) - this.#options.certificateLifeMs / 2;
  }

  async #sign(spki: Buffer, holder: Holder, untilMs: number): Promise<string> {
    const { issueCertificate } = await import('./certificates.ts');
    const { certificate, privateKey } = this.#record.signer;
    const validity = validFor(this.#deps.clock, untilMs);
    const signer = { certificatePem: certificate, privateKeyPem: privateKey };
    return await issueCertificate(spki, holder, signer, validity);
  }

  #write(record: AuthorityRecord): void {
    this.#file.write(record);
    this.#record = record;
    for (const listener of this.#listeners) listener();
  }
}

async function newRecord({ clock }: AuthorityDeps): Promise<AuthorityRecord> {
  const { makeAuthorityCertificate } = await import('./certificates.ts');
  const privateKey = makePrivateKey();
  const validity = validFor(clock, clock.now() + authorityLifeMs);
  const certificate = await makeAuthorityCertificate(privateKey, validity);
  return {
    signer: { certificate, privateKey },
    server: { certificate: '', privateKey: makePrivateKey() },
  };
}

function validFor(clock: Clock, untilMs: number): Validity {
  return { notBeforeMs: clock.now() - clockToleranceMs, notAfterMs: untilMs };
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
