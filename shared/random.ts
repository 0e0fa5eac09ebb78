import { randomBytes, randomUUID } from 'node:crypto';

/** The only source of chance, so that tests can choose it. */
export interface Random {
  /** Uniform in [0, 1). For jitter, never for secrets. */
  fraction(): number;
  /** A new globally unique id: 32 lower-case hexadecimal digits. */
  id(): string;
  /** A new secret of 256 bits in base64url, 43 characters. */
  secret(): string;
}

export const systemRandom: Random = {
  fraction: () => Math.random(),
  id: () => randomUUID().replaceAll('-', ''),
  secret: () => randomBytes(32).toString('base64url'),
};
