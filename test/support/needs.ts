import { describe, expect, test } from 'vitest';
import { missingForClocks } from './false-clock.ts';
import { cachedVersions } from './haproxy-versions/cache.ts';
import { reasonsAgainstMachines } from './machine/requirements.ts';
import { networkRequirements, reasonsAgainst, requirements } from './lab/requirements.ts';
import { reasonsAgainstMounts } from './small-disk.ts';

/**
 * A group of tests that run real engines. Where none can run, the group is reported as skipped with
 * the reason in its name; in CI it fails instead, because there a test that did not run is a hole.
 */
export function describeWithLab(name: string, define: () => void): void {
  describeUnless(reasonsAgainst(requirements()), name, define);
}

/** The same for tests whose hosts have a network of their own, and no engine. */
export function describeWithNetworks(name: string, define: () => void): void {
  describeUnless(reasonsAgainst(networkRequirements()), name, define);
}

/** The same for tests that besides boot machines of their own, and install packages on them. */
export function describeWithMachines(name: string, define: () => void): void {
  const reasons = [...reasonsAgainst(requirements()), ...reasonsAgainstMachines()];
  describeUnless(reasons, name, define);
}

/** The same for tests whose hosts differ in what time they take it to be. */
export function describeWithClocks(name: string, define: () => void): void {
  const { missing, unsuitable } = requirements();
  const reasons = reasonsAgainst({ missing: [...missing, ...missingForClocks()], unsuitable });
  describeUnless(reasons, name, define);
}

/** The same for tests that fill disks. */
export function describeWithMounts(name: string, define: () => void): void {
  describeUnless(reasonsAgainstMounts(), name, define);
}

/** The same for tests of every HAProxy that was fetched beside that of the system. */
export function describeOtherVersions(name: string, define: (program: string) => void): void {
  const versions = cachedVersions();
  for (const { version, program } of versions) {
    describe(`${name} ${version}`, () => {
      define(program);
    });
  }
  if (versions.length > 0) return;
  const fetching = 'node --import tsx test/support/haproxy-versions/main.ts fetch';
  describeUnless([`no other version was fetched: ${fetching}`], name, () => {
    define('haproxy');
  });
}

function describeUnless(reasons: readonly string[], name: string, define: () => void): void {
  if (reasons.length === 0) {
    describe(name, define);
  } else if (process.env['CI'] === undefined || process.env['CI'] === '') {
    describe.skip(`${name} (needs what is not here: ${reasons.join('; ')})`, define);
  } else {
    describe(name, () => {
      test('has what it needs', () => {
        expect(reasons).toEqual([]);
      });
    });
  }
}
