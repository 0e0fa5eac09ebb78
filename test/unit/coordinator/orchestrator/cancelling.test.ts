import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Action } from '../../../../coordinator/model.ts';
import { ServiceSpec, UpdatePolicy } from '../../../../shared/gen/fairlead/v1/service.ts';
import { ModelFleet } from './fleet/model-fleet.ts';
import { begin, perform, update } from './fleet/operations.ts';

// Actions that somebody calls off, from the API to the engines and back, on a fleet of a model.

let fleet: ModelFleet;

beforeEach(async () => {
  fleet = new ModelFleet({ nodes: 3, proxies: 1 });
  await begin(fleet, { replicas: 3 });
  await fleet.pass(8);
  fleet.mustServe = true;
});

afterEach(async () => {
  expect(fleet.violations).toEqual([]);
  await fleet[Symbol.asyncDispose]();
});

const web = { service: 'web', options: undefined };
const service = () => fleet.service('web');
const containers = () => fleet.store.containersOf(service().id);
const live = () => containers().filter(({ wanted }) => wanted === 'running');
const ids = () =>
  live()
    .map(({ id }) => id)
    .sort();
const images = () =>
  fleet.agents
    .flatMap(({ engine }) => [...engine.values()].map(({ definition }) => definition.image))
    .sort();
const goods = (count: number, number = 1) => Array.from({ length: count }, () => `good-${number}`);

function newest(): Action {
  return [...fleet.store.actions.values()].at(-1)!;
}

async function cancel(action: string = newest().id, dryRun = false) {
  const options = { version: 0, requestId: '', dryRun };
  return await fleet.handlers.cancelAction({ action, options }, fleet.call);
}

async function until(condition: () => boolean): Promise<void> {
  for (let second = 0; second < 200 && !condition(); second++) await fleet.pass(1);
  expect(condition(), JSON.stringify(newest())).toBe(true);
}

const atRest = () => newest().state !== 'in-progress';

async function change(spec: Partial<ServiceSpec>): Promise<void> {
  await update(fleet, spec, Object.keys(spec));
}

/** Calls the newest action off, and waits for what follows; the action as it ended. */
async function cancelled(): Promise<Action> {
  const { id } = newest();
  await cancel(id);
  await until(atRest);
  expect(newest()).toMatchObject({ method: 'CancelAction', state: 'succeeded', message: '' });
  const action = fleet.store.actions.get(id)!;
  expect(action).toMatchObject({ state: 'cancelled', before: null });
  return action;
}

describe('cancelled, an update', () => {
  test('goes back to what ran before, with the count, and keeps what is of it still', async () => {
    const before = ids();
    await change({ image: 'good-2', replicas: 5 });
    await until(() => live().some(({ revision, arrived }) => revision === 2 && arrived));
    const untouched = ids().filter((id) => before.includes(id));
    expect(await cancelled()).toMatchObject({ message: 'by admin: it goes back to revision 1' });
    expect(images()).toEqual(goods(3));
    expect(service()).toMatchObject({ rollout: null, spec: { image: 'good-1', replicas: 3 } });
    expect(ids().filter((id) => untouched.includes(id)).length).toBeGreaterThan(0);
  });

  test('of an update goes back to that one, and goes on with it', async () => {
    await change({ image: 'good-2' });
    await fleet.pass(2);
    await change({ image: 'good-3' });
    await fleet.pass(2);
    await cancelled();
    expect(images()).toEqual(goods(3, 2));
    expect(service().rollout).toBeNull();
  });

  test('that was to mend one that failed goes back to what ran', async () => {
    await update(fleet, { update: UpdatePolicy.fromPartial({ deadlineMs: 20_000 }) }, ['update']);
    await change({ image: 'broken-2' });
    await until(() => service().rollout?.state === 'rolled-back' && atRest());
    await change({ image: 'mute-3' });
    await fleet.pass(2);
    await cancelled();
    expect(images()).toEqual(goods(3));
    expect(service()).toMatchObject({ rollout: null, spec: { image: 'good-1' } });
  });

  test('that has canaries takes them away, and what ran was never touched', async () => {
    const before = ids();
    const policy = UpdatePolicy.fromPartial({ canary: 2, deadlineMs: 20_000 });
    await update(fleet, { update: policy }, ['update']);
    await change({ image: 'mute-2' });
    await until(() => live().length === 5);
    await cancelled();
    expect(ids()).toEqual(before);
  });

  test('of a revision that canaries try leaves it at those', async () => {
    const before = ids();
    const policy = UpdatePolicy.fromPartial({ canary: 1, deadlineMs: 20_000 });
    await update(fleet, { update: policy }, ['update']);
    await change({ image: 'good-2' });
    await until(atRest);
    await change({ image: 'good-3' });
    await fleet.pass(1);
    const { id } = newest();
    await cancel(id);
    await until(atRest);
    expect(newest().message).toBe('1 canary of revision 4 serves: promote it, or roll it back');
    expect(images()).toEqual([...goods(3), 'good-2']);
    expect(ids().filter((each) => before.includes(each))).toEqual(before);
  });
});

