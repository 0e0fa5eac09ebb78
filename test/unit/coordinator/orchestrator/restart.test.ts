import { describe, expect, test } from 'vitest';
import type { RestartPolicy } from '../../../../coordinator/model.ts';
import { recover } from '../../../../coordinator/orchestrator/restart.ts';
import type { ContainerView } from '../../../../coordinator/orchestrator/views.ts';
import { aContainerView, aRollout, aServiceView, nodeId } from '../../../support/builders.ts';

const ended = (changes: Partial<ContainerView> = {}) =>
  aContainerView({ phase: 'failed', ready: false, exitCode: 1, sinceMs: 10_000, ...changes });

const by = (restart: RestartPolicy, restartLimit = 0) => aServiceView({ restart, restartLimit });

describe('an attempt that failed', () => {
  test.each([
    [1, 10_999, { kind: 'later', atMs: 11_000 }],
    [1, 11_000, { kind: 'now', attempt: 2 }],
    [2, 14_999, { kind: 'later', atMs: 15_000 }],
    [2, 15_000, { kind: 'now', attempt: 3 }],
    [3, 1_000_000, { kind: 'give-up' }],
    [4, 1_000_000, { kind: 'give-up' }],
  ])('number %i at %i ms', (attempt, nowMs, expected) => {
    expect(recover(ended({ attempt, arrived: false }), by('always'), nowMs)).toEqual(expected);
  });

  test('is followed at once if it had served', () => {
    expect(recover(ended(), by('always'), 10_000)).toEqual({ kind: 'now', attempt: 2 });
    const again = ended({ attempt: 2 });
    expect(recover(again, by('always'), 10_000)).toEqual({ kind: 'later', atMs: 15_000 });
  });
});

describe('what a rollout tries', () => {
  const service = aServiceView({
    revision: 2,
    base: { revision: 1, alike: [] },
    rollout: aRollout(),
  });
  const tried = (changes: Partial<ContainerView> = {}) =>
    ended({ revision: 2, arrived: false, ...changes });

  test('is tried again at once, and a third time soon', () => {
    expect(recover(tried(), service, 10_000)).toEqual({ kind: 'now', attempt: 2 });
    const second = tried({ attempt: 2 });
    expect(recover(second, service, 10_000)).toEqual({ kind: 'later', atMs: 11_000 });
    expect(recover(tried({ attempt: 3 }), service, 10_000)).toEqual({ kind: 'give-up' });
  });

  test.each<[string, Partial<typeof service>]>([
    ['there is nothing to go back to', { base: null }],
    ['that is the same', { alike: [1] }],
    ['it is what the rollout goes back to', { rollout: aRollout({ state: 'rolling-back' }) }],
    ['there is no rollout', { rollout: null }],
  ])('not so if %s', (_, change) => {
    const wait = { kind: 'later', atMs: 11_000 };
    expect(recover(tried(), { ...service, ...change }, 10_000)).toEqual(wait);
  });

  test('is given up when the engines of two nodes refused it', () => {
    const at = (node: string, revision = 2) => ({
      ...service,
      failures: [{ nodeId: nodeId(node), revision, count: 1, lastAtMs: 0 }],
    });
    const refused = tried({ attempt: 2, everRan: false, nodeId: nodeId('node-2') });
    expect(recover(refused, at('node-1'), 10_000)).toEqual({ kind: 'give-up' });
    expect(recover(refused, at('node-2'), 10_000).kind).toBe('later');
    expect(recover(refused, at('node-1', 1), 10_000).kind).toBe('later');
    expect(recover({ ...refused, everRan: true }, at('node-1'), 10_000).kind).toBe('later');
    expect(recover({ ...refused, attempt: 1 }, at('node-1'), 10_000).kind).toBe('now');
  });

  describe('and whose process ends again and again', () => {
    const looping = (changes: Partial<ContainerView> = {}) =>
      tried({ phase: 'starting', restarts: 2, ...changes });

    test('is tried elsewhere after its third end, and then given up', () => {
      expect(recover(looping(), service, 10_000)).toEqual({ kind: 'now', attempt: 2 });
      expect(recover(looping({ attempt: 3 }), service, 10_000)).toEqual({ kind: 'give-up' });
      const ran = looping({ phase: 'running', exitCode: null, restarts: 3 });
      expect(recover(ran, service, 10_000)).toEqual({ kind: 'now', attempt: 2 });
    });

    test('is given up at once with stop-first, as nothing serves meanwhile', () => {
      const stopFirst = { ...service, order: 'stop-first' as const };
      expect(recover(looping(), stopFirst, 10_000)).toEqual({ kind: 'give-up' });
    });

    test.each<[string, Partial<ContainerView>]>([
      ['that has ended twice', { restarts: 1 }],
      ['that runs for the third time', { phase: 'running', exitCode: null }],
      ['that is ready', { phase: 'running', ready: true, restarts: 9 }],
      ['that has served', { arrived: true }],
      ['that is not heard of', { away: true }],
      ['of the revision before', { revision: 1 }],
    ])('but not one %s', (_, change) => {
      expect(recover(looping(change), service, 10_000)).toEqual({ kind: 'leave' });
    });

    test('nor where there is nothing to go back to: that the engine goes on with', () => {
      expect(recover(looping(), { ...service, base: null }, 10_000)).toEqual({ kind: 'leave' });
    });
  });
});

