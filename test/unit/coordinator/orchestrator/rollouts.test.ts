import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Action } from '../../../../coordinator/model.ts';
import {
  FailureAction,
  UpdateOrder,
  UpdatePolicy,
  type DeepPartial,
  type ServiceSpec,
} from '../../../../shared/gen/fairlead/v1/service.ts';
import { ModelFleet } from './fleet/model-fleet.ts';
import { begin, perform, update } from './fleet/operations.ts';

// Rollouts from the API to the engines and back, on a fleet of a model. The letters are those of the scenarios
// that orchestrators are judged by.

let fleet: ModelFleet;

beforeEach(async () => {
  fleet = new ModelFleet({ nodes: 3, proxies: 2 });
  await begin(fleet, { replicas: 5 });
  await fleet.pass(8);
  fleet.mustServe = true;
});

afterEach(async () => {
  expect(fleet.violations).toEqual([]);
  await fleet[Symbol.asyncDispose]();
});

const service = () => fleet.service('web');
const containers = () => fleet.store.containersOf(service().id);
const live = () => containers().filter(({ wanted }) => wanted === 'running');
const revisions = () =>
  live()
    .map(({ revision }) => revision)
    .sort();
const images = () =>
  fleet.agents
    .flatMap(({ engine }) => [...engine.values()].map(({ definition }) => definition.image))
    .sort();

async function policy(changes: DeepPartial<UpdatePolicy>): Promise<void> {
  fleet.maxParallelism = changes.parallelism ?? 1;
  const message = UpdatePolicy.fromPartial({ deadlineMs: 20_000, ...changes });
  await update(fleet, { update: message }, ['update']);
}

async function change(spec: Partial<ServiceSpec>): Promise<void> {
  await update(fleet, spec, Object.keys(spec));
}

async function rollback(revision = 0): Promise<void> {
  const request = { service: 'web', revision, options: undefined };
  await fleet.handlers.rollbackService(request, fleet.call);
}

async function pause(): Promise<void> {
  await fleet.handlers.pauseService({ service: 'web', options: undefined }, fleet.call);
}

async function resume(): Promise<void> {
  await fleet.handlers.resumeService({ service: 'web', options: undefined }, fleet.call);
}

function newestAction(): Action {
  return [...fleet.store.actions.values()].findLast(({ targetName }) => targetName === 'web')!;
}

/** Ticks until it is so; a model's minute is long enough for everything here. */
async function until(condition: () => boolean): Promise<void> {
  for (let second = 0; second < 400 && !condition(); second++) await fleet.pass(1);
  expect(condition(), JSON.stringify(service().rollout)).toBe(true);
}

const atRest = () => newestAction().state !== 'in-progress';
const newOnes = () => live().filter(({ revision }) => revision === service().revision);

