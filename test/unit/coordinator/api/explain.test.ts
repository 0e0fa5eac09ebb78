import { afterEach, beforeEach, expect, test } from 'vitest';
import type {
  ExplainRequest,
  ExplainResponse,
} from '../../../../shared/gen/fairlead/v1/control_service.ts';
import { Availability } from '../../../../shared/gen/fairlead/v1/node.ts';
import { RolloutStepState } from '../../../../shared/gen/fairlead/v1/explanation.ts';
import { ModelFleet } from '../orchestrator/fleet/model-fleet.ts';
import { begin, perform } from '../orchestrator/fleet/operations.ts';

let fleet: ModelFleet;

beforeEach(() => {
  fleet = new ModelFleet({ nodes: 2, proxies: 1 });
});

afterEach(async () => {
  expect(fleet.violations).toEqual([]);
  await fleet[Symbol.asyncDispose]();
});

async function explain($case: 'service' | 'container' | 'action', value: string) {
  const subject: ExplainRequest['subject'] = { $case, value };
  return (await fleet.handlers.explain({ subject }, fleet.call)) as ExplainResponse;
}

async function pause(agent: number): Promise<void> {
  const [node, updateMask] = [fleet.agents[agent]!.id, ['availability']];
  const change = { tags: [], availability: Availability.PAUSED, cluster: '', options: undefined };
  await fleet.handlers.updateNode({ node, updateMask, ...change }, fleet.call);
}

const newestAction = () => [...fleet.store.actions.values()].at(-1)!.id;

test('of what is as it was asked there is nothing to wait for', async () => {
  await begin(fleet, { replicas: 2 });
  await fleet.pass(6);
  expect(await explain('service', 'web')).toMatchObject({
    ...{ summary: 'web is running', waits: [], steps: [], containers: [], actions: [] },
    time: new Date(fleet.clock.now()),
  });
  expect(await explain('container', 'web-1')).toMatchObject({
    ...{ summary: 'web-1 waits for nothing', waits: [], containers: [{ name: 'web-1' }] },
  });
});

test('a container that no node takes says why each refuses, and since when', async () => {
  for (const agent of fleet.agents.keys()) await pause(agent);
  const since = new Date(fleet.clock.now());
  await begin(fleet, { replicas: 1 });
  await fleet.pass(3);
  for (const answer of [await explain('service', 'web'), await explain('container', 'web-1')]) {
    expect(answer.waits).toMatchObject([
      {
        container: 'web-1',
        node: '',
        message: 'web-1 to be placed: no node can take it: 2 are paused',
        placement: [
          { node: 'node-1', filter: 'NOT_ACTIVE' },
          { node: 'node-2', filter: 'NOT_ACTIVE' },
        ],
      },
    ]);
    const [wait] = answer.waits;
    expect(wait!.since!.getTime()).toBeGreaterThanOrEqual(since.getTime());
    expect(wait!.since!.getTime()).toBeLessThanOrEqual(since.getTime() + 1_000);
  }
});

test('a rollout says how far each step is, and when it began and ended', async () => {
  await begin(fleet, { replicas: 3 });
  await fleet.pass(6);
  await perform(fleet, { kind: 'update', image: 'good' });
  await fleet.tick();
  const during = await explain('service', 'web');
  expect(during.summary).toMatch(/^web is redeploying: waiting for /);
  expect(during.actions).toMatchObject([{ method: 'UpdateService' }]);
  const states = during.steps.map(({ container, state }) => [container, state]);
  expect(states).toContainEqual(['web-1', RolloutStepState.GOING]);
  expect(states).toContainEqual(['web-3', RolloutStepState.WAITING]);
  const [going] = during.steps.filter(({ state }) => state === RolloutStepState.GOING);
  expect(going).toMatchObject({ beganAt: expect.any(Date) as Date, endedAt: undefined });

  await fleet.pass(40);
  const after = await explain('action', newestAction());
  expect(after).toMatchObject({ summary: 'UpdateService succeeded', waits: [] });
  const steps = after.steps.filter(({ container }) => container !== '');
  expect(steps.map(({ container }) => container)).toEqual(['web-1', 'web-2', 'web-3']);
  for (const { state, beganAt, endedAt, entries } of steps) {
    expect(state).toBe(RolloutStepState.DONE);
    expect(entries.map(({ message }) => message)).toContain('ready');
    expect(endedAt!.getTime()).toBeGreaterThanOrEqual(beganAt!.getTime());
  }
});

test('a rollout that stopped short says so, and what failed in it', async () => {
  await begin(fleet, { replicas: 2 });
  await fleet.pass(6);
  await perform(fleet, { kind: 'update', image: 'broken' });
  await fleet.pass(20);
  const { waits, steps } = await explain('service', 'web');
  expect(waits).toMatchObject([
    { container: '', message: expect.stringContaining('was rolled back to revision 1') as string },
  ]);
  const told = steps.flatMap(({ entries }) => entries.map(({ message }) => message));
  expect(told).toContainEqual(expect.stringMatching(/^given up: web-1 failed 2 times/));
});

test('nothing that is named is refused', async () => {
  await expect(
    (async () => await fleet.handlers.explain({ subject: undefined }, fleet.call))(),
  ).rejects.toThrow(/subject is required/);
  await expect(explain('action', 'nothing')).rejects.toThrow(/no action/);
});
