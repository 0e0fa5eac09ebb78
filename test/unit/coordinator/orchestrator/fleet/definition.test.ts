import { describe, expect, test } from 'vitest';
import { NetworkMode } from '../../../../../shared/gen/fairlead/v1/container_options.ts';
import {
  PlacementStrategy,
  RestartPolicy,
  ServiceSpec,
  type DeepPartial,
  type Volume,
} from '../../../../../shared/gen/fairlead/v1/service.ts';
import { countBy } from '../../../../../shared/collections.ts';
import { nodeId } from '../../../../support/builders.ts';
import { ModelFleet } from './model-fleet.ts';
import { begin } from './operations.ts';

// What a definition asks of nodes, from the call to where its containers run: the core is real, agents and
// engines are models.

async function create(fleet: ModelFleet, name: string, spec: DeepPartial<ServiceSpec>) {
  const message = ServiceSpec.fromPartial({ image: 'good-1', ...spec });
  const request = { name, start: true, options: undefined, spec: message };
  return await fleet.handlers.createService(request, fleet.call);
}

function giveVolumes(fleet: ModelFleet, node: string, ...volumes: string[]): void {
  fleet.store.transact((tx) => {
    const record = tx.nodes.get(nodeId(node))!;
    tx.nodes.put({ ...record, volumes });
  });
}

/** Where the containers of a service are, by their slots; '-' for nowhere. */
function placesOf(fleet: ModelFleet, name: string): string[] {
  return fleet.store
    .containersOf(fleet.service(name).id)
    .toSorted((a, b) => a.slot - b.slot)
    .map((container) => container.nodeId ?? '-');
}

function filtersOf(fleet: ModelFleet, name: string): string[] {
  const pending = fleet.store
    .containersOf(fleet.service(name).id)
    .filter((container) => container.nodeId === null);
  return pending.flatMap(({ id }) => fleet.reasonsOf(id).map(({ filter }) => filter));
}

const named = (name: string, external = false): DeepPartial<Volume> => ({
  containerPath: `/${name}`,
  source: { $case: 'named', value: { name, external } },
});

async function aFleet(nodes: number): Promise<ModelFleet> {
  const fleet = new ModelFleet({ nodes, proxies: 0 });
  fleet.connectAll();
  await fleet.pass(1);
  return fleet;
}

describe('A13: volumes', () => {
  test('that must be there and are nowhere are refused, and where they are decides', async () => {
    await using fleet = await aFleet(3);
    const spec = { volumes: [named('data', true)] };
    await expect(create(fleet, 'db', spec)).rejects.toMatchObject({ reason: 'NO_ELIGIBLE_NODE' });
    giveVolumes(fleet, 'node-2', 'data');
    await create(fleet, 'db', spec);
    await fleet.pass(5);
    expect(placesOf(fleet, 'db')).toEqual(['node-2']);
  });

  test('of several nodes take a container to one that has all', async () => {
    await using fleet = await aFleet(3);
    giveVolumes(fleet, 'node-1', 'a');
    giveVolumes(fleet, 'node-3', 'a', 'b');
    await create(fleet, 'db', { volumes: [named('a', true), named('b', true)] });
    giveVolumes(fleet, 'node-2', 'c');
    const apart = { volumes: [named('b', true), named('c', true)] };
    await expect(create(fleet, 'no', apart)).rejects.toMatchObject({ reason: 'NO_ELIGIBLE_NODE' });
    await fleet.pass(5);
    expect(placesOf(fleet, 'db')).toEqual(['node-3']);
  });

  test('keep a service on their node through updates, stop-first', async () => {
    await using fleet = await aFleet(3);
    await create(fleet, 'db', { replicas: 2, volumes: [named('new')] });
    await fleet.pass(5);
    const [home] = placesOf(fleet, 'db');
    expect(placesOf(fleet, 'db')).toEqual([home, home]);
    const request = { service: 'db', options: undefined };
    await fleet.handlers.redeployService(request, fleet.call);
    await fleet.pass(1);
    expect(placesOf(fleet, 'db')).toHaveLength(2);
    await fleet.pass(30);
    expect(placesOf(fleet, 'db')).toEqual([home, home]);
    expect(fleet.status('db').state).toBe('running');
  });

  test('of another service are mounted where they are', async () => {
    await using fleet = await aFleet(3);
    await create(fleet, 'db', { volumes: [named('data')] });
    await create(fleet, 'backup', { volumesFrom: ['db'] });
    await fleet.pass(5);
    expect(placesOf(fleet, 'backup')).toEqual(placesOf(fleet, 'db'));
    const [backup] = fleet.store.containersOf(fleet.service('backup').id);
    expect(backup?.definition?.volumes.map(({ containerPath }) => containerPath)).toEqual([
      '/data',
    ]);
    const removal = { service: 'db', options: undefined };
    await expect(
      (async () => await fleet.handlers.removeService(removal, fleet.call))(),
    ).rejects.toMatchObject({ reason: 'SERVICE_VOLUMES_USED' });
  });
});

