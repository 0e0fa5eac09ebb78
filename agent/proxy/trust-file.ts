import * as z from 'zod/mini';
import { readIfThere, writeAtomically } from './state-directory.ts';

const schema = z.object({ pin: z.string(), trustPem: z.string() });

/** Whom a coordinator, known by the pin of a token, said to trust since. */
export type KnownTrust = z.infer<typeof schema>;

/** Keeps what is to be trusted when the authority of the coordinator was replaced after the token was made. */
export class TrustFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Undefined if there is none, or none that can be read: then the pin in the token decides. */
  async read(): Promise<KnownTrust | undefined> {
    const text = await readIfThere(this.#path);
    if (text === undefined) return undefined;
    try {
      return schema.safeParse(JSON.parse(text)).data;
    } catch {
      return undefined;
    }
  }

  async write(trust: KnownTrust): Promise<void> {
    await writeAtomically(this.#path, `${JSON.stringify(trust)}\n`);
  }
}
