import * as z from 'zod/mini';
import type { Logger } from '../../shared/logger.ts';
import { readJson, sayUnusable, writeAtomically } from './state-directory.ts';

const schema = z.object({ pin: z.string(), trustPem: z.string() });

/** Whom a coordinator, known by the pin of a token, said to trust since. */
export type KnownTrust = z.infer<typeof schema>;

/** Keeps what is to be trusted when the authority of the coordinator was replaced after the token was made. */
export class TrustFile {
  readonly #path: string;
  readonly #log: Logger;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** Undefined if there is none, or none that can be read: then the pin in the token decides. */
  async read(): Promise<KnownTrust | undefined> {
    const content = await readJson(this.#path, this.#log);
    if (content === undefined) return undefined;
    const parsed = schema.safeParse(content);
    if (!parsed.success) sayUnusable(this.#log, this.#path, 'it does not say whom to trust');
    return parsed.data;
  }

  async write(trust: KnownTrust): Promise<void> {
    await writeAtomically(this.#path, `${JSON.stringify(trust)}\n`);
  }
}
