import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ProbeTarget } from '../../../../agent/node/probe.ts';
import { probeTargets } from '../../../../agent/node/probe-targets.ts';
import {
  afterProbe,
  beginProbing,
  keepProbing,
  untilNextProbe,
  type ProbeHistory,
  type ProbeResult,
  type Verdict,
} from '../../../../agent/node/readiness.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import type { PortBinding } from '../../../../agent/node/model.ts';
import type { HttpCheck, Readiness } from '../../../../shared/health-check.ts';
import { aBinding, aReadinessSpec } from './builders.ts';

const here = '192.0.2.7';

describe('the targets of a readiness check', () => {
  const ports = [
    aBinding({ containerPort: 53, protocol: 'udp', hostPort: 5353 }),
    aBinding({ containerPort: 80, hostPort: 49_153 }),
    aBinding({ containerPort: 9000, hostPort: 49_154, hostAddress: '192.0.2.8', published: false }),
    aBinding({ containerPort: 90, hostPort: 49_155, hostAddress: '::' }),
  ];
  const http: HttpCheck = {
    kind: 'http',
    ...{ path: '/', port: 0, method: 'GET', host: '' },
    ...{ headers: {}, statuses: [] },
  };
  const targetsOf = (check: Readiness['check'], bound: readonly PortBinding[] = ports) =>
    probeTargets(check, { engineId: 'e', ports: bound }, here);

  test('are all TCP ports, at the address that proxies use', () => {
    expect(targetsOf({ kind: 'tcp', port: 0 })).toEqual([
      { kind: 'tcp', host: here, port: 49_153 },
      { kind: 'tcp', host: '192.0.2.8', port: 49_154 },
      { kind: 'tcp', host: here, port: 49_155 },
    ]);
  });

  test('are none without TCP ports, or without a check', () => {
    expect(targetsOf({ kind: 'tcp', port: 0 }, ports.slice(0, 1))).toEqual([]);
    expect(targetsOf({ kind: 'none' })).toEqual([]);
  });

  test.each([
    [0, 49_153],
    [9000, 49_154],
  ])('of HTTP on port %i is one', (port, hostPort) => {
    const [target] = targetsOf({ ...http, path: '/healthz?a=1', port }) as ProbeTarget[];
    expect(target).toMatchObject({ kind: 'http', port: hostPort, path: '/healthz?a=1' });
  });

  test('have all that a request needs', () => {
    const details = { method: 'POST', host: 'web', headers: { a: 'b' }, statuses: [418] };
    expect(targetsOf({ ...http, ...details })).toEqual([
      {
        ...{ kind: 'http', host: here, port: 49_153, path: '/', method: 'POST', statuses: [418] },
        headers: { a: 'b', host: 'web' },
      },
    ]);
  });

  test('are the container for a command, and the port for gRPC', () => {
    const command = ['true'];
    expect(targetsOf({ kind: 'command', command })).toEqual([
      { kind: 'command', engineId: 'e', command },
    ]);
    expect(targetsOf({ kind: 'grpc', port: 9000, service: 'web' })).toEqual([
      { kind: 'grpc', host: '192.0.2.8', port: 49_154, service: 'web' },
    ]);
    expect(targetsOf({ kind: 'tcp', port: 90 })).toEqual([
      { kind: 'tcp', host: here, port: 49_155 },
    ]);
  });

  test('say what is wrong when there is no such port', () => {
    expect(targetsOf({ ...http, port: 81 })).toContain('asks port 81');
    expect(targetsOf({ ...http, port: 53 })).toContain('asks port 53');
    expect(targetsOf(http, [])).toContain('needs a TCP port');
  });
});

describe('the history of checks', () => {
  const passed = { succeeded: true, isStarting: false };
  const failed = { succeeded: false, isStarting: false };
  const spec = aReadinessSpec({ intervalMs: 1_000, failureThreshold: 3 });
  const after = (isNew: boolean, results: readonly boolean[]) =>
    results.reduce<ProbeHistory>(
      (history, succeeded) => afterProbe(history, { succeeded, isStarting: false }, spec),
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
    const doubted = afterProbe(afterProbe(beginProbing(true), passed, rare), failed, rare);
    expect(doubted).toMatchObject({ state: 'ready', delayMs: 1_000 });
    expect(afterProbe(doubted, failed, rare)).toMatchObject({ state: 'not-ready', delayMs: 1_000 });
  });

  test('needs as many passed checks in a row as are asked for', () => {
    const strict = aReadinessSpec({ successThreshold: 2, failureThreshold: 1 });
    const states = [passed, failed, passed, passed, failed, passed, passed].map(
      (
        (history) => (result: ProbeResult) =>
          (history = afterProbe(history, result, strict)).state
      )(beginProbing(true)),
    );
    expect(states).toEqual([
      ...['never-ready', 'never-ready', 'never-ready', 'ready'],
      ...['not-ready', 'not-ready', 'ready'],
    ]);
  });

  test('takes nothing back from a process that is starting', () => {
    const once = aReadinessSpec({ failureThreshold: 1 });
    const ready = afterProbe(beginProbing(true), passed, once);
    const starting = { succeeded: false, isStarting: true };
    expect(afterProbe(afterProbe(ready, starting, once), starting, once).state).toBe('ready');
    expect(afterProbe(afterProbe(ready, starting, once), failed, once).state).toBe('not-ready');
  });

  test('of processes that are ready come due together', () => {
    const ready = afterProbe(beginProbing(true), passed, aReadinessSpec({ intervalMs: 5_000 }));
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
            history = afterProbe(history, { succeeded, isStarting: false }, hasty);
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
      { spec, targets: [target], isNew: true, startedAt: undefined, ...options },
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
      (ms, asked) => ('port' in asked && asked.port === 2 && ms < 1_000 ? 'port 2 refuses' : ''),
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
