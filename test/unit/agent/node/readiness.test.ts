import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ProbeTarget } from '../../../../agent/node/probe.ts';
import {
  afterProbe,
  beginProbing,
  keepProbing,
  probeTargets,
  untilNextProbe,
  type ProbeHistory,
  type Verdict,
} from '../../../../agent/node/readiness.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { aBinding, aReadinessSpec } from './builders.ts';

const here = '192.0.2.7';

describe('the targets of a readiness check', () => {
  const ports = [
    aBinding({ containerPort: 53, protocol: 'udp', hostPort: 5353 }),
    aBinding({ containerPort: 80, hostPort: 49_153 }),
    aBinding({ containerPort: 9000, hostPort: 49_154, hostAddress: '192.0.2.8', published: false }),
    aBinding({ containerPort: 90, hostPort: 49_155, hostAddress: '::' }),
  ];

  test('are all TCP ports, at the address that proxies use', () => {
    expect(probeTargets(aReadinessSpec(), ports, here)).toEqual([
      { kind: 'tcp', host: here, port: 49_153 },
      { kind: 'tcp', host: '192.0.2.8', port: 49_154 },
      { kind: 'tcp', host: here, port: 49_155 },
    ]);
  });

  test('are none without TCP ports, or without a check', () => {
    expect(probeTargets(aReadinessSpec(), ports.slice(0, 1), here)).toEqual([]);
    expect(probeTargets(aReadinessSpec({ check: { kind: 'none' } }), ports, here)).toEqual([]);
  });

  test.each([
    [0, 49_153],
    [9000, 49_154],
  ])('of HTTP on port %i is one', (port, hostPort) => {
    const spec = aReadinessSpec({ check: { kind: 'http', path: '/healthz?a=1', port } });
    const [target] = probeTargets(spec, ports, here) as ProbeTarget[];
    expect(target).toMatchObject({ kind: 'http', port: hostPort, path: '/healthz?a=1' });
  });

  test('say what is wrong when there is no such port', () => {
    const check = (port: number) => aReadinessSpec({ check: { kind: 'http', path: '/', port } });
    expect(probeTargets(check(81), ports, here)).toContain('asks port 81');
    expect(probeTargets(check(53), ports, here)).toContain('asks port 53');
    expect(probeTargets(check(0), [], here)).toContain('needs a TCP port');
  });
});

describe('the history of checks', () => {
  const spec = aReadinessSpec({ intervalMs: 1_000, failureThreshold: 3 });
  const after = (isNew: boolean, results: readonly boolean[]) =>
    results.reduce<ProbeHistory>(
      (history, succeeded) => afterProbe(history, succeeded, spec),
      beginProbing(isNew),
    );

  test.each<[boolean, boolean[], ProbeHistory['state']]>([
    [true, [], 'never-ready'],
    [true, [false, false, false, false], 'never-ready'],
    [true, [false, true], 'ready'],
    [true, [true, false, false], 'ready'],
    [true, [true, false, false, true, false, false], 'ready'],
    [true, [true, false, false, false], 'not-ready'],
    [true, [true, false, false, false, true], 'ready'],
    [false, [], 'unknown'],
    [false, [false, false], 'unknown'],
    [false, [false, false, false], 'not-ready'],
    [false, [true], 'ready'],
  ])('of a process that is new: %s, after %j is %s', (isNew, results, state) => {
    expect(after(isNew, results).state).toBe(state);
  });

  test('is checked at a growing distance until it is ready, then at the interval', () => {
    const delays = Array.from({ length: 9 }, (_, count) =>
      Math.round(after(true, Array<boolean>(count + 1).fill(false)).delayMs),
    );
    expect(delays).toEqual([25, 38, 56, 84, 127, 190, 250, 250, 250]);
    expect(after(true, [false, true]).delayMs).toBe(1_000);
    expect(after(false, [false]).delayMs).toBe(1_000);
  });

  test('has the next one soon after a failure, however long the interval is', () => {
    const rare = aReadinessSpec({ intervalMs: 60_000, failureThreshold: 2 });
    const doubted = afterProbe(afterProbe(beginProbing(true), true, rare), false, rare);
    expect(doubted).toMatchObject({ state: 'ready', delayMs: 1_000 });
    expect(afterProbe(doubted, false, rare)).toMatchObject({ state: 'not-ready', delayMs: 1_000 });
  });

  test('of processes that are ready come due together', () => {
    const ready = afterProbe(beginProbing(true), true, aReadinessSpec({ intervalMs: 5_000 }));
    const due = [10_000.5, 12_345.25, 14_999].map((nowMs) => nowMs + untilNextProbe(ready, nowMs));
    expect(due).toEqual([15_000, 15_000, 15_000]);
    expect(untilNextProbe(ready, 15_000)).toBe(5_000);
  });

  test('never waits longer than the interval', () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.array(fc.boolean()),
        fc.integer({ min: 1, max: 5_000 }),
        (isNew, results, intervalMs) => {
          const hasty = aReadinessSpec({ intervalMs });
          let history = beginProbing(isNew);
          for (const succeeded of results) {
            history = afterProbe(history, succeeded, hasty);
            expect(history.delayMs).toBeLessThanOrEqual(intervalMs);
            const waitMs = untilNextProbe(history, 1_234_567);
            expect(waitMs).toBeGreaterThan(0);
            expect(waitMs).toBeLessThanOrEqual(intervalMs);
            if (succeeded) expect(history.state).toBe('ready');
          }
        },
      ),
    );
  });
});

