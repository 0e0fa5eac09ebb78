import { X509Certificate } from 'node:crypto';
import type { Clock } from '../../../shared/clock.ts';
import { messageOf } from '../../../shared/errors.ts';
import type { Logger } from '../../../shared/logger.ts';
import { Wakeup } from '../../../shared/wakeup.ts';
import type { RuntimeClient } from '../runtime-client.ts';
import type { CertificateFiles } from './certificate-files.ts';
import { syncCertificates, type CertificatePlan } from './certificate-sync.ts';
import type { HeldCertificate, ServedCertificate } from './served-certificate.ts';

/** How often HAProxy is asked what it has, and differences are mended. */
const reconcileEveryMs = 60_000;
const retryAfterMs = 1_000;
/** How long a HAProxy that is just starting may read files of certificates that were withdrawn. */
const sweepAfterMs = 5_000;

export interface CertificateKeeperDeps {
  readonly files: CertificateFiles;
  /** Runs what writes files that HAProxy loads while nobody else does, in the order of the calls. */
  readonly exclusively: (action: () => Promise<void>) => Promise<void>;
  /** A connection of its own to the worker that serves; rejects while none does. */
  readonly connect: (signal: AbortSignal) => Promise<RuntimeClient>;
  readonly onHeld: (held: readonly HeldCertificate[]) => void;
  readonly onProblem: (words: string | undefined) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Keeps the certificates of a proxy: on disk for HAProxy's next start, and in the one that runs.
 *
 * It has a connection of its own, so that no change of targets waits for one of certificates.
 */
export class CertificateKeeper {
  readonly #deps: CertificateKeeperDeps;
  readonly #wakeup = new Wakeup();
  #wanted: readonly ServedCertificate[] = [];
  #default = '';
  /** Digests of what HAProxy was given, by path. */
  readonly #given = new Map<string, string>();
  #writing: Promise<void> = Promise.resolve();
  #problem: string | undefined;
  #sweepAt = Infinity;

  constructor(deps: CertificateKeeperDeps) {
    this.#deps = deps;
  }

  /** Reads what was kept, and makes what HAProxy needs to start without any. */
  async open(): Promise<void> {
    const { files, log } = this.#deps;
    try {
      this.#wanted = await files.open();
    } catch (error) {
      // A full disk: what is there is served, and nothing else depends on it.
      log.error({ err: error }, 'certificates could not be prepared on disk');
    }
    this.#write(this.#wanted);
    await this.#writing;
  }

  /** Takes all that the coordinator hands over, the default first; none are meant so. */
  take(certificates: readonly ServedCertificate[]): void {
    const usable = certificates.filter(isUsable);
    const [odd] = certificates.filter((each) => !usable.includes(each));
    if (odd !== undefined) {
      this.#deps.log.error({ certificate: odd.id }, 'a certificate of the coordinator is none');
    }
    this.#wanted = usable;
    this.#write(usable);
    this.look();
  }

  /** Another worker serves, or HAProxy may be other than it was. */
  look(): void {
    this.#wakeup.notify();
  }

  /** Keeps HAProxy up to date until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!signal.aborted) {
      if (this.#problem !== undefined) this.#write(this.#wanted);
      const done = await this.#bringUpToDate(signal);
      if (done) await this.#sweepIfDue();
      const untilSweep = Math.max(0, this.#sweepAt - clock.monotonic());
      const waitMs = done ? Math.min(reconcileEveryMs, untilSweep) : retryAfterMs;
      await this.#wakeup.waitFor(waitMs, clock, signal);
    }
  }

  #write(certificates: readonly ServedCertificate[]): void {
    const { files, exclusively, clock, log } = this.#deps;
    this.#writing = exclusively(async () => {
      this.#default = await files.write(certificates);
      this.#sweepAt = clock.monotonic() + sweepAfterMs;
    }).then(
      () => {
        this.#say(undefined);
      },
      (error: unknown) => {
        log.error({ err: error }, 'certificates could not be written to disk');
        this.#say(`certificates cannot be written to disk: ${messageOf(error)}`);
      },
    );
  }

  /** Resolves when all that is wanted is on disk, also what was taken in the meantime. */
  async #written(): Promise<void> {
    for (let last; last !== this.#writing;) {
      last = this.#writing;
      await last;
    }
  }

  /** False: it is to be tried again soon. What HAProxy refused, it would refuse again. */
  async #bringUpToDate(signal: AbortSignal): Promise<boolean> {
    await this.#written();
    const wanted = this.#wanted;
    const plan = this.#planOf(wanted);
    let refused: ReadonlyMap<string, string>;
    try {
      using client = await this.#deps.connect(signal);
      refused = await syncCertificates(client, plan);
    } catch (error) {
      if (!signal.aborted) {
        this.#deps.log.debug({ reason: messageOf(error) }, 'certificates wait for HAProxy');
      }
      return false;
    }
    this.#noteGiven(wanted, plan, refused);
    return wanted === this.#wanted && this.#problem === undefined;
  }

  #planOf(wanted: readonly ServedCertificate[]): CertificatePlan {
    const { files } = this.#deps;
    const others = wanted.map(({ id, pem, digest }) => ({ path: files.pathOf(id), pem, digest }));
    const first = wanted[0]?.digest ?? '';
    const all = [...others, { path: files.default, digest: first }];
    const changed = all.filter(({ path, digest }) => this.#given.get(path) !== digest);
    return {
      list: files.list,
      default: { path: files.default, pem: this.#default },
      others,
      changed: new Set(changed.map(({ path }) => path)),
    };
  }

  #noteGiven(
    wanted: readonly ServedCertificate[],
    plan: CertificatePlan,
    refused: ReadonlyMap<string, string>,
  ): void {
    const { files, onHeld, log } = this.#deps;
    this.#given.clear();
    const give = (path: string, digest: string) => {
      if (!refused.has(path)) this.#given.set(path, digest);
    };
    give(files.default, wanted[0]?.digest ?? '');
    for (const { id, digest } of wanted) give(files.pathOf(id), digest);
    for (const [path, words] of refused) {
      log.error({ file: path, refusal: words }, 'HAProxy refused a certificate');
    }
    onHeld(
      wanted.map(({ id, digest }) => {
        return { id, digest, refusal: refused.get(files.pathOf(id)) ?? '' };
      }),
    );
    if (plan.changed.size > 0) log.info({ certificates: wanted.length }, 'certificates in effect');
  }

  async #sweepIfDue(): Promise<void> {
    const { files, exclusively, clock, log } = this.#deps;
    if (clock.monotonic() < this.#sweepAt) return;
    this.#sweepAt = Infinity;
    try {
      await exclusively(() => files.sweep(this.#wanted));
    } catch (error) {
      this.#sweepAt = clock.monotonic() + sweepAfterMs;
      log.warn({ err: error }, 'a certificate that was withdrawn is still on disk');
    }
  }

  #say(words: string | undefined): void {
    this.#problem = words;
    this.#deps.onProblem(words);
  }
}

/** What HAProxy could not load would keep it from starting at all. */
function isUsable({ id, pem }: ServedCertificate): boolean {
  try {
    new X509Certificate(pem);
    return /^[0-9a-z]{1,64}$/.test(id);
  } catch {
    return false;
  }
}