test('a redeploy stops where it is: no container is made for it', async () => {
  const before = ids();
  await fleet.handlers.redeployService(web, fleet.call);
  await until(() => live().some(({ revision, arrived }) => revision === 2 && arrived));
  const then = ids();
  await cancelled();
  expect(images()).toEqual(goods(3));
  expect(ids().every((id) => before.includes(id) || then.includes(id))).toBe(true);
});

test('a change of the count that waits goes back', async () => {
  for (const pick of [0, 1, 2]) await perform(fleet, { kind: 'pause', pick });
  await fleet.handlers.scaleService({ ...web, replicas: 6 }, fleet.call);
  await fleet.pass(3);
  expect(newest().state).toBe('in-progress');
  const { message } = await cancelled();
  expect(message).toBe('by admin: it has 3 containers again');
  expect([service().spec.replicas, live().length]).toEqual([3, 3]);
});

test('a start is a stop, and a stop a start', async () => {
  fleet.mustServe = false;
  await fleet.handlers.stopService(web, fleet.call);
  await fleet.pass(1);
  expect((await cancelled()).message).toBe('by admin: it is started again');
  expect(images()).toEqual(goods(3));
  await fleet.handlers.stopService(web, fleet.call);
  await until(atRest);
  await fleet.handlers.startService(web, fleet.call);
  await fleet.pass(1);
  expect((await cancelled()).message).toBe('by admin: it is stopped again');
  expect(live()).toEqual([]);
});

test('a service that is being made stays defined, and does not run', async () => {
  const spec = ServiceSpec.fromPartial({ image: 'mute-1' });
  const request = { name: 'new', start: true, spec, options: undefined };
  await fleet.handlers.createService(request, fleet.call);
  await fleet.pass(2);
  expect((await cancelled()).message).toBe('by admin: it is stopped, and its definition stays');
  expect(fleet.status('new').state).toBe('stopped');
});

test('a resumed rollout is paused again', async () => {
  await change({ image: 'good-2' });
  await fleet.handlers.pauseService(web, fleet.call);
  await until(atRest);
  await fleet.handlers.resumeService(web, fleet.call);
  await fleet.pass(1);
  const { id } = newest();
  await cancel(id);
  await until(atRest);
  expect(service().rollout?.state).toBe('paused');
  expect(newest()).toMatchObject({ state: 'succeeded', message: 'it is paused' });
});

test('a container that was to be replaced stays', async () => {
  const before = ids();
  await fleet.handlers.redeployContainer({ container: 'web-2', options: undefined }, fleet.call);
  await fleet.pass(1);
  expect((await cancelled()).message).toBe('by admin: what runs in its slot may stay');
  expect(ids()).toEqual(before);
});

test('a container that was to stop has a successor', async () => {
  fleet.mustServe = false;
  await fleet.handlers.stopContainer({ container: 'web-2', options: undefined }, fleet.call);
  await fleet.pass(1);
  expect((await cancelled()).message).toBe('by admin: its slot is filled again');
  expect(images()).toEqual(goods(3));
});

test('a node that was to be emptied takes containers again', async () => {
  const node = fleet.agents[0]!.id;
  for (const pick of [1, 2]) await perform(fleet, { kind: 'pause', pick });
  const request = { parallelism: 0, deadlineSeconds: 0, force: false, options: undefined };
  await fleet.handlers.drainNode({ node, ...request }, fleet.call);
  await fleet.pass(2);
  const { id } = newest();
  await cancel(id);
  expect(fleet.store.nodes.get(node)).toMatchObject({ availability: 'active', drain: null });
  expect(fleet.store.actions.get(id)?.state).toBe('cancelled');
  expect(newest()).toMatchObject({ method: 'CancelAction', state: 'succeeded' });
});

test('a dry run says what would be done, and does nothing', async () => {
  await change({ image: 'good-2' });
  await fleet.pass(2);
  const { id } = newest();
  const { plan } = await cancel(id, true);
  expect(plan?.steps?.map(({ container, reason }) => `${container} ${reason}`)).toEqual([
    expect.stringMatching(/^web-1 /),
  ]);
  expect(newest()).toMatchObject({ id, state: 'in-progress' });
});

test('what has ended, or has no way back, is refused', async () => {
  const [created] = [...fleet.store.actions.values()];
  await expect(cancel(created!.id)).rejects.toMatchObject({ reason: 'ACTION_ENDED' });
  await fleet.handlers.removeContainer({ container: 'web-1', options: undefined }, fleet.call);
  fleet.mustServe = false;
  await expect(cancel()).rejects.toMatchObject({ reason: 'ACTION_NOT_CANCELLABLE' });
  await expect(cancel('nothing')).rejects.toMatchObject({ reason: 'ACTION_NOT_FOUND' });
});

test('a cancellation is called off in turn, also after a restart of the coordinator', async () => {
  await change({ image: 'good-2' });
  await fleet.pass(2);
  await fleet.restartCoordinator({ killed: false });
  fleet.connectAll();
  await cancel();
  await fleet.pass(1);
  await cancelled();
  expect(images()).toEqual(goods(3, 2));
});
