import { expect, test } from 'vitest';
import { progressOf } from '../../../../coordinator/orchestrator/progress.ts';
import { slotProgress } from '../../../../coordinator/orchestrator/slot-progress.ts';
import { waitsOf, type Wait } from '../../../../coordinator/orchestrator/waits.ts';
import type { ContainerView, ServiceView } from '../../../../coordinator/orchestrator/views.ts';
import {
  aContainerView,
  aRetirement,
  aRollout,
  aServiceView,
  nodeId,
} from '../../../support/builders.ts';

const nowMs = 10_000;

function waits(service: Partial<ServiceView>, containers: readonly ContainerView[]) {
  const view = aServiceView(service);
  const progress = progressOf(view, containers, new Map(), nowMs);
  return waitsOf({ service: view, containers, progress, unplaceable: new Map() }, nowMs).map(
    ({ message, sinceMs, untilMs }) => ({ message, sinceMs, untilMs }),
  );
}

const young = { ready: false, admitted: false, arrived: false } as const;
const retirement = aRetirement({ startedAtMs: 3_000, deadlineAtMs: 33_000 });
const rollout = aRollout({ sinceMs: 2_000 });
const ended = { phase: 'failed', everRan: true, exitCode: 1, sinceMs: 9_500 } as const;

test.each<[string, Partial<ServiceView>, readonly ContainerView[], Omit<Wait, 'containerId'>[]]>([
  ['nothing', {}, [aContainerView()], []],
  [
    'a node, since it was made',
    {},
    [aContainerView({ ...young, nodeId: null, createdAtMs: 1_000, phase: 'pending' })],
    [{ message: 'web-1 to be placed: not tried yet', sinceMs: 1_000, untilMs: null }],
  ],
  [
    'readiness, until the deadline of the rollout',
    { rollout, deadlineMs: 60_000 },
    [aContainerView({ ...young, createdAtMs: 4_000, sinceMs: 5_000 })],
    [{ message: 'web-1 to be ready', sinceMs: 5_000, untilMs: 64_000 }],
  ],
  [
    'what is in flight, until it is cut',
    { replicas: 0 },
    [aContainerView({ wanted: 'draining', retirement })],
    [{ message: 'web-1 to finish what is in flight', sinceMs: 3_000, untilMs: 33_000 }],
  ],
  [
    'the next attempt',
    {},
    [aContainerView({ ...young, ...ended, message: 'exit 1' })],
    [{ message: 'web-1 to be tried again, as it ended: exit 1', sinceMs: 9_500, untilMs: 10_500 }],
  ],
  [
    'somebody, where it gave up',
    {},
    [aContainerView({ ...young, ...ended, attempt: 3 })],
    [{ message: 'web-1 was given up after 3 attempts', sinceMs: 9_500, untilMs: null }],
  ],
  [
    'whoever paused it',
    { rollout: aRollout({ state: 'paused', sinceMs: 2_000 }) },
    [aContainerView()],
    [{ message: 'it is paused', sinceMs: 2_000, untilMs: null }],
  ],
  [
    'its node, where it belongs to that',
    {},
    [aContainerView({ ...young, lost: true, pinnedTo: nodeId('node-1'), sinceMs: 7_000 })],
    [{ message: 'web-1: its node is down', sinceMs: 7_000, untilMs: null }],
  ],
  [
    'what is not made yet',
    { replicas: 2 },
    [aContainerView()],
    [{ message: 'waiting for 1 containers to be created', sinceMs: null, untilMs: null }],
  ],
])('a service waits for %s', (_, service, containers, expected) => {
  expect(waits(service, containers)).toEqual(expected);
});

test('slots are on their way, there, given up, or wait for their turn', () => {
  const failing = aRollout({ failedSlots: [4] });
  const service = aServiceView({ revision: 2, replicas: 5, rollout: failing });
  const containers = [
    aContainerView({ slot: 1, revision: 2 }),
    aContainerView({ slot: 2, revision: 1 }),
    aContainerView({ slot: 2, revision: 2, ...young }),
    aContainerView({ slot: 3, revision: 1 }),
    aContainerView({ slot: 4, revision: 1 }),
  ];
  expect([...slotProgress(service, containers)]).toEqual([
    [1, 'done'],
    [2, 'going'],
    [3, 'waiting'],
    [4, 'failed'],
    [5, 'waiting'],
  ]);
});
