import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { capabilitiesOf } from '../../../agent/proxy/capabilities.ts';
import { systemClock } from '../../../shared/clock.ts';
import { messageOf } from '../../../shared/errors.ts';
import { run, searchPath } from '../lab/command.ts';
import type { MissingCommand } from '../lab/requirements.ts';
import {
  cachedVersions,
  newestOfEach,
  programIn,
  versionsDirectory,
  type HaproxyVersion,
} from './cache.ts';
import { DebianSuites, type Offer } from './debian.ts';

/** How long the suites are believed to offer nothing new. */
const freshMs = 7 * 24 * 3_600_000;

const patchelf: MissingCommand = {
  command: 'patchelf',
  debianPackage: 'patchelf',
  why: 'other versions of HAProxy are told by it where their libraries are',
};

/** What fetching needs and this machine lacks. */
export function missingForVersions(): MissingCommand[] {
  return searchPath().some((path) => existsSync(join(path, patchelf.command))) ? [] : [patchelf];
}

/**
 * Brings every version of HAProxy that the Debian archive has, and that can be driven, into the user's cache, and
 * returns those that are there then. What is there already is not fetched again; where the archive is out of
 * reach what is there has to do, and it throws if that is nothing.
 */
export async function fetchVersions(
  { log }: { readonly log: (line: string) => void },
  signal: AbortSignal,
): Promise<HaproxyVersion[]> {
  const directory = versionsDirectory();
  const stamp = join(directory, 'fetched');
  const before = cachedVersions(directory);
  if (before.length > 0 && ageOf(stamp) < freshMs) return before;
  mkdirSync(directory, { recursive: true });
  const work = join(directory, `.apt-${process.pid}`);
  try {
    await fetchMissing(directory, await DebianSuites.open(work, signal), log, signal);
    writeFileSync(stamp, '');
  } catch (error) {
    signal.throwIfAborted();
    if (before.length === 0) throw error;
    log(`going on with the versions of HAProxy that are there: ${messageOf(error)}`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return cachedVersions(directory);
}

async function fetchMissing(
  directory: string,
  suites: DebianSuites,
  log: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const offers = (await suites.offers('haproxy', signal)).filter(
    ({ version }) => capabilitiesOf(version) !== undefined,
  );
  const own = await run('haproxy', ['-v'], {}, signal).catch(() => '');
  const ownMinor = /version (\d+\.\d+)/.exec(own)?.[1] ?? '';
  for (const version of newestOfEach(offers.map((offer) => offer.version))) {
    const offer = offers.find((each) => each.version === version);
    if (offer === undefined || existsSync(programIn(directory, version))) continue;
    if (version.startsWith(`${ownMinor}.`)) continue;
    try {
      await bring(directory, suites, offer, signal);
      log(`fetched HAProxy ${version} of ${offer.suite}`);
    } catch (error) {
      signal.throwIfAborted();
      log(`HAProxy ${version} of ${offer.suite} cannot be had: ${messageOf(error)}`);
    }
  }
}

/** Unpacks a version with its own libraries, down to the loader: they are of another release than the system's. */
async function bring(
  directory: string,
  suites: DebianSuites,
  offer: Offer,
  signal: AbortSignal,
): Promise<void> {
  const root = join(directory, `.${offer.version}-${process.pid}`);
  try {
    await suites.unpack('haproxy', offer, root, signal);
    rmSync(join(root, '.archives'), { recursive: true, force: true });
    const final = join(directory, offer.version);
    const libraries = librariesIn(root).map((path) => join(final, path));
    const program = programIn(directory, `.${offer.version}-${process.pid}`);
    copyFileSync(join(root, 'usr/sbin/haproxy'), program);
    chmodSync(program, 0o755);
    await run(
      'patchelf',
      [
        ...['--set-interpreter', join(final, loaderIn(root))],
        ...['--force-rpath', '--set-rpath', libraries.join(':'), program],
      ],
      {},
      signal,
    );
    renameSync(root, final);
    await run(programIn(directory, offer.version), ['-v'], {}, signal);
  } catch (error) {
    rmSync(join(directory, offer.version), { recursive: true, force: true });
    throw error;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

const libraryRoots = ['usr/lib', 'lib'];

/** Directories of libraries, for whichever architecture. */
function librariesIn(root: string): string[] {
  return libraryRoots.flatMap((path) => {
    if (!existsSync(join(root, path))) return [];
    const names = readdirSync(join(root, path)).filter((name) => name.endsWith('-linux-gnu'));
    return names.map((name) => join(path, name));
  });
}

function loaderIn(root: string): string {
  for (const path of librariesIn(root)) {
    const name = readdirSync(join(root, path)).find((each) => /^ld-linux.*\.so\.\d+$/.test(each));
    if (name !== undefined) return join(path, name);
  }
  throw new Error('its C library has no loader');
}

function ageOf(file: string): number {
  return existsSync(file) ? systemClock.now() - statSync(file).mtimeMs : Infinity;
}