describe('a rolling update', () => {
  test('U1: replaces never more at a time than its parallelism, until none is old', async () => {
    await policy({ parallelism: 2 });
    await change({ image: 'good-2' });
    const oldCounts = new Set<number>();
    await until(() => {
      oldCounts.add(live().length - newOnes().length);
      expect(newOnes().filter(({ arrived }) => !arrived).length).toBeLessThanOrEqual(2);
      return atRest();
    });
    const counts = [...oldCounts];
    expect([counts[0], counts.at(-1)]).toEqual([5, 0]);
    expect(counts).toEqual(counts.toSorted((a, b) => b - a));
    expect(newestAction()).toMatchObject({ state: 'succeeded', message: '' });
    expect(service()).toMatchObject({ rollout: null, base: { revision: 2 } });
  });

  test('U2: with start-first keeps all old ones until the new one is healthy', async () => {
    await policy({ onFailure: FailureAction.PAUSE });
    await change({ image: 'mute-2' });
    await until(() => {
      expect(revisions().filter((revision) => revision === 1)).toHaveLength(5);
      return atRest();
    });
  });

  test('U3: waits for the settle time between its steps', async () => {
    await policy({ settleMs: 10_000 });
    await change({ image: 'good-2' });
    const arrivals: number[] = [];
    await until(() => {
      const arrived = newOnes().filter((container) => container.arrived).length;
      if (arrived > arrivals.length) arrivals.push(fleet.clock.now());
      return atRest();
    });
    expect(arrivals).toHaveLength(5);
    for (const [index, atMs] of arrivals.entries()) {
      expect(atMs - (arrivals[index - 1] ?? -Infinity)).toBeGreaterThanOrEqual(10_000);
    }
  });

  test('U4: with a budget of a quarter of 5 stops at the second failure, and all old ones serve', async () => {
    await policy({
      parallelism: 2,
      failureBudgetPercent: 25,
      onFailure: FailureAction.PAUSE,
    });
    await change({ image: 'broken-2' });
    await until(atRest);
    expect(service().rollout).toMatchObject({ state: 'failed' });
    expect(service().rollout?.failedSlots).toHaveLength(2);
    expect(revisions()).toEqual([1, 1, 1, 1, 1]);
    expect(fleet.status('web').state).toBe('paused');
    expect(newestAction()).toMatchObject({
      state: 'failed',
      message: expect.stringMatching(
        /^the rollout of revision 2 stopped: web-[12] failed 2 times: no such command$/,
      ) as string,
    });
  });

  test('U5: that is to continue tries every slot, and says which failed', async () => {
    await policy({ onFailure: FailureAction.CONTINUE, parallelism: 5 });
    await change({ image: 'broken-2' });
    await until(atRest);
    expect(service().rollout?.state).toBe('failed');
    expect(service().rollout?.failedSlots.toSorted()).toEqual([1, 2, 3, 4, 5]);
    expect(revisions()).toEqual([1, 1, 1, 1, 1]);
  });

  test('U6: that fails goes back to what ran, also where it had been replaced already', async () => {
    await change({ image: 'good-2' });
    await until(() => newOnes().filter(({ arrived }) => arrived).length === 2);
    await change({ image: 'broken-3' });
    await until(atRest);
    expect(service().rollout).toMatchObject({ state: 'rolled-back' });
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-1'));
    expect(newestAction().message).toMatch(
      /^revision 3 was rolled back to revision 1: web-\d failed 2 times: no such command$/,
    );
    expect(fleet.status('web').state).toBe('running');
  });

  test('whose processes end again and again goes back long before its deadline', async () => {
    await policy({ deadlineMs: 600_000 });
    const beganAtMs = fleet.clock.now();
    await change({ image: 'looping-2' });
    await until(atRest);
    expect(service().rollout).toMatchObject({ state: 'rolled-back' });
    expect(newestAction().message).toContain('web-1 failed 3 times');
    expect(fleet.clock.now() - beganAtMs).toBeLessThan(60_000);
  });

  test('U8: during another wins, and nothing of the middle one is left', async () => {
    await change({ image: 'good-2' });
    await until(() => newOnes().length === 2);
    await change({ image: 'good-3' });
    await until(atRest);
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-3'));
  });

  test('U9: to the same definition does nothing', async () => {
    const ids = live().map(({ id }) => id);
    await change({ image: 'good-1' });
    await change({ replicas: 5 });
    await policy({ parallelism: 3 });
    await until(atRest);
    expect(service()).toMatchObject({ revision: 1, rollout: null });
    expect(live().map(({ id }) => id)).toEqual(ids);
  });

  test('U9: back to the definition before makes nothing anew that is of it still', async () => {
    const ids = new Set(live().map(({ id }) => id));
    await change({ image: 'good-2' });
    await until(() => newOnes().filter(({ arrived }) => arrived).length === 2);
    const untouched = live().filter(({ id }) => ids.has(id));
    await change({ image: 'good-1' });
    await until(atRest);
    expect(service()).toMatchObject({ revision: 3, rollout: null });
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-1'));
    for (const { id } of untouched.slice(1)) expect(live().map((c) => c.id)).toContain(id);
  });

  test('U11: may change the count as well', async () => {
    await change({ image: 'good-2', replicas: 7 });
    await until(atRest);
    expect(images()).toEqual(Array.from({ length: 7 }, () => 'good-2'));
    await change({ image: 'good-3', replicas: 2 });
    await until(atRest);
    expect(images()).toEqual(['good-3', 'good-3']);
  });

  test('U12: pauses, ignores the deadline, and goes on where it was', async () => {
    await change({ image: 'good-2' });
    await until(() => newOnes().filter(({ arrived }) => arrived).length === 1);
    await pause();
    await until(atRest);
    expect(newestAction()).toMatchObject({ state: 'succeeded', message: 'it is paused' });
    expect(fleet.status('web').state).toBe('paused');
    await fleet.pass(60);
    const then = revisions();
    expect(then).toHaveLength(5);
    await fleet.pass(10);
    expect(revisions()).toEqual(then);
    await resume();
    await until(atRest);
    expect(revisions()).toEqual([2, 2, 2, 2, 2]);
    expect(service().rollout).toBeNull();
  });

  test('U12: nothing that is not there is paused or resumed', async () => {
    await expect(pause()).rejects.toMatchObject({ reason: 'NO_ROLLOUT' });
    await expect(resume()).rejects.toMatchObject({ reason: 'NO_ROLLOUT' });
  });

  test('U15: goes back to any revision that is kept, with its ports and health', async () => {
    const { ports, readiness } = service().spec;
    await change({
      image: 'good-2',
      ports: [{ containerPort: 8080, protocol: 0, published: true, hostPort: 0 }],
      readiness: { check: { $case: 'none', value: {} } },
    });
    await until(atRest);
    await change({ image: 'good-3', replicas: 4 });
    await until(atRest);
    await rollback(1);
    await until(atRest);
    expect(service().spec).toMatchObject({ image: 'good-1', ports, readiness, replicas: 4 });
    expect(images()).toEqual(Array.from({ length: 4 }, () => 'good-1'));
    await expect(rollback(17)).rejects.toMatchObject({ reason: 'REVISION_NOT_FOUND' });
  });

  test('U15: goes back to what ran before when no revision is named', async () => {
    await change({ image: 'good-2' });
    await until(atRest);
    await rollback();
    await until(atRest);
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-1'));
    await rollback();
    await until(atRest);
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-2'));
  });

  test('U16: completes without a node that goes down in the middle', async () => {
    fleet.mustServe = false;
    await change({ image: 'good-2' });
    await until(() => newOnes().length === 2);
    await perform(fleet, { kind: 'cut-agent', pick: 1 });
    await until(atRest);
    expect(service().rollout).toBeNull();
    const serving = newOnes().filter(({ nodeId }) => nodeId !== fleet.agents[1]!.id);
    expect(serving).toHaveLength(5);
    fleet.connectAll();
    await fleet.pass(30);
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-2'));
  });

  test('U17: completes while a node is emptied', async () => {
    await change({ image: 'good-2' });
    await until(() => newOnes().length === 2);
    await perform(fleet, {
      kind: 'drain',
      drain: { parallelism: 0, deadlineSeconds: 0, force: false },
      pick: 1,
    });
    await until(() => atRest() && fleet.agents[1]!.engine.size === 0);
    expect(service().rollout).toBeNull();
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-2'));
  });

  test('U18: whose health check never passes ends by its deadline, rolled back', async () => {
    await change({ image: 'mute-2' });
    await until(atRest);
    expect(service().rollout?.state).toBe('rolled-back');
    expect(newestAction().message).toContain('web-1 was not ready and admitted within 20000 ms');
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-1'));
  });

  test('U19: of a service with none is done at once', async () => {
    await change({ replicas: 0 });
    await until(atRest);
    await change({ image: 'good-2' });
    await until(atRest);
    expect(service()).toMatchObject({ rollout: null, base: { revision: 2 } });
    await change({ replicas: 2 });
    await until(atRest);
    expect(images()).toEqual(['good-2', 'good-2']);
  });

  test('U20: of a service that is removed in the middle leaves nothing', async () => {
    fleet.mustServe = false;
    await change({ image: 'good-2' });
    await until(() => newOnes().length === 2);
    const unlink = { service: 'lb', alias: 'web', options: undefined };
    await fleet.handlers.removeLink(unlink, fleet.call);
    await fleet.handlers.removeService({ service: 'web', options: undefined }, fleet.call);
    for (let second = 0; second < 60; second++) await fleet.pass(1);
    expect(fleet.store.serviceNamed('web')).toBeUndefined();
    expect(images()).toEqual([]);
  });

  test('that finds no node ends by its deadline, with the reason of each', async () => {
    await change({ image: 'good-2', tags: ['gone'] }).catch(() => undefined);
    expect(service().revision).toBe(1);
    for (const pick of [0, 1, 2]) await perform(fleet, { kind: 'pause', pick });
    await change({ image: 'good-2' });
    await until(atRest);
    expect(newestAction().message).toBe(
      'revision 2 was rolled back to revision 1: web-1 was not ready and admitted within 20000 ms: ' +
        'no node can take it: 3 are paused',
    );
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-1'));
  });
});

