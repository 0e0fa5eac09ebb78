import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** A HAProxy beside that of the system. */
export interface HaproxyVersion {
  /** As its package has it: `3.0.11-1+deb13u3`. */
  readonly version: string;
  /** Absolute path of the program, which finds its libraries by itself. */
  readonly program: string;
}

/** Where versions are kept: in the user's cache, for all checkouts of his. */
export function versionsDirectory(): string {
  const given = process.env['XDG_CACHE_HOME'] ?? '';
  const cache = given.startsWith('/') ? given : join(homedir(), '.cache');
  return join(cache, 'fairlead', 'haproxy');
}

/** The versions that are there, the oldest first, and of each minor version the newest. */
export function cachedVersions(directory = versionsDirectory()): HaproxyVersion[] {
  if (!existsSync(directory)) return [];
  const versions = readdirSync(directory).filter((name) => existsSync(programIn(directory, name)));
  return newestOfEach(versions).map((version) => ({
    version,
    program: programIn(directory, version),
  }));
}

/** The program of a version. Its last part is what tests know HAProxy's processes by. */
export function programIn(directory: string, version: string): string {
  return join(directory, version, 'haproxy');
}

/** Of each minor version the newest, the oldest minor version first. */
export function newestOfEach(versions: readonly string[]): string[] {
  const compare = new Intl.Collator('en', { numeric: true }).compare;
  const newest = new Map<string, string>();
  for (const version of [...versions].sort(compare)) {
    const minor = /^\d+\.\d+/.exec(version)?.[0];
    if (minor !== undefined) newest.set(minor, version);
  }
  return [...newest.values()];
}
