/** What the HAProxy that runs can do, by its version. */
export interface Capabilities {
  /** Servers come and go at run time; else each one that comes takes a reload. */
  readonly dynamicServers: boolean;
  /** A request whose stream is ended by a command is repeated, if it is one of those that are. */
  readonly repeatsEnded: boolean;
}

/** Before it a frontend cannot name the defaults that it takes, and much else is missing. */
export const oldestVersion = '2.4';

/**
 * Reads `2.6.12-1+deb12u4`; undefined for a HAProxy that is too old.
 *
 * Servers at run time are an experiment in 2.4, and without checks in 2.5: both have them in the file. What
 * later versions add is not needed: 3.0 gives servers at run time the parameters that they are given here
 * anyway, and 3.3 refuses to delete one with idle connections, which is tried again. What 2.6 repeats 3.0 answers with
 * an error, as those between them may.
 */
export function capabilitiesOf(version: string): Capabilities | undefined {
  const number = numberOf(version);
  if (number < 2_004) return undefined;
  return { dynamicServers: number >= 2_006, repeatsEnded: number < 2_007 };
}

/** Reads a version as `capabilitiesOf` does. */
export function setsClientTimeout(version: string): boolean {
  return numberOf(version) >= 2_009;
}

function numberOf(version: string): number {
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  return Number(major) * 1_000 + Number(minor);
}
