import { describe, expect, test } from 'vitest';
import { progressOf, type Progress } from '../../../../coordinator/orchestrator/progress.ts';
import type { ContainerView, ServiceView } from '../../../../coordinator/orchestrator/views.ts';
import {
  aContainerView,
  aRetirement,
  aRollout,
  aServiceView,
  nodeId,
} from '../../../support/builders.ts';

function progress(
  service: Partial<ServiceView>,
  containers: readonly ContainerView[],
  { nowMs = 0, unplaceable = {} } = {},
): Progress {
  return progressOf(aServiceView(service), containers, new Map(Object.entries(unplaceable)), nowMs);
}

const done: Progress = { kind: 'done' };
const waiting = (words: string): Progress => ({
  kind: 'working',
  waitingFor: `waiting for ${words}`,
});
const stuck = (reason: string): Progress => ({ kind: 'stuck', reason });

const young = { ready: false, admitted: false, arrived: false } as const;
const leaving = { wanted: 'draining', retirement: aRetirement() } as const;

describe('a started service', () => {
  test.each<[string, Partial<ServiceView>, readonly ContainerView[], Progress]>([
    ['is done with all its containers', {}, [aContainerView()], done],
    ['is done with none wanted', { replicas: 0 }, [], done],
    [
      'waits for what is not made yet',
      { replicas: 2 },
      [aContainerView()],
      waiting('1 containers to be created'),
    ],
    [
      'waits for what is pulled, in its words',
      {},
      [aContainerView({ ...young, phase: 'pulling', message: '3 of 5 layers' })],
      waiting('web-1, which is pulling (3 of 5 layers)'),
    ],
    ['waits for readiness', {}, [aContainerView(young)], waiting('web-1 to be ready')],
    [
      'waits for admission',
      {},
      [aContainerView({ admitted: false, arrived: false })],
      waiting('web-1 to be admitted by the load balancers'),
    ],
    [
      'waits for what is to be replaced',
      { revision: 2, replicas: 2 },
      [aContainerView({ revision: 2 }), aContainerView({ slot: 2 })],
      waiting('1 containers to be replaced'),
    ],
    [
      'waits for what is outdated',
      {},
      [aContainerView({ outdated: true })],
      waiting('1 containers to be replaced'),
    ],
    [
      'waits for what drains',
      {},
      [aContainerView(), aContainerView({ slot: 2, ...leaving })],
      waiting('web-2 to finish what is in flight'),
    ],
    [
      'waits for what is removed',
      {},
      [aContainerView(), aContainerView({ slot: 2, wanted: 'removed', phase: 'stopping' })],
      waiting('web-2 to be removed'),
    ],
    [
      'waits for what is stopped by name',
      { replicas: 2 },
      [aContainerView(), aContainerView({ slot: 2, wanted: 'stopped', held: true })],
      waiting('web-2 to stop'),
    ],
    [
      'is done when that has stopped',
      { replicas: 2 },
      [
        aContainerView(),
        aContainerView({ slot: 2, wanted: 'stopped', phase: 'stopped', held: true }),
      ],
      done,
    ],
    [
      'is done when what is held never got a node',
      { replicas: 2 },
      [
        aContainerView(),
        aContainerView({ slot: 2, wanted: 'removed', phase: 'pending', nodeId: null, held: true }),
      ],
      done,
    ],
    [
      'is done with a job that ended as it may',
      { restart: 'never' },
      [aContainerView({ ...young, phase: 'failed', exitCode: 7 })],
      done,
    ],
    [
      'on every node counts the nodes',
      { replicas: 1, everyNode: [nodeId('a'), nodeId('b')] },
      [aContainerView()],
      waiting('1 containers to be created'),
    ],
  ])('%s', (_, service, containers, expected) => {
    expect(progress(service, containers)).toEqual(expected);
  });

  test('says why nobody takes a container', () => {
    const pending = aContainerView({ ...young, phase: 'pending', nodeId: null });
    expect(progress({}, [pending])).toEqual(waiting('web-1 to be placed: not tried yet'));
    expect(
      progress({}, [pending], { unplaceable: { [pending.id]: 'no node has joined yet' } }),
    ).toEqual(waiting('web-1 to be placed: no node has joined yet'));
  });
});

