import { expect, test } from 'vitest';
import { planService } from '../../../../coordinator/orchestrator/plan.ts';
import type { ContainerView, ServiceView } from '../../../../coordinator/orchestrator/views.ts';
import { aContainerView, aRollout, aServiceView, nodeId } from '../../../support/builders.ts';

const ended = { phase: 'stopped', ready: false, everRan: true, exitCode: 0 } as const;
const one = aContainerView({ ...ended });
const two = aContainerView({ ...ended, slot: 2 });
const failed = aContainerView({ ...ended, slot: 2, phase: 'failed', exitCode: 3 });
const job = { replicas: 2, restart: 'never', autodestroy: 'on-success' } as const;
const any = { ...job, autodestroy: 'always' } as const;

test.each<[boolean, string, Partial<ServiceView>, readonly ContainerView[]]>([
  [true, 'all have succeeded', job, [one, two]],
  [false, 'it is not asked for', { ...job, autodestroy: 'never' }, [one, two]],
  [false, 'one still runs', job, [one, aContainerView({ slot: 2 })]],
  [false, 'one is not there', job, [one]],
  [false, 'there are none', { ...job, replicas: 0 }, []],
  [false, 'one has failed', job, [one, failed]],
  [true, 'one has failed, which is an end', any, [one, failed]],
  [false, 'one never ran', any, [one, { ...failed, everRan: false }]],
  [false, 'one is lost', any, [one, { ...two, lost: true }]],
  [false, 'one is stopped by somebody', any, [one, { ...two, wanted: 'stopped', held: true }]],
  [false, 'one is started again', { ...any, restart: 'on-failure' }, [one, failed]],
  [
    true,
    'one was started as often as it may',
    { ...any, restart: 'on-failure', restartLimit: 2, rollout: aRollout({ state: 'failed' }) },
    [one, failed],
  ],
  [
    false,
    'a rollout is to be judged',
    { ...job, rollout: aRollout({ state: 'paused' }) },
    [one, two],
  ],
  [
    true,
    'every node has had its turn',
    { ...job, everyNode: [nodeId('a'), nodeId('b')] },
    [
      { ...one, pinnedTo: nodeId('a') },
      { ...two, pinnedTo: nodeId('b') },
    ],
  ],
])('removes itself: %s, where %s', (expected, _, service, containers) => {
  const { steps } = planService(aServiceView(service), containers, 1_000_000);
  expect(steps.some(({ kind }) => kind === 'terminate')).toBe(expected);
});
