import { beforeEach, describe, expect, test } from 'vitest';
import { afterCheck, LivenessWatch, noHistory } from '../../../../agent/node/liveness-watch.ts';
import type { Liveness } from '../../../../shared/health-check.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { anEngineContainer } from './builders.ts';

function aLiveness(changes: Partial<Liveness> = {}): Liveness {
  return {
    check: { kind: 'tcp', port: 0 },
    intervalMs: 1_000,
    timeoutMs: 500,
    failureThreshold: 3,
    successThreshold: 1,
    startPeriodMs: 0,
    ...changes,
  };
}

describe('the history of liveness checks', () => {
  const after = (results: readonly boolean[], spec: Liveness, isStarting = false) =>
    results.reduce(
      (history, succeeded) => afterCheck(history, { succeeded, isStarting }, spec),
      noHistory,
    ).failuresInARow;

  test('counts failures in a row', () => {
    expect(after([false, false], aLiveness())).toBe(2);
    expect(after([false, false, true, false], aLiveness())).toBe(1);
  });

  test('forgets failures only after as many passed checks as are asked for', () => {
    const strict = aLiveness({ successThreshold: 2 });
    expect(after([false, false, true, false], strict)).toBe(3);
    expect(after([false, false, true, true, false], strict)).toBe(1);
  });

  test('does not count while the process starts, until a check passed', () => {
    expect(after([false, false, false], aLiveness(), true)).toBe(0);
    expect(after([false, true, false], aLiveness(), true)).toBe(1);
  });
});

describe('the liveness of a container', () => {
  let clock: FakeClock;
  let watch: LivenessWatch;
  let failure: string;
  let deaths: string[];
  let probes: number;

  beforeEach(() => {
    clock = new FakeClock();
    failure = '';
    deaths = [];
    probes = 0;
    const probe = () => {
      probes++;
      return Promise.resolve(failure);
    };
    const deps = { clock, probe, advertiseAddress: '192.0.2.7' };
    watch = new LivenessWatch(deps, () => deaths.push(watch.message));
  });

  const begun = (agoMs: number) => anEngineContainer({ startedAt: new Date(clock.now() - agoMs) });

  test('ends after as many failed checks as the threshold, once', async () => {
    watch.follow(begun(0), aLiveness());
    await clock.advance(2_000);
    failure = 'refuses';
    await clock.advance(2_000);
    expect(deaths).toEqual([]);
    await clock.advance(1_000);
    expect(deaths).toEqual(['refuses']);
    await clock.advance(60_000);
    expect(deaths).toHaveLength(1);
    expect(watch.sinceMs()).toBe(60_000);
    await watch.stop();
  });

  test('is not judged in the start period, which begins with the process', async () => {
    const spec = aLiveness({ startPeriodMs: 10_000, failureThreshold: 1 });
    failure = 'refuses';
    watch.follow(begun(5_000), spec);
    await clock.advance(4_500);
    expect(deaths).toEqual([]);
    await clock.advance(500);
    expect(deaths).toEqual(['refuses']);
    await watch.stop();
  });

  test.each([6, -6])(
    'is judged from the end of its start period, though the clock is set by %d hours in it',
    async (hours) => {
      const spec = aLiveness({ startPeriodMs: 10_000, failureThreshold: 1 });
      failure = 'refuses';
      watch.follow(begun(5_000), spec);
      clock.setWallClock(hours * 3_600_000);
      await clock.advance(4_500);
      expect(deaths).toEqual([]);
      await clock.advance(500);
      expect(deaths).toEqual(['refuses']);
      await watch.stop();
    },
  );

  test('begins anew with every process', async () => {
    const spec = aLiveness({ failureThreshold: 1 });
    const first = begun(60_000);
    failure = 'refuses';
    watch.follow(first, spec);
    watch.follow(first, { ...spec });
    await clock.advance(1_000);
    expect(watch.message).toBe('refuses');
    failure = '';
    watch.follow(begun(0), spec);
    expect(watch.message).toBe('');
    await clock.advance(10_000);
    expect(deaths).toHaveLength(1);
    await watch.stop();
  });

  test('is not asked of what does not run, or has no check', async () => {
    watch.follow(anEngineContainer({ state: 'paused' }), aLiveness());
    await clock.advance(10_000);
    watch.follow(anEngineContainer(), undefined);
    await clock.advance(10_000);
    expect(probes).toBe(0);
    await watch.stop();
  });
});