describe('while a rollout stands still', () => {
  beforeEach(async () => {
    await policy({ onFailure: FailureAction.PAUSE });
    await change({ image: 'good-2' });
    await until(() => newOnes().filter(({ arrived }) => arrived).length === 2);
    await change({ image: 'broken-3' });
    await until(atRest);
    expect(service().rollout?.state).toBe('failed');
    fleet.mustServe = false;
  });

  test('a slot that is lost comes back as what was rolled out last, never as what failed', async () => {
    for (const pick of [0, 1, 2, 3, 4]) await perform(fleet, { kind: 'lose', pick });
    await fleet.pass(60);
    expect(live()).toHaveLength(5);
    for (const image of images()) expect(['good-1', 'good-2']).toContain(image);
  });

  test('new slots are of what was rolled out last', async () => {
    await change({ replicas: 7 });
    await fleet.pass(20);
    expect(images().filter((image) => image === 'good-1').length).toBeGreaterThanOrEqual(5);
    expect(live()).toHaveLength(7);
  });

  test('resume tries again, and rollback leaves only what ran', async () => {
    await resume();
    await until(atRest);
    expect(service().rollout?.state).toBe('failed');
    await rollback();
    await until(atRest);
    expect(service()).toMatchObject({ revision: 4, rollout: null, spec: { image: 'good-1' } });
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-1'));
  });
});

