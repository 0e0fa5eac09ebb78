import { describe, expect, test } from 'vitest';
import { reasonsAgainst, requirements } from './lab/requirements.ts';

/**
 * A group of tests that run real engines. Where none can run, the group is reported as skipped with
 * the reason in its name; in CI it fails instead, because there a test that did not run is a hole.
 */
export function describeWithLab(name: string, define: () => void): void {
  const reasons = reasonsAgainst(requirements());
  if (reasons.length === 0) {
    describe(name, define);
  } else if (process.env['CI'] === undefined || process.env['CI'] === '') {
    describe.skip(`${name} (needs a lab: ${reasons.join('; ')})`, define);
  } else {
    describe(name, () => {
      test('has what a lab needs', () => {
        expect(reasons).toEqual([]);
      });
    });
  }
}
