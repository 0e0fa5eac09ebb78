import { X509Certificate } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import type { IssuedCertificate, TrustBundle } from '../gen/fairlead/v1/certificate.ts';
import type { Logger } from '../logger.ts';
import type { Random } from '../random.ts';
import { backoffMs } from '../retry.ts';
import { Wakeup } from '../wakeup.ts';
import type { ClientCertificate } from './client.ts';
import { makePrivateKey, signingRequest } from './signing-request.ts';
import { certificatesIn } from './trust.ts';

/** What an agent proves itself with, and whom it trusts. */
export interface Identity extends ClientCertificate {
  /** Certificates of the authorities of its coordinator, PEM. */
  readonly trustPem: string;
  /** When to ask for the next certificate, by this host's clock. */
  readonly renewAtMs: number;
}

export interface IdentityKeeperDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Asks the coordinator for a certificate, by an identity that is good. */
  readonly ask: (
    identity: Identity,
    request: string,
    signal: AbortSignal,
  ) => Promise<IssuedCertificate>;
  /** Writes an identity down for the next run. */
  readonly keep: (identity: Identity) => Promise<void>;
  /** Told that there is another identity to open a session with. */
  readonly onRenewed: () => void;
}

/** Of the time until half of a certificate's life, so much more by chance: a fleet does not ask in step. */
const jitter = 0.3;
const backoff = { minMs: 500, maxMs: 60_000 };
/** Within which a certificate of a replaced authority is renewed, if the coordinator does not say. */
const defaultRenewWithinMs = 10_000;
/** Clocks jump, and hosts sleep: it is looked again at least so often. */
const lookEveryMs = 3_600_000;

/** An identity from what the coordinator issued for a key. */
export function identityFrom(
  { certificatePem, trust, renewAfterMs }: IssuedCertificate,
  privateKeyPem: string,
  { clock, random }: Pick<IdentityKeeperDeps, 'clock' | 'random'>,
): Identity {
  const trustPem = trust?.pem ?? '';
  const notAfterMs = Date.parse(new X509Certificate(certificatePem).validTo);
  const span = { nowMs: clock.now(), notAfterMs, renewAfterMs };
  return { certificatePem, privateKeyPem, trustPem, renewAtMs: renewalMs(span, random.fraction()) };
}

/**
 * When to ask for the certificate after one that was issued now: at half of its life and up to `jitter` of that
 * later. The host's clock may be ahead and be set right afterwards; the end of the certificate is by the
 * coordinator's clock, so it counts too, unless it would have the host ask all the time.
 */
export function renewalMs(
  span: { readonly nowMs: number; readonly notAfterMs: number; readonly renewAfterMs: number },
  fraction: number,
): number {
  const { nowMs, notAfterMs, renewAfterMs } = span;
  const latestMs = notAfterMs - renewAfterMs * (1 - jitter);
  const earliestMs = nowMs + renewAfterMs / 10;
  return Math.max(earliestMs, Math.min(nowMs + renewAfterMs * (1 + jitter * fraction), latestMs));
}

/**
 * Keeps the identity of an agent good: asks for the next certificate in time, for as long as it takes, and
 * writes down what is to last.
 *
 * The identity that is written down is one that a session stood on: what was just issued replaces the one
 * before only then.
 */
export class IdentityKeeper {
  readonly #deps: IdentityKeeperDeps;
  readonly #wakeup = new Wakeup();
  /** Apart, so that what fails for long on one side does not make the other late. */
  readonly #keeping: Attempts;
  readonly #renewing: Attempts;
  #proven: Identity;
  #next: Identity | undefined;
  /** What is written down. */
  #kept: Identity;

  constructor(deps: IdentityKeeperDeps, identity: Identity) {
    this.#deps = deps;
    this.#keeping = new Attempts(deps);
    this.#renewing = new Attempts(deps);
    this.#proven = identity;
    this.#kept = identity;
  }

  /** What to open a session with. */
  get current(): Identity {
    return this.#next ?? this.#proven;
  }

