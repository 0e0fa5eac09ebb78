import type { Clock } from '../../shared/clock.ts';
import { messageOf, type FieldViolation } from '../../shared/errors.ts';
import type { CertificateId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import type { Certificate } from '../tls-model.ts';
import type { Store } from '../store/store.ts';
import { certificateRecord } from './certificate-records.ts';
import { examineCertificate, type UsableCertificate } from './examine.ts';
import { readFolder, type FolderEntry, type FolderReading } from './folder-reader.ts';
import type { SealingKey } from './sealing-key.ts';

const lookEveryMs = 2_000;

export interface CertificateFolderDeps {
  readonly store: Store;
  readonly sealing: SealingKey;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * Follows the certificates of a folder: those that are new, replaced, or gone from it.
 *
 * What cannot be used changes nothing, and is said: once it is the same in two looks, so that files which are
 * just being written are not taken for bad ones. Nor is a chain that is shorter than the one before taken at first
 * sight: the rest may be on its way. A folder that is empty or cannot be read takes nothing away.
 */
export class CertificateFolder {
  readonly #deps: CertificateFolderDeps;
  readonly #path: string;
  /** What the last look found, and the one before. */
  #names: ReadonlySet<string> = new Set();
  /** Signatures of what is in the store. */
  readonly #taken = new Map<string, string>();
  /** Signatures of what is cut short or cannot be used, until it is the same twice. */
  readonly #doubtful = new Map<string, string>();
  /** What was said, by name; '' is the folder. */
  readonly #said = new Map<string, string>();

  constructor(deps: CertificateFolderDeps, path: string) {
    this.#deps = deps;
    this.#path = path;
  }

  /** Whether the folder has a certificate of that name, good or bad. */
  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** Follows the folder until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    while (!signal.aborted) {
      try {
        await this.look();
      } catch (error) {
        log.error({ err: error }, 'certificates of the folder were not taken over');
      }
      await clock.sleep(lookEveryMs, signal);
    }
  }

  /** Brings the store up to date with the folder once. */
  async look(): Promise<void> {
    let reading: FolderReading;
    try {
      reading = await readFolder(this.#path);
    } catch (error) {
      this.#say('', `the folder cannot be read: ${messageOf(error)}; what came from it stays`);
      return;
    }
    const before = this.#names;
    this.#names = new Set([...reading.entries.keys(), ...reading.problems.keys()]);
    for (const [name, problem] of reading.problems) {
      if (!this.#isDoubtful(name, problem)) this.#say(name, problem);
    }
    for (const [name, entry] of reading.entries) await this.#follow(name, entry);
    this.#dropGone(before);
  }

  async #follow(name: string, entry: FolderEntry): Promise<void> {
    const { store } = this.#deps;
    const known = store.certificateNamed(name);
    if (known !== undefined && this.#taken.get(name) === entry.signature) return;
    if (known?.source === 'caller') {
      this.#say(name, 'a certificate of that name was put by a caller; remove it, or rename this');
      return;
    }
    const usable = await this.#examine(entry);
    const isCut = typeof usable === 'string' || isShorter(usable, known);
    if (isCut && this.#isDoubtful(name, entry.signature)) return;
    if (typeof usable === 'string') {
      this.#say(name, usable);
      return;
    }
    this.#take(name, usable, known);
    this.#taken.set(name, entry.signature);
    this.#doubtful.delete(name);
    this.#said.delete(name);
  }

  /** In words why it cannot be used. */
  async #examine(entry: FolderEntry): Promise<UsableCertificate | string> {
    const violations: FieldViolation[] = [];
    try {
      const usable = examineCertificate(await entry.read(), this.#deps.clock.now(), violations);
      return usable ?? violations.map(({ field, rule }) => `${field} ${rule}`).join('; ');
    } catch (error) {
      return `it cannot be read: ${messageOf(error)}`;
    }
  }

  /** Whether it was not yet the same in two looks: what is being written may look like anything. */
  #isDoubtful(name: string, signature: string): boolean {
    if (this.#doubtful.get(name) === signature) return false;
    this.#doubtful.set(name, signature);
    return true;
  }

  #take(name: string, usable: UsableCertificate, known: Certificate | undefined): void {
    const { store, sealing, random, clock, log } = this.#deps;
    if (known !== undefined && this.#isSame(known, usable)) return;
    const named = known ?? { id: random.id() as CertificateId, name };
    const content = { usable, source: 'folder', serviceIds: known?.serviceIds ?? [] } as const;
    const after = certificateRecord(named, content, { sealing, nowMs: clock.now() });
    const type = known === undefined ? 'certificate.created' : 'certificate.replaced';
    store.transact((tx) => {
      tx.certificates.put(after);
      tx.event({
        ...{ type, objectId: after.id, objectName: name, actionId: '' },
        message: `from the folder, for ${after.facts.hosts.join(', ')}`,
      });
    });
    log.info(
      { certificate: name, until: new Date(after.facts.notAfterMs).toISOString() },
      'took a certificate from the folder',
    );
  }

  #isSame({ id, chainPem, sealedKey }: Certificate, usable: UsableCertificate): boolean {
    if (chainPem !== usable.chainPem) return false;
    return this.#deps.sealing.unseal({ id, text: sealedKey }) === usable.privateKeyPem;
  }

  /** Takes away what two looks in a row did not find, if they found anything. */
  #dropGone(before: ReadonlySet<string>): void {
    const { store, log } = this.#deps;
    const own = [...store.certificates.values()].filter(({ source }) => source === 'folder');
    if (this.#names.size === 0) {
      if (own.length > 0) {
        this.#say('', 'the folder is empty; what came from it stays, unless it is removed by name');
      }
      return;
    }
    this.#said.delete('');
    for (const { id, name } of own) {
      if (this.#names.has(name) || before.has(name) || before.size === 0) continue;
      store.transact((tx) => {
        tx.certificates.delete(id);
        tx.event({
          ...{ type: 'certificate.removed', objectId: id, objectName: name, actionId: '' },
          message: 'it is in the folder no more',
        });
      });
      this.#taken.delete(name);
      log.info({ certificate: name }, 'removed a certificate that is in the folder no more');
    }
  }

  /** Once for each new trouble. */
  #say(name: string, words: string): void {
    if (this.#said.get(name) === words) return;
    this.#said.set(name, words);
    const { store, log } = this.#deps;
    log.warn({ certificate: name, reason: words }, 'a certificate of the folder is not used');
    const known = store.certificateNamed(name);
    store.transact((tx) => {
      tx.event({
        type: 'certificate.refused',
        objectId: known?.id ?? '',
        objectName: name === '' ? this.#path : name,
        actionId: '',
        message: words,
      });
    });
  }
}

/** Of a file that is just being written, the rest of the chain may be on its way. */
function isShorter({ facts }: UsableCertificate, known: Certificate | undefined): boolean {
  return known !== undefined && facts.chainLength < known.facts.chainLength;
}
