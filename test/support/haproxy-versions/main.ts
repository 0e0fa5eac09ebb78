import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { DomainError } from '../../../shared/errors.ts';
import type { HaproxyVersion } from './cache.ts';
import { fetchVersions, missingForVersions } from './fetch.ts';

const usage = `Usage: tsx test/support/haproxy-versions/main.ts COMMAND

  fetch                 bring every other version of HAProxy that the Debian archive has into ~/.cache
  test [-- ARGUMENT...] the same, then all tests of the proxy agent with each of them; arguments go to vitest
`;

const root = fileURLToPath(new URL('../../..', import.meta.url));
const log = (line: string): void => {
  console.log(line);
};

async function main([command, ...rest]: readonly string[]): Promise<number> {
  const { signal } = new AbortController();
  if (command !== 'fetch' && command !== 'test') {
    console.error(usage);
    return 2;
  }
  const [missing] = missingForVersions();
  if (missing !== undefined) {
    throw new DomainError(
      'precondition',
      `no ${missing.command}, which is in the package ${missing.debianPackage}: ${missing.why}`,
      { reason: 'HAPROXY_VERSIONS_NOT_THERE' },
    );
  }
  const versions = await fetchVersions({ log }, signal);
  for (const { version, program } of versions) log(`${version}  ${program}`);
  return command === 'fetch' ? 0 : await testAll(versions, rest.slice(rest[0] === '--' ? 1 : 0));
}

async function testAll(versions: readonly HaproxyVersion[], rest: readonly string[]) {
  const failed: string[] = [];
  for (const { version, program } of versions) {
    log(`\nHAProxy ${version}`);
    const child = spawn(
      'npx',
      [
        ...['--no-install', 'vitest', 'run', '--project', 'integration'],
        ...(rest.length > 0 ? rest : ['test/integration/agent/proxy']),
      ],
      { cwd: root, stdio: 'inherit', env: { ...process.env, FAIRLEAD_TEST_HAPROXY: program } },
    );
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) failed.push(version);
  }
  const all = versions.map(({ version }) => version).join(', ');
  log(failed.length === 0 ? `all passed with ${all}` : `failed with ${failed.join(', ')}`);
  return failed.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof DomainError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