test('S8: reservations are respected, and what is gone frees them', async () => {
  await using fleet = await aFleet(2);
  // Each node of the model has one processor.
  const spec = { replicas: 5, reservation: { cpuMillis: 500 } };
  await create(fleet, 'web', spec);
  await fleet.pass(5);
  expect(placesOf(fleet, 'web').toSorted()).toEqual(['-', 'node-1', 'node-1', 'node-2', 'node-2']);
  expect(filtersOf(fleet, 'web')).toEqual(['NOT_ENOUGH_CPU', 'NOT_ENOUGH_CPU']);
  await fleet.handlers.scaleService(
    { service: 'web', replicas: 4, options: undefined },
    fleet.call,
  );
  await create(fleet, 'other', { reservation: { cpuMillis: 500 } });
  await fleet.pass(5);
  expect(placesOf(fleet, 'other')).toEqual(['-']);
  await fleet.handlers.scaleService(
    { service: 'web', replicas: 3, options: undefined },
    fleet.call,
  );
  await fleet.pass(40);
  expect(placesOf(fleet, 'other')).not.toEqual(['-']);
});

test('S9: an image is not placed on another platform', async () => {
  await using fleet = await aFleet(2);
  const spec = { platforms: ['linux/arm64'] };
  await expect(create(fleet, 'web', spec)).rejects.toMatchObject({ reason: 'NO_ELIGIBLE_NODE' });
});

test("S10: in the nodes' network one container takes its port on each node", async () => {
  await using fleet = await aFleet(2);
  const ports = [{ containerPort: 80 }];
  await create(fleet, 'web', { replicas: 3, ports, container: { network: NetworkMode.HOST } });
  await fleet.pass(5);
  expect(placesOf(fleet, 'web').toSorted()).toEqual(['-', 'node-1', 'node-2']);
  expect(filtersOf(fleet, 'web')).toEqual(['PORT_TAKEN', 'PORT_TAKEN']);
});

test('S4: a service is even over zones, placed, scaled down and rebalanced', async () => {
  await using fleet = await aFleet(5);
  const nodes = [...fleet.store.nodes.values()];
  fleet.store.transact((tx) => {
    for (const [index, node] of nodes.entries()) {
      tx.nodes.put({ ...node, tags: [index === 0 ? 'zone=a' : 'zone=b'] });
    }
  });
  const counts = () => Object.fromEntries(countBy(placesOf(fleet, 'web'), (place) => place));
  await create(fleet, 'web', { replicas: 8, spreadOver: ['zone'] });
  await fleet.pass(30);
  const others = { 'node-2': 1, 'node-3': 1, 'node-4': 1, 'node-5': 1 };
  expect(counts()).toEqual({ 'node-1': 4, ...others });
  const scale = { service: 'web', replicas: 4, options: undefined };
  await fleet.handlers.scaleService(scale, fleet.call);
  await fleet.pass(40);
  const zoneB = Object.entries(counts()).filter(([node]) => node !== 'node-1');
  expect([counts()['node-1'], zoneB]).toEqual([2, [expect.anything(), expect.anything()]]);
});

test('S13: what is malformed, what contradicts itself and what no node fulfils is refused at create', async () => {
  await using fleet = await aFleet(3);
  const both = { tags: ['web', 'arch=amd64'], avoidTags: ['arch=amd64'] };
  for (const asked of [both, { avoidTags: ['zone!=a'] }]) {
    await expect(create(fleet, 'web', asked)).rejects.toMatchObject({
      ...{ kind: 'invalid', violations: [{ field: 'spec.avoid_tags[0]' }] },
    });
  }
  for (const avoided of ['arch=amd64', 'os=linux', 'hostname=model']) {
    await expect(create(fleet, 'web', { avoidTags: ['edge', avoided] })).rejects.toMatchObject({
      reason: 'NO_ELIGIBLE_NODE',
      message: `web: no node can take it: 3 have the tag "${avoided}", which the service avoids`,
    });
  }
});

