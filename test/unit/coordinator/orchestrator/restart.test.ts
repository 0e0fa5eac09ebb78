import { describe, expect, test } from 'vitest';
import type { RestartPolicy } from '../../../../coordinator/model.ts';
import { recover } from '../../../../coordinator/orchestrator/restart.ts';
import type { ContainerView } from '../../../../coordinator/orchestrator/views.ts';
import { aContainerView } from '../../../support/builders.ts';

const ended = (changes: Partial<ContainerView> = {}) =>
  aContainerView({ phase: 'failed', ready: false, exitCode: 1, sinceMs: 10_000, ...changes });

const by = (restart: RestartPolicy, restartLimit = 0) => ({ restart, restartLimit });

describe('an attempt that failed', () => {
  test.each([
    [1, 10_999, { kind: 'later', atMs: 11_000 }],
    [1, 11_000, { kind: 'now', attempt: 2 }],
    [2, 14_999, { kind: 'later', atMs: 15_000 }],
    [2, 15_000, { kind: 'now', attempt: 3 }],
    [3, 1_000_000, { kind: 'give-up' }],
    [4, 1_000_000, { kind: 'give-up' }],
  ])('number %i at %i ms', (attempt, nowMs, expected) => {
    expect(recover(ended({ attempt }), by('always'), nowMs)).toEqual(expected);
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