test('with stop-first a slot that failed is filled with what ran before', async () => {
  fleet.mustServe = false;
  await policy({ order: UpdateOrder.STOP_FIRST, onFailure: FailureAction.PAUSE });
  await change({ image: 'broken-2' });
  await until(() => atRest() && live().length === 5 && live().every(({ arrived }) => arrived));
  expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-1'));
});

describe('revisions', () => {
  const list = async () => {
    const answer = await fleet.handlers.listRevisions({ service: 'web' }, fleet.call);
    return answer.revisions ?? [];
  };

  test('are kept with who made them, and what they were last', async () => {
    await change({ image: 'good-2' });
    await until(atRest);
    await policy({ parallelism: 2 });
    expect(await list()).toMatchObject([
      {
        ...{ revision: 2, current: true, containers: 5, principal: 'admin' },
        ...{ method: 'UpdateService', spec: { image: 'good-2', update: { parallelism: 2 } } },
      },
      {
        ...{ revision: 1, current: false, containers: 0, principal: 'admin' },
        ...{ method: 'CreateService', spec: { image: 'good-1', update: { parallelism: 1 } } },
      },
    ]);
  });

  test('are as many as the policy says, and the one that a rollout goes back to', async () => {
    await policy({ revisionsKept: 2 });
    for (const number of [2, 3, 4, 5]) await change({ image: `good-${number}` });
    expect((await list()).map(({ revision }) => revision)).toEqual([5, 4, 1]);
  });

  test('differ in what the diff says', async () => {
    await change({ image: 'good-2', environment: { COLOUR: 'green' } });
    const diff = (fromRevision: number, toRevision: number) =>
      fleet.handlers.diffRevisions({ service: 'web', fromRevision, toRevision }, fleet.call);
    expect(await diff(0, 0)).toEqual({
      fromRevision: 1,
      toRevision: 2,
      changes: [
        { path: 'environment.COLOUR', before: '', after: '"green"' },
        { path: 'image', before: '"good-1"', after: '"good-2"' },
      ],
    });
    expect((await diff(2, 2)).changes).toEqual([]);
    await expect(async () => diff(9, 1)).rejects.toMatchObject({ reason: 'REVISION_NOT_FOUND' });
  });
});