test('S13: tags that a node must have and must not have, its own and automatic ones, hold together', async () => {
  await using fleet = await aFleet(4);
  const tags = [['web'], ['web', 'old'], [], ['web', 'edge']];
  fleet.store.transact((tx) => {
    for (const [index, node] of [...tx.nodes.values()].entries()) {
      tx.nodes.put({ ...node, tags: tags[index]! });
    }
  });
  const asked = { tags: ['web', 'arch=amd64'], avoidTags: ['old', 'arch=arm64', 'hostname=other'] };
  await create(fleet, 'web', { replicas: 4, ...asked });
  await fleet.pass(5);
  expect(placesOf(fleet, 'web').toSorted()).toEqual(['node-1', 'node-1', 'node-4', 'node-4']);
});

test('S11: no more containers than may be are on a node', async () => {
  await using fleet = await aFleet(2);
  await create(fleet, 'web', { replicas: 3, maxPerNode: 1 });
  await fleet.pass(5);
  expect(placesOf(fleet, 'web').toSorted()).toEqual(['-', 'node-1', 'node-2']);
  expect(filtersOf(fleet, 'web')).toEqual(['MAX_PER_NODE', 'MAX_PER_NODE']);
});

describe('sequential deployment', () => {
  test('A10: one container that cannot be started stops those that would follow', async () => {
    await using fleet = await aFleet(3);
    await create(fleet, 'web', { image: 'broken-1', replicas: 3, sequential: true });
    await fleet.pass(60);
    const slots = fleet.store.containersOf(fleet.service('web').id).map(({ slot }) => slot);
    expect(new Set(slots)).toEqual(new Set([1]));
  });

  test('comes to all of them in the end', async () => {
    await using fleet = await aFleet(3);
    const spec = { replicas: 3, sequential: true, restart: RestartPolicy.ALWAYS };
    await create(fleet, 'web', spec);
    await fleet.pass(1);
    expect(placesOf(fleet, 'web')).toHaveLength(1);
    await fleet.pass(60);
    expect(placesOf(fleet, 'web')).toHaveLength(3);
    expect(fleet.status('web').state).toBe('running');
  });
});

describe('FAILING_HERE: a node that keeps failing a revision', () => {
  test('is left alone while others take it, and tried again later', async () => {
    await using fleet = await aFleet(2);
    const [bad] = fleet.agents;
    bad!.refuses = true;
    const strategy = PlacementStrategy.HIGH_AVAILABILITY;
    await create(fleet, 'web', { replicas: 6, strategy });
    await fleet.pass(10);
    expect(placesOf(fleet, 'web')).toEqual(Array.from({ length: 6 }, () => 'node-2'));
    const scale = async (replicas: number) =>
      await fleet.handlers.scaleService(
        { service: 'web', replicas, options: undefined },
        fleet.call,
      );
    await scale(7);
    await fleet.pass(1);
    expect(placesOf(fleet, 'web').at(-1)).toBe('node-2');
    bad!.refuses = false;
    await fleet.pass(30);
    await scale(8);
    await fleet.pass(5);
    expect(placesOf(fleet, 'web').at(-1)).toBe('node-1');
    expect(fleet.status('web').state).toBe('running');
  });

  test('and is the only one is tried again at a pace that a restart does not change', async () => {
    await using fleet = await aFleet(1);
    const [only] = fleet.agents;
    only!.refuses = true;
    await create(fleet, 'web', { replicas: 4 });
    await fleet.pass(6);
    expect(new Set(filtersOf(fleet, 'web'))).toEqual(new Set(['FAILING_HERE']));
    await fleet.restartCoordinator({ killed: true });
    fleet.connectAll();
    await fleet.pass(1);
    expect(new Set(filtersOf(fleet, 'web'))).toEqual(new Set(['FAILING_HERE']));
    expect(fleet.status('web').message).toContain('1 keeps failing it: ');
    only!.refuses = false;
    await fleet.pass(40);
    expect(fleet.status('web')).toMatchObject({ state: 'running', message: '' });
    expect(fleet.service('web').failures).toEqual([]);
  });

  test('is a new chance for a new revision', async () => {
    await using fleet = await aFleet(1);
    const [only] = fleet.agents;
    await create(fleet, 'web', { image: 'broken-1', replicas: 4 });
    await fleet.pass(6);
    expect(new Set(filtersOf(fleet, 'web'))).toEqual(new Set(['FAILING_HERE']));
    expect(only!.refuses).toBe(false);
    const spec = ServiceSpec.fromPartial({ image: 'good-2' });
    const request = { service: 'web', spec, updateMask: ['image'], options: undefined };
    await fleet.handlers.updateService(request, fleet.call);
    await fleet.pass(5);
    expect(fleet.status('web')).toMatchObject({ state: 'running', message: '' });
  });
});