describe('a service gets stuck', () => {
  const deadlineMs = 10_000;

  test('when a container was given up', () => {
    const failed = aContainerView({
      ...young,
      phase: 'failed',
      attempt: 3,
      message: 'no such image',
    });
    expect(progress({}, [failed])).toEqual(stuck('web-1 failed 3 times: no such image'));
    expect(progress({}, [{ ...failed, attempt: 2 }])).toEqual(
      waiting('web-1, which is failed (no such image)'),
    );
  });

  test('when a container is not there by its deadline', () => {
    const late = aContainerView({ ...young, createdAtMs: 1_000 });
    expect(progress({ deadlineMs }, [late], { nowMs: 10_999 })).toEqual(
      waiting('web-1 to be ready'),
    );
    expect(progress({ deadlineMs }, [late], { nowMs: 11_000 })).toEqual(
      stuck('not within 10000 ms: web-1 to be ready'),
    );
  });

  test('not while its node is not heard of', () => {
    const late = aContainerView({ ...young, away: true });
    expect(progress({ deadlineMs }, [late], { nowMs: 1_000_000 }).kind).toBe('working');
  });

  test('not while others are on their way', () => {
    const late = aContainerView(young);
    const next = aContainerView({ ...young, slot: 2, createdAtMs: 9_000 });
    expect(progress({ deadlineMs, replicas: 2 }, [late, next], { nowMs: 10_000 }).kind).toBe(
      'working',
    );
  });

  test.each([
    ['failed', 'the rollout of revision 2 stopped: because'],
    ['rolled-back', 'revision 2 was rolled back to revision 1: because'],
    ['rollback-failed', 'revision 2 failed, and so did going back: because'],
  ] as const)('when its rollout came to an end like %s', (state, words) => {
    const rollout = aRollout({ state, reason: 'because' });
    const service = { revision: 2, base: { revision: 1, alike: [] }, rollout };
    expect(progress(service, [aContainerView()])).toEqual(stuck(words));
    const draining = aContainerView({ slot: 2, revision: 2, ...leaving });
    expect(progress(service, [aContainerView(), draining]).kind).toBe('working');
  });
});

test('a service rests while its rollout is paused', () => {
  const service = { revision: 2, rollout: aRollout({ state: 'paused' }) };
  expect(progress(service, [aContainerView()])).toEqual({
    kind: 'resting',
    reason: 'it is paused',
  });
});

describe('a container that served', () => {
  const deadlineMs = 10_000;

  test('is not missed while a new proxy has not taken it in yet', () => {
    const container = aContainerView({ admitted: false });
    expect(progress({ deadlineMs }, [container], { nowMs: 1_000_000 })).toEqual(done);
  });

  test('has its deadline again to come back, from when it went', () => {
    const blinking = aContainerView({ ready: false, sinceMs: 500_000 });
    expect(progress({ deadlineMs }, [blinking], { nowMs: 509_999 })).toEqual(
      waiting('web-1 to be ready'),
    );
    expect(progress({ deadlineMs }, [blinking], { nowMs: 510_000 })).toEqual(
      stuck('not within 10000 ms: web-1 to be ready'),
    );
  });
});

describe('a service that is not started', () => {
  test('waits for what runs or leaves, and for nothing else', () => {
    expect(progress({ started: false }, [])).toEqual(done);
    expect(progress({ started: false }, [aContainerView(leaving)])).toEqual(
      waiting('web-1 to finish what is in flight'),
    );
    const stopped = aContainerView({ wanted: 'stopped', phase: 'stopped' });
    expect(progress({ started: false }, [stopped])).toEqual(done);
  });
});

test('a service that is removed counts what is left', () => {
  expect(progress({ terminating: true }, [aContainerView()])).toEqual(
    waiting('1 containers to be removed'),
  );
});
