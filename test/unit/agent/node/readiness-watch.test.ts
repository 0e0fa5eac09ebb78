import { beforeEach, describe, expect, test } from 'vitest';
import { ReadinessWatch } from '../../../../agent/node/readiness-watch.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { aReadinessSpec, anEngineContainer } from './builders.ts';

describe('the readiness of a container', () => {
  const spec = aReadinessSpec({ intervalMs: 1_000, failureThreshold: 3 });
  const first = anEngineContainer();
  const second = anEngineContainer({ startedAt: new Date('2030-01-01T00:10:00Z') });
  let clock: FakeClock;
  let watch: ReadinessWatch;
  let failure: string;
  let changes: number;
  let probes: number;

  beforeEach(() => {
    clock = new FakeClock();
    failure = '';
    changes = 0;
    probes = 0;
    const probe = () => {
      probes++;
      return Promise.resolve(failure);
    };
    watch = new ReadinessWatch({ clock, probe }, '192.0.2.7', () => changes++);
  });

  test('of a process that was there before the agent is unknown until a check is sure', async () => {
    watch.follow(first, undefined);
    expect(watch.state).toBe('unknown');
    failure = 'refuses';
    watch.follow(first, spec);
    await clock.advance(1_900);
    expect(watch.state).toBe('unknown');
    await clock.advance(200);
    expect({ state: watch.state, message: watch.message }).toEqual({
      state: 'not-ready',
      message: 'refuses',
    });
    await watch.stop();
  });

  test('of every later process is not ready until a check says so', async () => {
    watch.follow(first, spec);
    await clock.settle();
    expect(watch.state).toBe('ready');
    watch.follow(second, spec);
    expect(watch.state).toBe('not-ready');
    await clock.settle();
    expect(watch.state).toBe('ready');
    await watch.stop();
  });

  test('ends with the process, whatever a check under way says', async () => {
    watch.follow(first, spec);
    watch.follow(anEngineContainer({ state: 'restarting' }), spec);
    await clock.settle();
    expect({ state: watch.state, changes }).toEqual({ state: 'not-ready', changes: 0 });
    await watch.stop();
  });

  test('is not lost when the order is repeated, nor judged anew by a single failure', async () => {
    watch.follow(undefined, spec);
    watch.follow(first, spec);
    await clock.settle();
    failure = 'refuses';
    watch.follow(first, aReadinessSpec({ intervalMs: 1_000, failureThreshold: 3 }));
    expect(probes).toBe(1);
    watch.follow(first, undefined);
    watch.follow(first, spec);
    await clock.advance(1_500);
    expect(watch.state).toBe('ready');
    await clock.advance(1_500);
    expect(watch.state).toBe('not-ready');
    await watch.stop();
  });

  test('goes by the new check when the check changes', async () => {
    failure = 'refuses';
    watch.follow(undefined, spec);
    watch.follow(first, spec);
    await clock.settle();
    expect(watch.state).toBe('not-ready');
    watch.follow(first, aReadinessSpec({ check: { kind: 'none' } }));
    expect(watch.state).toBe('ready');
    await watch.stop();
  });
});