describe('probing', () => {
  const target: ProbeTarget = { kind: 'tcp', host: here, port: 1 };
  const spec = aReadinessSpec({ intervalMs: 1_000, failureThreshold: 2 });

  /** Probes against answers by time; gives the verdicts with theirs. */
  async function verdictsOf(
    failureAt: (ms: number, target: ProbeTarget) => string,
    forMs: number,
    options: { isNew?: boolean; targets?: readonly ProbeTarget[] | string } = {},
  ): Promise<[number, Verdict][]> {
    const clock = new FakeClock();
    const verdicts: [number, Verdict][] = [];
    const stop = new AbortController();
    const probing = keepProbing(
      { spec, targets: [target], isNew: true, ...options },
      {
        clock,
        probe: (asked) => Promise.resolve(failureAt(clock.monotonic(), asked)),
        onVerdict: (verdict) => verdicts.push([Math.round(clock.monotonic()), verdict]),
      },
      stop.signal,
    );
    await clock.advance(forMs);
    stop.abort();
    await probing;
    return verdicts;
  }

  test('checks at once, and tells as soon as the process is ready', async () => {
    expect(await verdictsOf(() => '', 5_000)).toEqual([[0, { ready: true, message: '' }]]);
    const slow = await verdictsOf((ms) => (ms < 60 ? 'refuses' : ''), 5_000);
    expect(slow).toEqual([[63, { ready: true, message: '' }]]);
  });

  test('says why a process does not become ready only when that lasts', async () => {
    const verdicts = await verdictsOf((ms) => (ms < 3_000 ? 'refuses' : ''), 5_000);
    expect(verdicts.map(([, verdict]) => verdict)).toEqual([
      { ready: false, message: 'refuses' },
      { ready: true, message: '' },
    ]);
    expect(verdicts[0]?.[0]).toBeGreaterThan(250);
  });

  test('needs as many failures in a row as the threshold to take readiness away', async () => {
    const once = await verdictsOf((ms) => (ms === 2_000 ? 'refuses' : ''), 9_000);
    expect(once).toHaveLength(1);
    const twice = await verdictsOf((ms) => (ms === 2_000 || ms === 3_000 ? 'refuses' : ''), 9_000);
    expect(twice).toEqual([
      [0, { ready: true, message: '' }],
      [3_000, { ready: false, message: 'refuses' }],
      [4_000, { ready: true, message: '' }],
    ]);
  });

  test('does not judge a process that was there before by less than the threshold', async () => {
    const failing = await verdictsOf(() => 'refuses', 1_500, { isNew: false });
    expect(failing).toEqual([[1_000, { ready: false, message: 'refuses' }]]);
    expect(await verdictsOf(() => '', 100, { isNew: false })).toEqual([
      [0, { ready: true, message: '' }],
    ]);
  });

  test('wants every target to answer', async () => {
    const targets = [target, { ...target, port: 2 }];
    const verdicts = await verdictsOf(
      (ms, { port }) => (port === 2 && ms < 1_000 ? 'port 2 refuses' : ''),
      3_000,
      { targets },
    );
    expect(verdicts.map(([, verdict]) => verdict.message)).toEqual(['port 2 refuses', '']);
  });

  test('takes a process with nothing to check for ready, and one that cannot be checked for not', async () => {
    expect(await verdictsOf(() => 'never asked', 5_000, { targets: [] })).toEqual([
      [0, { ready: true, message: '' }],
    ]);
    expect(await verdictsOf(() => '', 5_000, { targets: 'has no such port' })).toEqual([
      [0, { ready: false, message: 'has no such port' }],
    ]);
  });
});
