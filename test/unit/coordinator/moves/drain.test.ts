import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Availability } from '../../../../shared/gen/fairlead/v1/node.ts';
import type { Action } from '../../../../coordinator/model.ts';
import { ModelFleet } from '../orchestrator/fleet/model-fleet.ts';
import { begin, perform, type Drain } from '../orchestrator/fleet/operations.ts';

let fleet: ModelFleet;

beforeEach(async () => {
  fleet = new ModelFleet({ nodes: 3, proxies: 1 });
  await begin(fleet, { replicas: 6 });
  await perform(fleet, {
    kind: 'policy',
    policy: { order: 0, parallelism: 3, onFailure: 0, failureBudget: 0, settleMs: 0 },
  });
  await fleet.pass(8);
  fleet.mustServe = true;
});

afterEach(async () => {
  expect(fleet.violations).toEqual([]);
  await fleet[Symbol.asyncDispose]();
});

const node = () => fleet.agents[0]!.id;
const onNode = () => fleet.store.containersOn(node());
const names = () => onNode().map(({ name, wanted }) => `${name} ${wanted}`);

async function drain(changes: Partial<Drain> = {}): Promise<void> {
  const wish = { parallelism: 0, deadlineSeconds: 0, force: false, ...changes };
  await perform(fleet, { kind: 'drain', pick: 0, drain: wish });
}

function action(): Action {
  return [...fleet.store.actions.values()].findLast(({ method }) => method === 'DrainNode')!;
}

const states = () => action().moves!.members.map(({ state }) => state);

async function set(availability: Availability, agent = 0): Promise<void> {
  await fleet.handlers.updateNode(
    {
      ...{ node: fleet.agents[agent]!.id, availability, tags: [], cluster: '' },
      ...{ updateMask: ['availability'], options: undefined },
    },
    fleet.call,
  );
}

describe('N7: a node that is drained', () => {
  test('N7: moves all that it has, each in place first, and says what moved where', async () => {
    await drain();
    expect(action()).toMatchObject({ state: 'in-progress', targetName: node() });
    await fleet.pass(15);
    expect(names()).toEqual([]);
    expect(action()).toMatchObject({ state: 'succeeded', message: '' });
    const { members } = action().moves!;
    expect(members).toHaveLength(2);
    for (const { from, to, state } of members) {
      expect({ from, state }).toEqual({ from: node(), state: 'moved' });
      expect(['node-2', 'node-3']).toContain(to);
    }
    const [{ container, to }] = members as [(typeof members)[0]];
    const lines = action().timeline.filter((entry) => entry.container === container);
    expect(lines.map(({ message }) => message)).toEqual([
      'is to leave node-1',
      `moves from node-1 to ${to}: waits for ${container}, which is pulling`,
      `moved from node-1 to ${to}`,
    ]);
  });

  test('N7: keeps the limit of how many move at a time', async () => {
    let most = 0;
    using _watch = fleet.store.subscribe(() => {
      const moving = onNode().filter((c) => c.eviction !== null && c.wanted === 'running');
      most = Math.max(most, moving.length);
    });
    await drain({ parallelism: 1 });
    await fleet.pass(25);
    expect(names()).toEqual([]);
    expect(most).toBe(1);
  });

  test('N7: keeps what has no place elsewhere, fails at the deadline, and goes on when there is one', async () => {
    await set(Availability.PAUSED, 1);
    await set(Availability.PAUSED, 2);
    await drain({ deadlineSeconds: 10 });
    await fleet.pass(5);
    expect(states()).toEqual(['stuck', 'stuck']);
    const [stuck] = action().moves!.members;
    expect(stuck?.reasons.map(({ node: refusing, reason }) => `${refusing} ${reason}`)).toEqual([
      'node-2 is paused',
      'node-3 is paused',
    ]);
    expect(action().state).toBe('in-progress');
    await fleet.pass(7);
    expect(action().state).toBe('failed');
    expect(action().message).toContain('not empty in time: 0 of 2 moved; web-');
    expect(action().message).toContain('no node can take it: 2 are paused');
    expect(onNode().map(({ wanted }) => wanted)).toEqual(['running', 'running']);
    await set(Availability.ACTIVE, 2);
    await fleet.pass(15);
    expect(names()).toEqual([]);
  });

  test('N7: takes the rest away at the deadline, if that is forced', async () => {
    await set(Availability.PAUSED, 1);
    await set(Availability.PAUSED, 2);
    await drain({ deadlineSeconds: 10, force: true });
    await fleet.pass(9);
    expect(onNode()).toHaveLength(2);
    fleet.mustServe = false;
    await fleet.pass(6);
    expect(names()).toEqual([]);
    expect(action()).toMatchObject({ state: 'succeeded' });
    expect(action().message).toContain('is not back yet: no node can take it');
    await set(Availability.ACTIVE, 1);
    await fleet.pass(10);
    expect(fleet.status('web')).toMatchObject({ state: 'running', message: '' });
  });

  test('N7: is empty at once by force without a deadline, but for what is in flight', async () => {
    fleet.mustServe = false;
    await perform(fleet, { kind: 'request', pick: 0 });
    await drain({ force: true });
    await fleet.pass(4);
    expect(onNode().map(({ wanted }) => wanted)).toContain('draining');
    await fleet.pass(8);
    expect(names()).toEqual([]);
    expect(states()).toEqual(['moved', 'moved']);
  });

  test('N7: gets nothing back when it is active again, and what had not begun stays', async () => {
    await drain();
    await fleet.pass(15);
    await set(Availability.ACTIVE);
    await fleet.pass(10);
    expect(names()).toEqual([]);

    await drain({ parallelism: 1 });
    await set(Availability.DRAINING, 1);
    await fleet.tick();
    await set(Availability.ACTIVE, 1);
    await fleet.pass(15);
    expect(fleet.store.containersOn(fleet.agents[1]!.id).length).toBeGreaterThan(0);
    for (const { eviction } of fleet.store.containers.values()) expect(eviction).toBeNull();
  });

  test('N7: is superseded by another drain, and by what ends it', async () => {
    await drain({ parallelism: 1 });
    const first = action();
    await drain();
    expect(fleet.store.actions.get(first.id)).toMatchObject({
      ...{ state: 'superseded', message: 'by DrainNode' },
    });
    const second = action();
    await set(Availability.PAUSED);
    expect(fleet.store.actions.get(second.id)).toMatchObject({ message: 'by UpdateNode' });
    expect(fleet.store.nodes.get(node())).toMatchObject({ availability: 'paused', drain: null });
  });

  test('N7: goes on after the coordinator was killed', async () => {
    await drain({ parallelism: 1 });
    await fleet.tick();
    fleet.mustServe = false;
    await fleet.restartCoordinator({ killed: true });
    fleet.connectAll();
    await fleet.pass(40);
    expect(names()).toEqual([]);
    expect(action()).toMatchObject({ state: 'succeeded' });
    expect(states()).toEqual(['moved', 'moved']);
  });
});
