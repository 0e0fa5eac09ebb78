import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Availability } from '../../../../shared/gen/fairlead/v1/node.ts';
import { UpdateOrder } from '../../../../shared/gen/fairlead/v1/service.ts';
import { DomainError } from '../../../../shared/errors.ts';
import { countBy } from '../../../../shared/collections.ts';
import type { Action } from '../../../../coordinator/model.ts';
import { ModelFleet } from '../orchestrator/fleet/model-fleet.ts';
import { begin, perform, type ServiceOptions } from '../orchestrator/fleet/operations.ts';

let fleet: ModelFleet;

beforeEach(() => {
  fleet = new ModelFleet({ nodes: 3, proxies: 1 });
});

afterEach(async () => {
  expect(fleet.violations).toEqual([]);
  await fleet[Symbol.asyncDispose]();
});

/** Deploys while one node takes nothing, and has it take something then. */
async function unevenly(options: ServiceOptions): Promise<void> {
  await set(Availability.PAUSED);
  await begin(fleet, options);
  await fleet.pass(8);
  await set(Availability.ACTIVE);
  await fleet.pass(2);
}

async function set(availability: Availability): Promise<void> {
  await fleet.handlers.updateNode(
    {
      ...{ node: 'node-3', availability, tags: [], cluster: '' },
      ...{ updateMask: ['availability'], options: undefined },
    },
    fleet.call,
  );
}

const rebalance = (services: string[] = [], dryRun = false) =>
  fleet.handlers.rebalanceServices(
    {
      ...{ services, parallelism: 1, maxMoves: 0 },
      options: { dryRun, requestId: '', version: 0 },
    },
    fleet.call,
  );

function counts(): number[] {
  const { id } = fleet.service('web');
  const live = fleet.store.containersOf(id).filter(({ wanted }) => wanted === 'running');
  const on = countBy(live, ({ nodeId }) => nodeId);
  return fleet.agents.map((agent) => on.get(agent.id) ?? 0);
}

const action = (): Action =>
  [...fleet.store.actions.values()].findLast(({ method }) => method === 'RebalanceServices')!;

describe('S3: a node that joins', () => {
  test('S3: gets what is new, while what runs stays until that is asked for', async () => {
    await unevenly({ replicas: 4 });
    expect(counts()).toEqual([2, 2, 0]);
    await perform(fleet, { kind: 'scale', replicas: 6 });
    await fleet.pass(8);
    expect(counts()).toEqual([2, 2, 2]);
  });

  test('S3: is filled by a rebalance, one after the other, each in place first', async () => {
    await unevenly({ replicas: 6 });
    fleet.mustServe = true;
    const planned = await rebalance(['web'], true);
    expect(
      planned.plan?.steps?.map(({ container, node, reason }) => `${container} ${node} ${reason}`),
    ).toEqual([
      expect.stringMatching(/^web-\d node-3 node-\d has 3, node-3 has 0$/),
      expect.stringMatching(/^web-\d node-3 node-\d has 3, node-3 has 1$/),
    ]);
    expect(counts()).toEqual([3, 3, 0]);
    await rebalance(['web']);
    await fleet.pass(20);
    expect(counts()).toEqual([2, 2, 2]);
    expect(action()).toMatchObject({ state: 'succeeded', message: '', targetName: 'web' });
    const moved = action().moves!.members.map(({ state, to }) => `${state} ${to}`);
    expect(moved).toEqual(['moved node-3', 'moved node-3']);
    for (const { eviction } of fleet.store.containers.values()) expect(eviction).toBeNull();
  });
});

describe('a rebalance', () => {
  test('does nothing where all is even, and says so at once', async () => {
    await begin(fleet, { replicas: 3 });
    await fleet.pass(8);
    expect((await rebalance([], true)).plan).toEqual({ steps: [] });
    await rebalance();
    await fleet.pass(2);
    expect(action()).toMatchObject({ state: 'succeeded', message: '', targetKind: 'fleet' });
    expect(counts()).toEqual([1, 1, 1]);
  });

  test('leaves what is replaced stop-first, and says why', async () => {
    await unevenly({ replicas: 6, order: UpdateOrder.STOP_FIRST });
    const { plan } = await rebalance(['web'], true);
    expect(plan?.steps?.map(({ reason }) => reason)).toEqual([
      'web: it is replaced stop-first: each container would be missing while it moves',
    ]);
    await rebalance(['web']);
    await fleet.pass(5);
    expect(counts()).toEqual([3, 3, 0]);
  });

  test('goes on after the coordinator was killed, and ends when another begins', async () => {
    await unevenly({ replicas: 6 });
    await rebalance(['web']);
    await fleet.tick();
    await fleet.restartCoordinator({ killed: true });
    fleet.connectAll();
    const first = action();
    await fleet.pass(30);
    expect(counts()).toEqual([2, 2, 2]);
    expect(fleet.store.actions.get(first.id)).toMatchObject({ state: 'succeeded' });
  });

  test('is superseded by a newer one of the same service', async () => {
    await unevenly({ replicas: 6 });
    await rebalance(['web']);
    const first = action();
    await rebalance(['web', 'lb']);
    expect(fleet.store.actions.get(first.id)).toMatchObject({ state: 'superseded' });
    await fleet.pass(25);
    expect(counts()).toEqual([2, 2, 2]);
  });

  test('of what is not there is refused', async () => {
    await begin(fleet, { replicas: 1 });
    await expect(async () => await rebalance(['nothing'])).rejects.toThrow(DomainError);
  });
});
