import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DomainError, messageOf } from '../../../shared/errors.ts';
import { run } from '../lab/command.ts';

/** Suites that have other versions of HAProxy than the one of the system; names that move with the releases. */
const suites = [
  ...['oldstable', 'oldstable-backports', 'stable', 'stable-backports'],
  ...['unstable', 'experimental'],
];
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** A package of a suite. */
export interface Offer {
  readonly version: string;
  readonly suite: string;
}

/**
 * Other suites of the Debian archive that this machine installs from, asked by apt with sources, lists and
 * packages of their own: what is installed, and what apt knows, stays as it is. Needs no root.
 */
export class DebianSuites {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Reads what the suites offer; refuses where there is no Debian archive, or it is out of reach. */
  static async open(directory: string, signal: AbortSignal): Promise<DebianSuites> {
    const { uri, suite: own } = await ownArchive(signal);
    for (const part of ['state/lists/partial', 'cache/archives/partial']) {
      mkdirSync(join(directory, part), { recursive: true });
    }
    const lines = suites
      .filter((suite) => suite !== own)
      .map((suite) => `deb [signed-by=${keyring}] ${uri} ${suite} main\n`);
    writeFileSync(join(directory, 'sources.list'), lines.join(''));
    writeFileSync(join(directory, 'status'), '');
    const archive = new DebianSuites(directory);
    // Not every archive has every suite: those that it has are read all the same.
    const failure = await archive
      .#apt('apt-get', ['update'], signal)
      .then(() => 'it is out of reach, as apt-get update will say', messageOf);
    if (!readdirSync(join(directory, 'state/lists')).some((name) => name.includes('_Packages'))) {
      throw new DomainError(
        'unavailable',
        `no other suite of the Debian archive can be read at ${uri}: ${failure}`,
        { reason: 'HAPROXY_VERSIONS_NOT_THERE' },
      );
    }
    return archive;
  }

  /** Which versions of a package there are, each with a suite that has it. */
  async offers(name: string, signal: AbortSignal): Promise<Offer[]> {
    const text = await this.#apt('apt-cache', ['madison', name], signal);
    return text.split('\n').flatMap((line) => {
      const [, version = '', source = ''] = line.split('|').map((part) => part.trim());
      const suite = / ([^ /]+)\/main /.exec(source)?.[1];
      return suite === undefined ? [] : [{ version, suite }];
    });
  }

  /** Unpacks a package, with the libraries that it needs, into a directory. */
  async unpack(
    name: string,
    { version, suite }: Offer,
    root: string,
    signal: AbortSignal,
  ): Promise<void> {
    const archives = join(root, '.archives');
    mkdirSync(join(archives, 'partial'), { recursive: true });
    await this.#apt(
      'apt-get',
      [
        ...['-o', `Dir::Cache::archives=${archives}`, '-t', suite],
        ...['install', '--download-only', '--yes', '--no-install-recommends'],
        `${name}=${version}`,
      ],
      signal,
    );
    const wanted = new RegExp(`^(${name}|lib[^_]*|zlib1g)_.*\\.deb$`);
    for (const file of readdirSync(archives).filter((each) => wanted.test(each))) {
      await run('dpkg-deb', ['--extract', join(archives, file), root], {}, signal);
    }
  }

  async #apt(command: string, args: readonly string[], signal: AbortSignal): Promise<string> {
    const options = {
      'Dir::State': join(this.#directory, 'state'),
      'Dir::State::status': join(this.#directory, 'status'),
      'Dir::Cache': join(this.#directory, 'cache'),
      // Images of containers turn it off, and each command would read all lists anew.
      'Dir::Cache::pkgcache': 'pkgcache.bin',
      'Dir::Etc::sourcelist': join(this.#directory, 'sources.list'),
      'Dir::Etc::sourceparts': '/dev/null',
      'Dir::Etc::preferences': '/dev/null',
      'Dir::Etc::preferencesparts': '/dev/null',
      'Dir::Log': join(this.#directory, 'log'),
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '1',
    };
    const given = Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
    const env = { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' };
    return await run(command, [...given, ...args], { env }, signal);
  }
}

/** Where this machine has its packages from, and which suite that is. */
async function ownArchive(signal: AbortSignal): Promise<{ uri: string; suite: string }> {
  const { ID: system, VERSION_CODENAME: codename = '' } = osRelease();
  if (system !== 'debian' || !existsSync('/usr/bin/apt-get') || !existsSync(keyring)) {
    throw noArchive('this is no Debian with apt-get and debian-archive-keyring');
  }
  const format = '$(COMPONENT) $(RELEASE) $(REPO_URI) $(SUITE)';
  const command = ['indextargets', '--format', format, 'Created-By: Packages'];
  const targets = (await run('apt-get', command, {}, signal)).split('\n');
  for (const target of targets) {
    const [component, release, uri = '', suite = ''] = target.split(' ');
    // Until apt has read the archive once it does not know the suite's other name.
    if (component === 'main' && (release === codename || suite === codename)) {
      return { uri, suite };
    }
  }
  throw noArchive(`apt has no source with "${codename} main"`);
}

function osRelease(): Record<string, string> {
  const file = '/etc/os-release';
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  return Object.fromEntries(
    text.split('\n').map((line) => {
      const equals = line.indexOf('=');
      return [line.slice(0, equals), line.slice(equals + 1).replaceAll('"', '')];
    }),
  );
}

function noArchive(why: string): DomainError {
  return new DomainError(
    'precondition',
    `other versions of HAProxy come from the Debian archive, and ${why}; give one by ` +
      'FAIRLEAD_TEST_HAPROXY=/path/to/haproxy',
    { reason: 'HAPROXY_VERSIONS_NOT_THERE' },
  );
}