describe('restarts', () => {
  /** When the attempts of a slot were made, in seconds from now. */
  async function attemptsOf(fleet: ModelFleet, seconds: number, restartAt: number) {
    const seen = new Map<number, number>();
    for (let second = 0; second < seconds; second++) {
      if (second === restartAt) {
        await fleet.restartCoordinator({ killed: true });
        fleet.connectAll();
      }
      await fleet.pass(1);
      for (const { attempt, createdAtMs } of fleet.store.containersOf(fleet.service('web').id)) {
        seen.set(attempt, createdAtMs);
      }
    }
    return seen;
  }

  test('T2: wait their time, also over a restart of the coordinator', async () => {
    await using fleet = await aFleet(3);
    await create(fleet, 'web', { image: 'broken-1' });
    const attempts = await attemptsOf(fleet, 40, 4);
    expect([...attempts.keys()]).toEqual([1, 2, 3]);
    expect(attempts.get(2)! - attempts.get(1)!).toBeGreaterThanOrEqual(1_000);
    expect(attempts.get(3)! - attempts.get(2)!).toBeGreaterThanOrEqual(5_000);
  });

  test('T3: end with the third attempt', async () => {
    await using fleet = await aFleet(3);
    await create(fleet, 'web', { image: 'broken-1' });
    await fleet.pass(300);
    const containers = fleet.store.containersOf(fleet.service('web').id);
    expect(containers.map(({ attempt }) => attempt)).toEqual([3]);
    expect(fleet.status('web')).toMatchObject({
      state: 'failed',
      message: expect.stringContaining('web-1 failed 3 times: no such command') as string,
    });
  });

  test('T5: leave no history behind, and none after the service is removed', async () => {
    await using fleet = await aFleet(2);
    await create(fleet, 'web', { image: 'broken-1', replicas: 3, maxPerNode: 1 });
    for (let second = 0; second < 60; second++) {
      await fleet.pass(1);
      const slots = fleet.store.containersOf(fleet.service('web').id).map(({ slot }) => slot);
      for (const slot of [1, 2, 3]) expect(slots.filter((s) => s === slot).length).toBeLessThan(4);
    }
    await fleet.handlers.removeService({ service: 'web', options: undefined }, fleet.call);
    await fleet.pass(20);
    expect([fleet.store.services.size, fleet.store.containers.size]).toEqual([0, 0]);
    expect(fleet.agents.flatMap(({ engine }) => [...engine.keys()])).toEqual([]);
  });
});

describe('a container whose liveness fails', () => {
  test('is restarted only when its load balancers have drained it', async () => {
    await using fleet = new ModelFleet({ nodes: 1, proxies: 1 });
    await begin(fleet, { replicas: 1 });
    await fleet.pass(10);
    const [agent] = fleet.agents;
    const [proxy] = fleet.proxies;
    proxy!.begin(0);
    agent!.sicken(0);
    await fleet.pass(5);
    expect(fleet.restarts).toBe(0);
    const [container] = fleet.store.containersOf(fleet.service('web').id);
    expect(proxy!.serverOf(container!.id)?.mode).toBe('drain');
    proxy!.finishAll();
    await fleet.pass(5);
    expect(fleet.restarts).toBe(1);
    expect(proxy!.serverOf(container!.id)?.mode).toBe('ready');
    expect(fleet.violations).toEqual([]);
    expect(fleet.status('web').state).toBe('running');
  });

  test('is drained anew each time, and at once without load balancers', async () => {
    await using fleet = await aFleet(1);
    await create(fleet, 'web', { ports: [{ containerPort: 80 }] });
    await fleet.pass(5);
    for (const times of [1, 2, 3]) {
      fleet.agents[0]!.sicken(0);
      await fleet.pass(5);
      expect(fleet.restarts).toBe(times);
    }
    expect(fleet.status('web').state).toBe('running');
  });
});
