import { describe, expect, test } from 'vitest';
import type { Progress } from '../../../../coordinator/orchestrator/progress.ts';
import {
  serviceState,
  type Activity,
  type ServiceState,
} from '../../../../coordinator/orchestrator/service-state.ts';
import type { ContainerView, ServiceView } from '../../../../coordinator/orchestrator/views.ts';
import { aContainerView, aRollout, aServiceView } from '../../../support/builders.ts';

const done: Progress = { kind: 'done' };
const working: Progress = { kind: 'working', waitingFor: '' };
const stuck: Progress = { kind: 'stuck', reason: '' };

const starting = aContainerView({ phase: 'starting', ready: false });

interface Case {
  readonly service?: Partial<ServiceView & { everStarted: boolean }>;
  readonly containers?: readonly ContainerView[];
  readonly progress: Progress;
  readonly activity?: Activity;
}

describe('a service is', () => {
  test.each<[ServiceState, string, Case]>([
    [
      'not-running',
      'before its first start',
      { service: { started: false, everStarted: false }, progress: done },
    ],
    ['stopped', 'after it', { service: { started: false }, progress: done }],
    ['stopping', 'while something still runs', { service: { started: false }, progress: working }],
    [
      'terminating',
      'when it is being removed',
      { service: { started: false, terminating: true }, progress: working },
    ],
    ['running', 'when it is as wanted', { progress: done, containers: [aContainerView()] }],
    ['running', 'with none wanted', { service: { replicas: 0 }, progress: done }],
    [
      'partly-running',
      'stuck with something that runs',
      { progress: stuck, containers: [aContainerView(), starting] },
    ],
    [
      'running',
      'rolled back, with all that is wanted',
      {
        service: { rollout: aRollout({ state: 'rolled-back' }) },
        progress: stuck,
        containers: [aContainerView()],
      },
    ],
    [
      'paused',
      'with all that is wanted and a rollout that stands still',
      {
        service: { rollout: aRollout({ state: 'failed' }) },
        progress: stuck,
        containers: [aContainerView()],
      },
    ],
    [
      'paused',
      'with a rollout that the user paused',
      { progress: { kind: 'resting', reason: '' }, containers: [aContainerView()] },
    ],
    ['failed', 'stuck with nothing that runs', { progress: stuck, containers: [starting] }],
    [
      'failed',
      'stuck with what only drains',
      { progress: stuck, containers: [aContainerView({ wanted: 'draining' })] },
    ],
    ['scaling', 'what its action does', { progress: working, activity: 'scaling' }],
    ['redeploying', 'what its action does', { progress: working, activity: 'redeploying' }],
    [
      'starting',
      'without an action and with nothing older',
      { progress: working, containers: [starting] },
    ],
    [
      'redeploying',
      'without an action while something older runs',
      { service: { revision: 2 }, progress: working, containers: [aContainerView()] },
    ],
    [
      'redeploying',
      'without an action while something outdated runs',
      { progress: working, containers: [aContainerView({ outdated: true })] },
    ],
  ])('%s %s', (expected, _, { service = {}, containers = [], progress, activity = null }) => {
    const view = { ...aServiceView(), everStarted: true, ...service };
    expect(serviceState(view, containers, progress, activity)).toBe(expected);
  });
});