describe('a container that lived for a minute', () => {
  test('T3: is followed at once, and counting starts anew', () => {
    const proven = ended({ attempt: 3, createdAtMs: 0, sinceMs: 60_000 });
    expect(recover(proven, by('always'), 60_000)).toEqual({ kind: 'now', attempt: 1 });
    expect(recover({ ...proven, sinceMs: 59_999 }, by('always'), 1_000_000)).toEqual({
      kind: 'give-up',
    });
  });

  test('is not one that only waited so long for its process', () => {
    const late = ended({ attempt: 3, sinceMs: 600_000, everRan: false });
    expect(recover(late, by('always'), 1_000_000)).toEqual({ kind: 'give-up' });
  });
});

describe('the restart policy', () => {
  test.each([
    ['never', 0, 'leave'],
    ['never', 1, 'leave'],
    ['on-failure', 0, 'leave'],
    ['on-failure', 1, 'now'],
    ['on-failure', null, 'now'],
    ['always', 0, 'now'],
    ['always', 1, 'now'],
  ] as const)('T1, T6: %s after exit status %s: %s', (policy, exitCode, kind) => {
    const container = ended({ phase: 'stopped', exitCode });
    expect(recover(container, by(policy), 1_000_000).kind).toBe(kind);
  });

  test('with a limit is the last word on a process that the engine gave up', () => {
    const failed = ended({ phase: 'failed', exitCode: 1, attempt: 1 });
    expect(recover(failed, by('on-failure', 3), 1_000_000)).toEqual({ kind: 'give-up' });
    const never = ended({ everRan: false, exitCode: null, attempt: 1 });
    expect(recover(never, by('on-failure', 3), 1_000_000).kind).toBe('now');
    const done = ended({ phase: 'stopped', exitCode: 0 });
    expect(recover(done, by('on-failure', 3), 1_000_000).kind).toBe('leave');
  });

  test('says nothing of a process that never was', () => {
    expect(recover(ended({ everRan: false, exitCode: null }), by('never'), 1_000_000).kind).toBe(
      'now',
    );
  });
});

test.each(['pending', 'pulling', 'starting', 'running', 'stopping'] as const)(
  'what is %s is left alone',
  (phase) => {
    expect(recover(ended({ phase, attempt: 9 }), by('always'), 1_000_000)).toEqual({
      kind: 'leave',
    });
  },
);