describe('U14: canaries', () => {
  const canaries = () => live().filter(({ revision }) => revision > 1);
  const old = () => live().filter(({ revision }) => revision === 1);
  const promote = async () =>
    await fleet.handlers.promoteService({ service: 'web', options: undefined }, fleet.call);
  const tries = () => service().rollout?.canaries ?? 0;
  let untouched: string[] = [];

  beforeEach(async () => {
    untouched = live().map(({ id }) => id);
    await policy({ canary: 2 });
  });

  const expectUntouched = () => {
    expect(old().map(({ id }) => id)).toEqual(untouched);
  };

  test('are tried beside what runs until they are promoted', async () => {
    await change({ image: 'good-2' });
    await expect(promote()).rejects.toMatchObject({ reason: 'CANARY_NOT_READY' });
    await until(atRest);
    expect(canaries()).toHaveLength(2);
    expectUntouched();
    const message = '2 canaries of revision 2 serve: promote it, or roll it back';
    expect(newestAction()).toMatchObject({ state: 'succeeded', message });
    expect(fleet.status('web')).toMatchObject({ state: 'paused', message });
    const request = { services: ['web'], nodes: [] };
    const { containers: shown } = await fleet.handlers.listContainers(request, fleet.call);
    const marked = shown?.filter(({ canary }) => canary) ?? [];
    expect(marked.map(({ revision }) => revision)).toEqual([2, 2]);

    await promote();
    await until(atRest);
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-2'));
    expect(newestAction()).toMatchObject({ method: 'PromoteService', state: 'succeeded' });
    expect(service()).toMatchObject({ rollout: null, base: { revision: 2 } });
    await expect(promote()).rejects.toMatchObject({ reason: 'NO_CANARY' });
  });

  test.each(['broken', 'mute'])(
    'that fail (%s) go, and what ran was never touched',
    async (kind) => {
      await change({ image: `${kind}-2` });
      await until(() => {
        expectUntouched();
        return atRest();
      });
      expect(service().rollout).toMatchObject({ state: 'rolled-back', canaries: 0 });
      expect(canaries()).toEqual([]);
      expect(newestAction().state).toBe('failed');
    },
  );

  test('that fall ill while they wait go as well', async () => {
    await change({ image: 'good-2' });
    await until(atRest);
    fleet.mustServe = false;
    for (let times = 0; times < 200 && tries() > 0; times++) {
      const [canary] = canaries();
      const agent = fleet.agents.find(({ id }) => id === canary?.nodeId);
      if (canary !== undefined) agent?.loseContainer(canary.id);
      await fleet.pass(1);
    }
    await until(() => service().rollout?.state === 'rolled-back' && canaries().length === 0);
    expectUntouched();
    const message = expect.stringMatching(/^going back to revision 1: web-\d failed/) as string;
    const { events } = fleet.store.events.after(0, { types: ['service.canary-failed'] }, 10);
    const action = newestAction();
    expect(events).toMatchObject([{ objectName: 'web', actionId: action.id, message }]);
    expect(action).toMatchObject({ method: 'UpdateService', state: 'succeeded', message });
    expect(action.timeline.map((entry) => entry.message)).toContainEqual(message);
  });

  test('go when they are rolled back, and when the definition is set back', async () => {
    for (const goBack of [rollback, () => change({ image: 'good-1' })]) {
      await change({ image: 'good-2' });
      await until(atRest);
      await goBack();
      await until(atRest);
      expect(service().rollout).toBeNull();
      expectUntouched();
      expect(canaries()).toEqual([]);
    }
  });

  test('promote themselves when that is asked', async () => {
    await policy({ canary: 1, autoPromote: true, settleMs: 3_000 });
    await change({ image: 'good-2' });
    await until(atRest);
    expect(newestAction()).toMatchObject({ method: 'UpdateService', state: 'succeeded' });
    expect(newestAction().timeline.map(({ message }) => message)).toContain(
      'the canaries of revision 2 have proven themselves: it goes everywhere',
    );
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-2'));
  });

  test('of a node that dies come back elsewhere', async () => {
    await change({ image: 'good-2' });
    await until(atRest);
    fleet.mustServe = false;
    const home = canaries()[0]!.nodeId;
    await perform(fleet, {
      kind: 'cut-agent',
      pick: fleet.agents.findIndex(({ id }) => id === home),
    });
    await until(
      () =>
        canaries().filter(({ arrived, nodeId }) => arrived && nodeId !== home).length === 2 &&
        old().filter(({ arrived, nodeId }) => arrived && nodeId !== home).length === 5,
    );
    expect(tries()).toBe(2);
    fleet.connectAll();
    await fleet.pass(30);
    expect([old().length, canaries().length]).toEqual([5, 2]);
    await promote();
    await until(atRest);
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-2'));
  });

  test('of an update before are taken away by the next', async () => {
    await change({ image: 'good-2' });
    await until(atRest);
    await change({ image: 'good-3' });
    await until(atRest);
    expectUntouched();
    expect(images()).toEqual([...Array.from({ length: 5 }, () => 'good-1'), 'good-3', 'good-3']);
  });

  test('stay as many when the count changes', async () => {
    await change({ image: 'good-2' });
    await until(atRest);
    await change({ replicas: 7 });
    await until(atRest);
    expect([old().length, canaries().length]).toEqual([7, 2]);
    await change({ replicas: 1 });
    await until(atRest);
    expect([old().length, canaries().length]).toEqual([1, 1]);
    await promote();
    await until(atRest);
    expect(images()).toEqual(['good-2']);
  });

  test('outlive a restart of the coordinator', async () => {
    await change({ image: 'good-2' });
    await until(atRest);
    const ids = live().map(({ id }) => id);
    await fleet.restartCoordinator({ killed: true });
    fleet.connectAll();
    await fleet.pass(20);
    expect(live().map(({ id }) => id)).toEqual(ids);
    await promote();
    await until(atRest);
    expect(images()).toEqual(Array.from({ length: 5 }, () => 'good-2'));
  });

  test('with stop-first take the place of what ran, which comes back if they fail', async () => {
    fleet.mustServe = false;
    await policy({ canary: 1, order: UpdateOrder.STOP_FIRST });
    await change({ image: 'mute-2' });
    await until(() => canaries().length === 1);
    expect(live()).toHaveLength(5);
    await until(() => atRest() && old().filter(({ arrived }) => arrived).length === 5);
    expect(service().rollout?.state).toBe('rolled-back');
  });
});
