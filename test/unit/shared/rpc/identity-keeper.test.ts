import { beforeEach, describe, expect, test } from 'vitest';
import type { IssuedCertificate } from '../../../../shared/gen/fairlead/v1/certificate.ts';
import { createLogger } from '../../../../shared/logger.ts';
import {
  IdentityKeeper,
  renewalMs,
  type Identity,
  type IdentityKeeperDeps,
} from '../../../../shared/rpc/identity-keeper.ts';
import { makePrivateKey } from '../../../../shared/rpc/signing-request.ts';
import { makeAuthorityCertificate } from '../../../../coordinator/identity/certificates.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

/** Half of a certificate's life here. */
const renewAfterMs = 3_000;
const first = 'certificate 0';

/** Each certificate is this one, with a line before it that tells them apart. */
const pem = await makeAuthorityCertificate(makePrivateKey(), {
  ...{ notBeforeMs: 0, notAfterMs: Date.UTC(2049, 0, 1) },
});

const nameOf = (certificatePem: string) => certificatePem.split('\n', 1)[0] ?? '';

describe('the next certificate is asked for', () => {
  const dayMs = 86_400_000;
  const life = { renewAfterMs: 15 * dayMs, notAfterMs: 130 * dayMs };
  test.each([
    ['at half of its life', 100, 0, 115],
    ['up to a third of that half later', 100, 1, 119.5],
    ['by its end as well where the clock of the host is ahead', 112, 1, 119.5],
    ['not all the time for that', 125, 0, 126.5],
    ['as soon by a clock that is behind', 90, 0, 105],
  ])('%s', (_what, nowDays, fraction, dueDays) => {
    const dueMs = renewalMs({ ...life, nowMs: nowDays * dayMs }, fraction);
    expect(dueMs / dayMs).toBeCloseTo(dueDays);
  });
});

describe('the identity of an agent', () => {
  let clock: FakeClock;
  let asked: number;
  let kept: string[];
  let isDiskFull: boolean;
  let isCoordinatorAway: boolean;
  let keeper: IdentityKeeper;
  let isRefused: boolean;

  const issue = (): Promise<IssuedCertificate> => {
    asked++;
    if (isCoordinatorAway) return Promise.reject(new Error('nobody answers'));
    const certificatePem = `certificate ${asked}\n${pem}`;
    return Promise.resolve({ certificatePem, renewAfterMs, trust: undefined });
  };

  const deps = (): IdentityKeeperDeps => ({
    clock,
    random: { fraction: () => 0, id: () => '', secret: () => '' },
    log: createLogger({ level: 'silent', process: 'test' }),
    ask: issue,
    keep: ({ certificatePem }) => {
      if (isDiskFull) return Promise.reject(new Error('no space'));
      kept.push(nameOf(certificatePem));
      return Promise.resolve();
    },
    // A session is opened with what is current, and stands at once.
    onRenewed: () => {
      const { current } = keeper;
      if (isRefused) keeper.refused(current);
      else keeper.accepted(current);
    },
  });

  beforeEach(() => {
    clock = new FakeClock();
    [asked, kept] = [0, []];
    [isDiskFull, isCoordinatorAway, isRefused] = [false, false, false];
    const identity: Identity = {
      ...{ certificatePem: `${first}\n${pem}`, privateKeyPem: '', trustPem: '' },
      renewAtMs: clock.now() + renewAfterMs,
    };
    keeper = new IdentityKeeper(deps(), identity);
  });

  async function runFor(ms: number): Promise<void> {
    const stop = new AbortController();
    const running = keeper.run(stop.signal);
    await clock.advance(ms);
    stop.abort();
    await running;
  }

  test('is renewed in time and written down once a session stands on it', async () => {
    await runFor(3.5 * renewAfterMs);
    expect(kept).toEqual(['certificate 1', 'certificate 2', 'certificate 3']);
    expect(nameOf(keeper.current.certificatePem)).toBe('certificate 3');
  });

  test('is renewed in time all the same for as long as it cannot be written down', async () => {
    isDiskFull = true;
    await runFor(40.5 * renewAfterMs);
    expect(asked).toBe(40);
    expect(kept).toEqual([]);
    isDiskFull = false;
    await runFor(2 * renewAfterMs);
    expect(kept).toEqual(['certificate 40', 'certificate 41', 'certificate 42']);
  });

  test('is asked for ever less often while the coordinator is away, and at least once a minute', async () => {
    isCoordinatorAway = true;
    await runFor(renewAfterMs + 60_000);
    expect(asked).toBeGreaterThan(6);
    const before = asked;
    await runFor(600_000);
    expect(asked - before).toBeGreaterThanOrEqual(10);
    expect(asked - before).toBeLessThanOrEqual(20);
    isCoordinatorAway = false;
    await runFor(60_000);
    expect(nameOf(keeper.current.certificatePem)).not.toBe(first);
  });

  test('stays the one before when the next is refused, and another is asked for', async () => {
    isRefused = true;
    await runFor(renewAfterMs + 100);
    expect([asked, nameOf(keeper.current.certificatePem)]).toEqual([1, first]);
    await runFor(60_000);
    expect(asked).toBeGreaterThan(3);
    isRefused = false;
    await runFor(60_000);
    expect(kept.at(-1)).toBe(nameOf(keeper.current.certificatePem));
    expect(nameOf(keeper.current.certificatePem)).not.toBe(first);
  });
});
