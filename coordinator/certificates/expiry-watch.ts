import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { Certificate } from '../tls-model.ts';
import type { Store } from '../store/store.ts';
import { expiryNotice, expiryWords } from './expiry.ts';

const lookEveryMs = 3_600_000;

export interface ExpiryWatchDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Tells of certificates that end soon, each day that counts once, over restarts too. */
export class ExpiryWatch {
  readonly #deps: ExpiryWatchDeps;

  constructor(deps: ExpiryWatchDeps) {
    this.#deps = deps;
  }

  /** Looks from time to time, and whenever a certificate was put, until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, clock, log } = this.#deps;
    const wakeup = new Wakeup();
    using _changes = store.subscribe((changes) => {
      if (changes.some(({ table }) => table === 'certificates')) wakeup.notify();
    });
    while (!signal.aborted) {
      try {
        this.#look();
      } catch (error) {
        log.error({ err: error }, 'ends of certificates could not be told');
      }
      await wakeup.waitFor(lookEveryMs, clock, signal);
    }
  }

  #look(): void {
    const { store, clock } = this.#deps;
    const nowMs = clock.now();
    for (const certificate of [...store.certificates.values()]) {
      const days = expiryNotice(certificate.facts, nowMs);
      const { toldDays } = certificate;
      if (days !== null && (toldDays === null || days < toldDays)) this.#tell(certificate, days);
    }
  }

  #tell(certificate: Certificate, days: number): void {
    const { store, clock, log } = this.#deps;
    const { id, name, facts } = certificate;
    const words = expiryWords(facts.notAfterMs, clock.now());
    const type = facts.notAfterMs <= clock.now() ? 'certificate.expired' : 'certificate.expiring';
    store.transact((tx) => {
      tx.certificates.put({ ...certificate, toldDays: days });
      const message = `${words}; it is for ${facts.hosts.join(', ')}`;
      tx.event({ type, objectId: id, objectName: name, actionId: '', message });
    });
    log.warn({ certificate: name, hosts: facts.hosts }, `certificate ${words}`);
  }
}
