import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import type { Logger } from '../../../shared/logger.ts';
import {
  makeDirectory,
  readIfThere,
  readJson,
  sayUnusable,
  writeAtomically,
} from '../state-directory.ts';
import { makePlaceholder } from './placeholder.ts';
import type { ServedCertificate } from './served-certificate.ts';

/** A name that nobody asks for: an entry that has no name at all loses its settings when it is replaced. */
const nobodysName = 'default.fairlead.invalid';

const indexSchema = z.object({
  format: z.literal(1),
  certificates: z.array(
    z.object({
      id: z.string().check(z.regex(/^[0-9a-z]{1,64}$/)),
      digest: z.string(),
    }),
  ),
});

/** HAProxy's list of certificates in the directory of them. */
export function certificateListIn(directory: string): string {
  return join(directory, 'list.txt');
}

/**
 * The certificates that HAProxy loads when it starts or reloads, each with its key in a file of mode 0600, and
 * the list of them. Whoever reads the list finds every file in it: files are written before, and removed later.
 */
export class CertificateFiles {
  readonly #directory: string;
  readonly #log: Logger;

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /** HAProxy's list of certificates, the default first. */
  get list(): string {
    return certificateListIn(this.#directory);
  }

  /** What clients are shown that ask for no name, or for one that no certificate is for. */
  get default(): string {
    return join(this.#directory, 'default.pem');
  }

  pathOf(id: string): string {
    return join(this.#directory, `${id}.pem`);
  }

  /** What was written last; makes what HAProxy needs to start with none. */
  async open(): Promise<ServedCertificate[]> {
    await makeDirectory(this.#directory);
    const known = await this.#read();
    if ((await readIfThere(this.default)) === undefined) {
      await writeAtomically(this.default, known[0]?.pem ?? makePlaceholder());
    }
    await this.#writeList(known);
    return known;
  }

  /** Replaces everything. What is in it no more stays on disk until `sweep`. */
  async write(certificates: readonly ServedCertificate[]): Promise<string> {
    for (const { id, pem } of certificates) await writeIfOther(this.pathOf(id), pem);
    const shown = await this.#writeDefault(certificates[0]);
    await this.#writeList(certificates);
    const index = certificates.map(({ id, digest }) => ({ id, digest }));
    const text = JSON.stringify({ format: 1, certificates: index });
    await writeIfOther(this.#index, `${text}\n`);
    return shown;
  }

  /** Removes the files of certificates that are not among these. */
  async sweep(certificates: readonly ServedCertificate[]): Promise<void> {
    const kept = new Set([this.default, ...certificates.map(({ id }) => this.pathOf(id))]);
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name);
      if (/\.pem(\.new)?$/.test(name) && !kept.has(path)) await rm(path, { force: true });
    }
  }

  get #index(): string {
    return join(this.#directory, 'index.json');
  }

  /** The key of a certificate that was withdrawn does not stay as the default's. */
  async #writeDefault(first: ServedCertificate | undefined): Promise<string> {
    if (first !== undefined) {
      await writeIfOther(this.default, first.pem);
      return first.pem;
    }
    const before = await readIfThere(this.default);
    const index = await this.#readIndex();
    const isPlaceholder = before !== undefined && index?.certificates.length === 0;
    const pem = isPlaceholder ? before : makePlaceholder();
    await writeIfOther(this.default, pem);
    return pem;
  }

  async #writeList(certificates: readonly ServedCertificate[]): Promise<void> {
    const lines = [
      `${this.default} ${nobodysName}`,
      ...certificates.map(({ id }) => this.pathOf(id)),
    ];
    await writeIfOther(this.list, `${lines.join('\n')}\n`);
  }

  async #read(): Promise<ServedCertificate[]> {
    const index = await this.#readIndex();
    const found: ServedCertificate[] = [];
    for (const { id, digest } of index?.certificates ?? []) {
      const pem = await readIfThere(this.pathOf(id));
      if (pem !== undefined) found.push({ id, digest, pem });
    }
    return found;
  }

  async #readIndex(): Promise<z.infer<typeof indexSchema> | undefined> {
    const content = await readJson(this.#index, this.#log);
    if (content === undefined) return undefined;
    const parsed = indexSchema.safeParse(content);
    if (!parsed.success) sayUnusable(this.#log, this.#index, 'it does not list certificates');
    return parsed.data;
  }
}

async function writeIfOther(path: string, text: string): Promise<void> {
  const before = await readFile(path, 'utf8').catch(() => undefined);
  if (before !== text) await writeAtomically(path, text);
}
