import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PlanStepKind } from '../../../../../shared/gen/fairlead/v1/action.ts';
import { Availability } from '../../../../../shared/gen/fairlead/v1/node.ts';
import { PlacementStrategy } from '../../../../../shared/gen/fairlead/v1/service.ts';
import { ModelFleet } from './model-fleet.ts';
import { begin, perform, update } from './operations.ts';

let fleet: ModelFleet;

beforeEach(() => {
  fleet = new ModelFleet({ nodes: 3, proxies: 1 });
});

afterEach(async () => {
  expect(fleet.violations).toEqual([]);
  await fleet[Symbol.asyncDispose]();
});

async function change(
  agent: number,
  { tags = [], availability = 0 }: { tags?: string[]; availability?: Availability },
): Promise<void> {
  const updateMask = [availability === 0 ? 'tags' : 'availability'];
  const node = fleet.agents[agent]!.id;
  await fleet.handlers.updateNode(
    { node, tags, availability, cluster: '', updateMask, options: undefined },
    fleet.call,
  );
}

/** Where containers of the service are that are there to stay. */
function places(): string[] {
  const { id } = fleet.service('web');
  const live = fleet.store.containersOf(id).filter(({ wanted }) => wanted === 'running');
  return live.map(({ nodeId }) => nodeId ?? 'nowhere').sort();
}

const ids = () => [...fleet.store.containers.values()].map(({ id }) => id);

const everywhere = { replicas: 3, strategy: PlacementStrategy.EVERY_NODE } as const;

test('S14: every node has one; one that is drained or does not fit loses it, and gets one again', async () => {
  await begin(fleet, everywhere);
  await fleet.pass(6);
  expect(places()).toEqual(['node-1', 'node-2', 'node-3']);
  await change(1, { availability: Availability.DRAINING });
  await fleet.pass(6);
  expect(places()).toEqual(['node-1', 'node-3']);
  expect([...fleet.agents[1]!.engine.keys()]).toEqual([]);
  await change(1, { availability: Availability.ACTIVE });
  await fleet.pass(6);
  expect(places()).toEqual(['node-1', 'node-2', 'node-3']);
});

test('S14: a coordinator that restarts makes no second one', async () => {
  await begin(fleet, everywhere);
  await fleet.pass(6);
  const before = ids();
  await fleet.restartCoordinator({ killed: true });
  fleet.connectAll();
  await fleet.pass(15);
  expect(ids()).toEqual(before);
});

test('N13: a tag that a node gets or loses acts at once', async () => {
  await begin(fleet, everywhere);
  await fleet.pass(6);
  await update(fleet, { tags: ['blue'] }, ['tags']);
  await fleet.pass(6);
  expect(places()).toEqual([]);
  await change(1, { tags: ['blue'] });
  await fleet.advance(50);
  expect(places()).toEqual(['node-2']);
  await change(1, {});
  await fleet.advance(50);
  expect(places()).toEqual([]);
});

/** What giving a node tags would do, container by container. */
async function planOfTags(agent: number, tags: string[]) {
  const [node, updateMask] = [fleet.agents[agent]!.id, ['tags']];
  const { plan } = await fleet.handlers.updateNode(
    {
      ...{ node, tags, availability: 0, cluster: '', updateMask },
      options: { version: 0, requestId: '', dryRun: true },
    },
    fleet.call,
  );
  return plan?.steps?.map(({ kind, container }) => [kind, container]);
}

const scale = async (replicas: number) =>
  await fleet.handlers.scaleService({ service: 'web', replicas, options: undefined }, fleet.call);

test('S13: of an every-node service a node that gets a tag that is avoided loses its container at once', async () => {
  await begin(fleet, everywhere);
  await fleet.pass(6);
  const before = ids();
  await update(fleet, { avoidTags: ['old', 'arch=arm64'] }, ['avoid_tags']);
  await fleet.pass(6);
  expect(ids()).toEqual(before);
  const own = fleet.store
    .containersOf(fleet.service('web').id)
    .find(({ nodeId }) => nodeId === 'node-2');
  expect(await planOfTags(1, ['old'])).toEqual([[PlanStepKind.REMOVE, own?.name]]);
  await change(1, { tags: ['old'] });
  await fleet.advance(50);
  expect(places()).toEqual(['node-1', 'node-3']);
  await fleet.pass(6);
  expect([...fleet.agents[1]!.engine.keys()]).toEqual([]);
  await change(1, {});
  await fleet.advance(50);
  expect(places()).toEqual(['node-1', 'node-2', 'node-3']);
});

test('S13: a node with a tag that is avoided keeps what runs there and takes no more, as explain says', async () => {
  await begin(fleet, { replicas: 3 });
  await fleet.pass(6);
  const [before, revision] = [ids(), fleet.service('web').revision];
  await change(0, { tags: ['old'] });
  await update(fleet, { avoidTags: ['old', 'edge'] }, ['avoid_tags']);
  await fleet.pass(6);
  expect([ids(), fleet.service('web').revision]).toEqual([before, revision]);
  await scale(5);
  await fleet.pass(6);
  expect(places()).toEqual(['node-1', 'node-2', 'node-2', 'node-3', 'node-3']);
  await change(1, { availability: Availability.PAUSED });
  await change(2, { tags: ['edge', 'old'] });
  await scale(6);
  await fleet.pass(3);
  const subject = { $case: 'service', value: 'web' } as const;
  const { waits = [] } = await fleet.handlers.explain({ subject }, fleet.call);
  expect(waits).toMatchObject([
    {
      container: 'web-6',
      placement: [
        { filter: 'TAG_AVOIDED', reason: 'has the tag "old", which the service avoids' },
        { filter: 'NOT_ACTIVE', reason: 'is paused' },
        { filter: 'TAG_AVOIDED', reason: 'has the tags "old", "edge", which the service avoids' },
      ],
    },
  ]);
  await change(2, {});
  await fleet.advance(50);
  expect(places().filter((node) => node === 'node-3')).toHaveLength(3);
});

