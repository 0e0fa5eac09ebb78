import { expect, test } from 'vitest';
import type { ContainerView } from '../../../../coordinator/orchestrator/views.ts';
import { aContainerView } from '../../../support/builders.ts';
import { planned } from './plan-words.ts';

const inTurn = { replicas: 3, sequential: true };
const begun = (changes: Partial<ContainerView> = {}) =>
  aContainerView({ arrived: false, ready: false, phase: 'starting', ...changes });

test('only the first of several containers is created', () => {
  expect(planned({ replicas: 3 }, [])).toHaveLength(3);
  expect(planned(inTurn, [])).toEqual(planned({ replicas: 1 }, []));
});

test.each<[string, ContainerView]>([
  ['starts', begun()],
  ['runs but is not ready', begun({ phase: 'running' })],
  ['is ready but not admitted', begun({ phase: 'running', ready: true, admitted: false })],
  ['failed and is tried again', begun({ phase: 'failed', exitCode: 1 })],
  ['failed for good', begun({ phase: 'failed', exitCode: 1, attempt: 3 })],
])('the next waits while the one before %s', (_, before) => {
  expect(planned(inTurn, [before]).filter((step) => step.includes('web-2'))).toEqual([]);
  expect(planned(inTurn, [before]).filter((step) => /create.*2/.test(step))).toEqual([]);
});

test('the next follows one that takes traffic, or took it once', () => {
  const next = planned({ replicas: 2 }, [aContainerView()]);
  expect(planned(inTurn, [aContainerView()])).toEqual(next);
  expect(planned(inTurn, [aContainerView({ ready: false })])).toEqual(next);
});

test('the next follows one that ended as it may', () => {
  const done = aContainerView({ arrived: false, phase: 'stopped', exitCode: 0, ready: false });
  const jobs = { ...inTurn, restart: 'on-failure' as const };
  expect(planned(jobs, [done])).toEqual(planned({ ...jobs, replicas: 2 }, [done]));
  expect(planned(jobs, [done])).toHaveLength(1);
});