  /** A session with this identity stands. */
  accepted(identity: Identity): void {
    if (identity !== this.#next) return;
    this.#deps.log.info('certificate renewed');
    this.#proven = identity;
    this.#next = undefined;
    this.#keeping.succeeded();
    this.#renewing.succeeded();
    this.#wakeup.notify();
  }

  /** The coordinator refused this identity: the one before may still be good, and another is asked for. */
  refused(identity: Identity): void {
    if (identity !== this.#next) return;
    this.#next = undefined;
    this.#failed('the coordinator refused the certificate that it had issued', this.#renewing);
    this.#wakeup.notify();
  }

  /** Whom to trust from now on. A certificate that the first of them did not sign is renewed soon. */
  trust({ pem: trustPem, renewWithinMs }: TrustBundle): void {
    if (trustPem === this.#proven.trustPem) return;
    const [signer] = certificatesIn(trustPem);
    if (signer === undefined) return;
    const { clock, random } = this.#deps;
    const isOurs = new X509Certificate(this.#proven.certificatePem).verify(signer.publicKey);
    const soonMs = clock.now() + (renewWithinMs || defaultRenewWithinMs) * random.fraction();
    const renewAtMs = isOurs ? this.#proven.renewAtMs : Math.min(soonMs, this.#proven.renewAtMs);
    this.#proven = { ...this.#proven, trustPem, renewAtMs };
    this.#wakeup.notify();
  }

  /** Renews and writes down until the signal aborts. A disk that takes nothing does not keep it from renewing. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#keepInMs() === 0) await this.#keep();
      if (this.#renewInMs() === 0) await this.#renew(signal);
      const waitMs = Math.min(this.#keepInMs(), this.#renewInMs(), lookEveryMs);
      await this.#wakeup.waitFor(waitMs, this.#deps.clock, signal);
    }
  }

  #keepInMs(): number {
    return this.#kept === this.#proven ? Infinity : this.#keeping.waitMs;
  }

  #renewInMs(): number {
    if (this.#next !== undefined) return Infinity;
    return Math.max(this.#proven.renewAtMs - this.#deps.clock.now(), this.#renewing.waitMs);
  }

  async #keep(): Promise<void> {
    const identity = this.#proven;
    try {
      await this.#deps.keep(identity);
      this.#kept = identity;
      this.#keeping.succeeded();
    } catch (error) {
      const reason = `the new identity is in use and not written down yet: ${messageOf(error)}`;
      this.#failed(reason, this.#keeping);
    }
  }

  async #renew(signal: AbortSignal): Promise<void> {
    try {
      const privateKeyPem = makePrivateKey();
      const issued = await this.#deps.ask(this.#proven, signingRequest(privateKeyPem), signal);
      this.#next = identityFrom(issued, privateKeyPem, this.#deps);
    } catch (error) {
      if (!signal.aborted) this.#failed(messageOf(error), this.#renewing);
      return;
    }
    this.#deps.onRenewed();
  }

  #failed(reason: string, attempts: Attempts): void {
    const retryInMs = attempts.failed();
    this.#deps.log.warn({ reason, retryInMs }, 'certificate not renewed yet');
  }
}

/** When what failed is tried again: each time later, until it succeeds. */
class Attempts {
  readonly #deps: Pick<IdentityKeeperDeps, 'clock' | 'random'>;
  #failures = 0;
  #notBeforeMs = 0;

  constructor(deps: Pick<IdentityKeeperDeps, 'clock' | 'random'>) {
    this.#deps = deps;
  }

  get waitMs(): number {
    return Math.max(0, this.#notBeforeMs - this.#deps.clock.monotonic());
  }

  succeeded(): void {
    this.#failures = 0;
    this.#notBeforeMs = 0;
  }

  failed(): number {
    const { clock, random } = this.#deps;
    const retryInMs = backoffMs(this.#failures++, backoff, () => random.fraction());
    this.#notBeforeMs = clock.monotonic() + retryInMs;
    return retryInMs;
  }
}
