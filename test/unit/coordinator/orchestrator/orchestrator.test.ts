import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Action } from '../../../../coordinator/model.ts';
import { ModelFleet } from './fleet/model-fleet.ts';
import { begin, perform, update, type Operation } from './fleet/operations.ts';

let fleet: ModelFleet;

beforeEach(async () => {
  fleet = new ModelFleet({ nodes: 2, proxies: 1 });
  await begin(fleet, { replicas: 2 });
  await fleet.pass(6);
});

afterEach(async () => {
  await fleet[Symbol.asyncDispose]();
});

const state = () => fleet.status('web').state;
const perform_ = (operation: Operation) => perform(fleet, operation);

function newestAction(): Action {
  const actions = [...fleet.store.actions.values()];
  return actions.findLast(({ targetName }) => targetName.startsWith('web'))!;
}

function events(type: string): string[] {
  return fleet.store.events
    .after(0, { types: [type] }, 10_000)
    .events.map(({ objectName, message }) => `${objectName} ${message}`.trim());
}

describe('an action', () => {
  test('succeeds when all is as it was asked, and tells how it went', () => {
    const action = newestAction();
    expect(action).toMatchObject({ method: 'CreateService', state: 'succeeded', message: '' });
    const lines = action.timeline
      .filter(({ container }) => container === 'web-1')
      .map(({ message }) => message);
    expect(lines).toEqual([
      'preparing to deploy revision 1',
      'deploying on node-1',
      'pulling',
      'starting',
      'running',
      'ready',
    ]);
    expect(events('action.succeeded')).toContain('web CreateService');
  });

  test('fails with the reason when the rollout ends early', async () => {
    await perform_({ kind: 'update', image: 'broken' });
    await fleet.pass(20);
    expect(newestAction()).toMatchObject({
      method: 'UpdateService',
      state: 'failed',
      message: 'revision 2 was rolled back to revision 1: web-1 failed 2 times: no such command',
    });
    expect(fleet.status('web')).toMatchObject({
      state: 'running',
      message: 'revision 2 was rolled back to revision 1: web-1 failed 2 times: no such command',
    });
    expect(fleet.service('web').rollout?.state).toBe('rolled-back');
  });

  test('is superseded by the next', async () => {
    await perform_({ kind: 'redeploy' });
    const first = newestAction();
    await perform_({ kind: 'scale', replicas: 3 });
    expect(fleet.store.actions.get(first.id)).toMatchObject({
      state: 'superseded',
      message: 'by ScaleService',
    });
    expect(state()).toBe('scaling');
    await fleet.pass(20);
    expect(newestAction().state).toBe('succeeded');
  });

  test('tells what was cut', async () => {
    await perform_({ kind: 'request', pick: 0 });
    await perform_({ kind: 'scale', replicas: 0 });
    await fleet.pass(10);
    expect(newestAction().timeline.map(({ message }) => message)).toContain(
      'not drained within 6000 ms: cut, stopping',
    );
    expect(events('container.drain-cut')).toEqual([
      'web-1 requests were still in flight after 6000 ms',
    ]);
  });
});

test('events tell what became of each container', async () => {
  await perform_({ kind: 'scale', replicas: 1 });
  await fleet.pass(10);
  expect(events('container.ready')).toEqual(['web-1', 'web-2']);
  expect(events('container.removed')).toContain('web-2 scaled-down');
});

test('a drain ends at its deadline, to the moment', async () => {
  await perform_({ kind: 'request', pick: 0 });
  await perform_({ kind: 'scale', replicas: 0 });
  await fleet.tick();
  const [web1] = fleet.store.containersOf(fleet.service('web').id);
  const deadlineAtMs = web1!.retirement!.deadlineAtMs;
  await fleet.advance(deadlineAtMs - fleet.clock.now() - 1);
  expect(fleet.store.containers.get(web1!.id)?.wanted).toBe('draining');
  await fleet.advance(20);
  expect(fleet.store.containers.get(web1!.id)?.wanted).toBe('removed');
});

describe('while the disk is full', () => {
  test('what is gone is not forgotten half', async () => {
    await perform_({ kind: 'scale', replicas: 1 });
    await fleet.pass(1);
    await perform_({ kind: 'fill-disk', pick: 0 });
    await fleet.pass(5);
    expect(fleet.store.containersOf(fleet.service('web').id)).toHaveLength(2);
    await perform_({ kind: 'free-disk', pick: 0 });
    await fleet.pass(3);
    expect(fleet.store.containersOf(fleet.service('web').id)).toHaveLength(1);
    expect(newestAction().state).toBe('succeeded');
  });

  test('no event is lost', async () => {
    await update(fleet, { image: 'good-2' }, ['image']);
    await perform_({ kind: 'fill-disk', pick: 0 });
    await fleet.pass(10);
    await perform_({ kind: 'free-disk', pick: 0 });
    await fleet.pass(20);
    expect(events('container.ready')).toHaveLength(4);
    expect(state()).toBe('running');
  });
});