test('S6: what waits for a node is placed when one takes it, with nothing else changed', async () => {
  for (const agent of fleet.agents.keys()) {
    await change(agent, { availability: Availability.PAUSED });
  }
  await begin(fleet, { replicas: 2 });
  await fleet.pass(3);
  expect(places()).toEqual(['nowhere', 'nowhere']);
  await change(2, { availability: Availability.ACTIVE });
  await fleet.advance(50);
  expect(places()).toEqual(['node-3', 'node-3']);
});

test('C1: killed at any moment of a deployment, the coordinator ends it, and makes nothing twice', async () => {
  await begin(fleet, { replicas: 3 });
  for (let tick = 0; tick < 6; tick++) {
    await fleet.tick();
    await fleet.restartCoordinator({ killed: true });
    fleet.connectAll();
    await fleet.pass(11);
  }
  await fleet.pass(10);
  expect(places()).toHaveLength(3);
  const engines = fleet.agents.flatMap(({ engine }) => [...engine.keys()]);
  expect(engines.sort()).toEqual(ids().sort());
});

test('C2: attempts and the waits between them are kept over a restart of the coordinator', async () => {
  await begin(fleet, { replicas: 2 });
  // Nothing served before, so that there is nothing to go back to, and all the patience that there is.
  await perform(fleet, { kind: 'update', image: 'broken' });
  await fleet.pass(4);
  await fleet.restartCoordinator({ killed: true });
  fleet.connectAll();
  await fleet.pass(60);
  expect(fleet.status('web')).toMatchObject({
    state: 'failed',
    message: expect.stringContaining('web-1 failed 3 times') as string,
  });
  expect(places()).toHaveLength(2);
});

describe.each([6, -6])('a clock that is set by %d hours', (hours) => {
  const setClock = () => {
    fleet.clock.setWallClock(hours * 3_600_000);
  };
  const web = () => fleet.service('web');

  beforeEach(async () => {
    await begin(fleet, { replicas: 3 });
    await fleet.pass(6);
  });

  test('cuts no drain short and draws none out', async () => {
    await perform(fleet, { kind: 'request', pick: 0 });
    await perform(fleet, { kind: 'scale', replicas: 0 });
    await fleet.pass(2);
    const draining = () =>
      fleet.store.containersOf(web().id).filter(({ wanted }) => wanted === 'draining').length;
    expect(draining()).toBe(1);
    setClock();
    await fleet.pass(3);
    expect(draining()).toBe(1);
    await fleet.pass(3);
    expect(draining()).toBe(0);
  });

  test('ends no rollout, and does not keep it from ending', async () => {
    const { containers } = fleet.store;
    await update(fleet, { image: 'mute-2' }, ['image']);
    await fleet.pass(10);
    const tried = [...containers.values()].filter(({ revision }) => revision === 2);
    expect(tried).toHaveLength(1);
    setClock();
    await fleet.pass(5);
    expect(web().rollout).toMatchObject({ state: 'going', failedSlots: [] });
    expect(containers.get(tried[0]!.id)).toMatchObject({ wanted: 'running' });
    await fleet.pass(40);
    expect(web().rollout).toMatchObject({ state: 'rolled-back' });
    expect(fleet.status('web').state).toBe('running');
  });

  test('leaves a node that failed alone for as long as before', async () => {
    await update(fleet, { image: 'broken-2' }, ['image']);
    for (let second = 0; second < 20 && web().failures.length === 0; second++) await fleet.pass(1);
    const before = web().failures.map(({ count, lastAtMs }) => ({ count, lastAtMs }));
    expect(before).not.toEqual([]);
    const nowMs = fleet.time.now();
    setClock();
    await fleet.pass(1);
    const byMs = fleet.time.now() - nowMs - 1_000;
    for (const { count, lastAtMs } of before) {
      const moved = web().failures.filter((each) => each.lastAtMs >= lastAtMs + byMs);
      expect(Math.max(...moved.map((each) => each.count))).toBeGreaterThanOrEqual(count);
    }
    await update(fleet, { image: 'good-3' }, ['image']);
    await fleet.pass(40);
    expect(fleet.status('web')).toMatchObject({ state: 'running', message: '' });
  });

  test('while a coordinator runs does nothing to what another one finds', async () => {
    await perform(fleet, { kind: 'request', pick: 0 });
    await perform(fleet, { kind: 'scale', replicas: 2 });
    await fleet.pass(1);
    setClock();
    await fleet.pass(1);
    await fleet.restartCoordinator({ killed: true });
    fleet.connectAll();
    const { id } = web();
    expect(fleet.store.containersOf(id)).toHaveLength(3);
    await fleet.pass(15);
    expect(fleet.store.containersOf(id)).toHaveLength(2);
    expect(fleet.status('web')).toMatchObject({ state: 'running', message: '' });
  });
});

test('a clock that was set back while there was no coordinator keeps nothing waiting', async () => {
  await begin(fleet, { replicas: 3 });
  await fleet.pass(6);
  await perform(fleet, { kind: 'request', pick: 0 });
  await perform(fleet, { kind: 'scale', replicas: 2 });
  await fleet.pass(1);
  fleet.clock.setWallClock(-6 * 3_600_000);
  await fleet.restartCoordinator({ killed: true });
  fleet.connectAll();
  await fleet.pass(15);
  expect(fleet.store.containersOf(fleet.service('web').id)).toHaveLength(2);
});
