import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Action } from '../../../../../coordinator/model.ts';
import { isSettled } from '../../../../../coordinator/moves/plan-moves.ts';
import {
  FailureAction,
  PlacementStrategy,
  UpdateOrder,
} from '../../../../../shared/gen/fairlead/v1/service.ts';
import { ModelFleet } from './model-fleet.ts';
import {
  begin,
  changes,
  faults,
  gentleChanges,
  life,
  perform,
  update,
  type Operation,
  type ServiceOptions,
} from './operations.ts';

/** More runs, or other ones, find more: FAIRLEAD_FLEET_RUNS, FAIRLEAD_FLEET_SEED. */
const numRuns = Number(process.env['FAIRLEAD_FLEET_RUNS'] ?? 100);
const seed = Number(process.env['FAIRLEAD_FLEET_SEED'] ?? 1);
const limitMs = 60_000 + 1_000 * numRuns;
/** What fails is told before the time is over, however small it could still be made. */
const parameters = {
  ...{ numRuns, seed },
  ...{ interruptAfterTimeLimit: limitMs - 20_000, markInterruptAsFailure: true },
};

const services = fc.constantFrom<ServiceOptions>(
  { replicas: 3 },
  { replicas: 3, order: UpdateOrder.STOP_FIRST },
  { replicas: 2, hostPort: 8080 },
  { replicas: 4, strategy: PlacementStrategy.HIGH_AVAILABILITY },
  { replicas: 3, strategy: PlacementStrategy.EVERY_NODE },
);

/** Long enough for every deadline, grace and wait that there is. */
const patienceSeconds = 200;

/** Waits until nothing has been written for a while, and says what is still in progress then. */
async function rest(fleet: ModelFleet): Promise<void> {
  let quietSeconds = 0;
  for (let second = 0; second < patienceSeconds && quietSeconds < 32; second++) {
    const before = fleet.commits;
    await fleet.pass(1);
    quietSeconds = fleet.commits === before ? quietSeconds + 1 : 0;
  }
  if (isEmptying(fleet) || isLeftAlone(fleet)) return;
  const before = fleet.commits;
  await fleet.advance(70_000);
  await fleet.pass(1);
  expect(fleet.commits - before, 'writes although nothing changes').toBe(0);
}

/** What cannot leave its node is tried again each minute, for as long as that is to be empty. */
function isEmptying({ store }: ModelFleet): boolean {
  const draining = [...store.nodes.values()].filter(({ drain }) => drain !== null);
  return draining.some(({ id }) => store.containersOn(id).some((c) => c.wanted === 'running'));
}

/** What keeps failing on the only node that it could be on is tried again there, after longer and longer waits. */
function isLeftAlone(fleet: ModelFleet): boolean {
  return [...fleet.store.containers.values()].some(({ id }) =>
    fleet.reasonsOf(id).some(({ filter }) => filter === 'FAILING_HERE'),
  );
}

function heal(fleet: ModelFleet): void {
  fleet.store.full = false;
  fleet.connectAll();
  for (const proxy of fleet.proxies) proxy.finishAll();
}

/** The user sees to it that what is wanted can be had: also of a port of the node, while it is replaced. */
async function mendAll(fleet: ModelFleet, { hostPort }: ServiceOptions): Promise<void> {
  for (const pick of fleet.agents.keys()) await perform(fleet, { kind: 'activate', pick });
  // The port is on three nodes: one for what runs, one for a canary, one for what replaces another.
  if (hostPort !== undefined) await perform(fleet, { kind: 'scale', replicas: 1 });
  await perform(fleet, { kind: 'start' });
  await update(fleet, { image: 'good-again' }, ['image']);
  // Its canaries, if it is to have some, have nothing to wait for but somebody who says so.
  for (let second = 0; second < patienceSeconds && isTried(fleet); second++) {
    await fleet.pass(1);
    await perform(fleet, { kind: 'promote' });
  }
}

function isTried(fleet: ModelFleet): boolean {
  return (fleet.service('web').rollout?.canaries ?? 0) > 0;
}

/** It moves what a node has, and each that has not moved says what it waits for. */
function isStuck({ moves }: Action): boolean {
  const unsettled = moves?.members.filter((move) => !isSettled(move)) ?? [];
  return unsettled.length > 0 && unsettled.every(({ message }) => message !== '');
}

/** Nothing is under way, and what is not as wanted has its reason. */
function expectRest(fleet: ModelFleet): void {
  const open = [...fleet.store.actions.values()].filter(({ state }) => state === 'in-progress');
  // A drain without a deadline of its own tries for an hour, and says what it waits for.
  expect(open.filter((action) => !isStuck(action)).map(({ method }) => method)).toEqual([]);
  const { state, message } = fleet.status('web');
  expect(['running', 'partly-running', 'failed', 'stopped', 'paused']).toContain(state);
  if (state !== 'running' && state !== 'stopped') expect(message).not.toBe('');
  const { rollout, started } = fleet.service('web');
  // A rollout ends always; but what cannot be had, and has nothing before it, is waited for.
  if (
    started &&
    !isTried(fleet) &&
    (rollout?.state === 'going' || rollout?.state === 'rolling-back')
  ) {
    expect(['partly-running', 'failed'], message).toContain(state);
  }
  for (const container of fleet.store.containersOf(fleet.service('web').id)) {
    if (container.nodeId !== null || container.held) continue;
    expect(fleet.reasonsOf(container.id), `${container.name} is pending`).not.toEqual([]);
  }
}

/** Just what is wanted runs, and nothing else is left anywhere. */
function expectConverged(fleet: ModelFleet): void {
  const service = fleet.service('web');
  expect(fleet.status('web')).toMatchObject({ state: 'running', message: '' });
  const everyNode = service.spec.strategy === 'every-node';
  const count = everyNode ? fleet.agents.length : service.spec.replicas;
  const containers = fleet.store.containersOf(service.id);
  expect(containers.map(({ wanted, revision }) => `${wanted} ${revision}`)).toEqual(
    Array.from({ length: count }, () => `running ${service.revision}`),
  );
  expect(new Set(containers.map(({ slot }) => slot)).size).toBe(count);
  if (everyNode) expect(new Set(containers.map(({ nodeId }) => nodeId)).size).toBe(count);
  const engines = fleet.agents.flatMap(({ engine }) => [...engine.keys()]);
  expect(engines.sort()).toEqual(containers.map(({ id }) => id).sort());
  const linked = fleet.service('lb').spec.links.length > 0;
  for (const proxy of fleet.proxies) {
    const servers = [...proxy.servers.values()].map(({ target }) => target.containerId);
    expect(servers.sort()).toEqual(linked ? containers.map(({ id }) => id).sort() : []);
  }
}

// Found by chance, and tried first since then.

/** It is tried again each minute, just when all had been quiet. */
const drainOfWhatIsNeverReady: Operation[] = [
  { kind: 'update', image: 'mute' },
  { kind: 'redeploy' },
  { kind: 'drain', pick: 0, drain: { parallelism: 0, deadlineSeconds: 0, force: false } },
  { kind: 'request', pick: 0 },
  { kind: 'scale', replicas: 1 },
  { kind: 'pass', seconds: 60 },
];

/** The same when nobody watches any more. */
const drainThatEndedInVain: Operation[] = [
  { kind: 'update', image: 'looping' },
  { kind: 'drain', pick: 0, drain: { parallelism: 0, deadlineSeconds: 0, force: false } },
  { kind: 'update', image: 'broken' },
  { kind: 'request', pick: 0 },
  { kind: 'activate', pick: 0 },
  { kind: 'drain', pick: 0, drain: { parallelism: 0, deadlineSeconds: 5, force: false } },
  { kind: 'request', pick: 0 },
];

/** The only node that has the port free is left alone for longer than anybody waits for quiet. */
const failingOnTheLastNode: Operation[] = [
  { kind: 'pass', seconds: 2 },
  { kind: 'update', image: 'broken' },
  { kind: 'redeploy' },
  { kind: 'scale', replicas: 4 },
  { kind: 'pass', seconds: 1 },
];

/** Whatever was decided while the proxies were away for long. */
const goneOverTwoRestarts: Operation[] = [
  { kind: 'pass', seconds: 3 },
  { kind: 'container', verb: 'startContainer', pick: 0 },
  { kind: 'restart-coordinator', pick: 0 },
  { kind: 'pass', seconds: 60 },
  { kind: 'scale', replicas: 0 },
  { kind: 'restart-coordinator', pick: 0 },
  {
    kind: 'policy',
    policy: {
      ...{ order: UpdateOrder.START_FIRST, parallelism: 1, onFailure: FailureAction.ROLL_BACK },
      ...{ failureBudget: 0, settleMs: 0, canary: 0, autoPromote: false },
    },
  },
];

/** What is on its way when an agent catches up arrives before what it says then. */
const lateNewsOfAnEnd: Operation[] = [
  { kind: 'crash', pick: 0 },
  { kind: 'request', pick: 0 },
  { kind: 'update', image: 'good' },
  { kind: 'request', pick: 0 },
  { kind: 'lag-agent', pick: 3 },
  { kind: 'pause', pick: 0 },
];

/** A slot whose container is lost is filled besides the one that the rollout replaces, until the node is back. */
const backWhileItIsReplaced: Operation[] = [
  { kind: 'cut-agent', pick: 0 },
  { kind: 'request', pick: 0 },
  { kind: 'update', image: 'broken' },
  { kind: 'pass', seconds: 60 },
  { kind: 'request', pick: 0 },
];

describe('whatever users do and whatever fails', { timeout: limitMs }, () => {
  test('a fleet comes to rest, stays there, and is as wanted once all is well', async () => {
    const operations = fc.array<Operation>(fc.oneof(changes, faults, life, life), {
      minLength: 1,
      maxLength: 25,
    });
    await fc.assert(
      fc.asyncProperty(services, operations, async (options, steps) => {
        await using fleet = new ModelFleet({ nodes: 3, proxies: 2 });
        await begin(fleet, options);
        for (const step of steps) {
          await perform(fleet, step);
          await fleet.tick();
        }
        heal(fleet);
        await rest(fleet);
        expectRest(fleet);
        await mendAll(fleet, options);
        await rest(fleet);
        expectConverged(fleet);
        expect(fleet.violations).toEqual([]);
      }),
      {
        ...parameters,
        examples: [
          [{ replicas: 3, order: UpdateOrder.STOP_FIRST }, lateNewsOfAnEnd],
          [{ replicas: 3 }, goneOverTwoRestarts],
          [{ replicas: 3 }, backWhileItIsReplaced],
        ],
      },
    );
  });

  test('N9: a node that does not come back is done without, and does no harm when it does', async () => {
    await fc.assert(
      fc.asyncProperty(services, fc.nat({ max: 2 }), fc.boolean(), async (options, pick, early) => {
        await using fleet = new ModelFleet({ nodes: 3, proxies: 2 });
        await begin(fleet, options);
        await rest(fleet);
        await perform(fleet, { kind: 'cut-agent', pick });
        // Back while its containers are being replaced, or when they are.
        await fleet.pass(early ? 62 : 90);
        if (!early && options.strategy !== PlacementStrategy.EVERY_NODE) {
          expect(fleet.status('web')).toMatchObject({ state: 'running', message: '' });
          const away = fleet.agents[pick]!.id;
          const serving = fleet.store
            .containersOf(fleet.service('web').id)
            .filter(({ nodeId: on, wanted }) => on !== away && wanted === 'running');
          expect(serving).toHaveLength(options.replicas);
        }
        heal(fleet);
        await rest(fleet);
        expectConverged(fleet);
        expect(fleet.violations).toEqual([]);
      }),
      parameters,
    );
  });

  test('a node that is emptied ends empty, and nothing stops serving', async () => {
    const movable = services.filter(({ strategy }) => strategy !== PlacementStrategy.EVERY_NODE);
    await fc.assert(
      fc.asyncProperty(movable, fc.nat({ max: 2 }), async (options, pick) => {
        await using fleet = new ModelFleet({ nodes: 3, proxies: 2 });
        await begin(fleet, { ...options, order: UpdateOrder.START_FIRST });
        await rest(fleet);
        fleet.mustServe = true;
        const drain = { parallelism: pick, deadlineSeconds: 0, force: false };
        await perform(fleet, { kind: 'drain', pick, drain });
        await rest(fleet);
        expect(fleet.status('web')).toMatchObject({ state: 'running', message: '' });
        expect([...fleet.agents[pick]!.engine.keys()]).toEqual([]);
        expect(fleet.violations).toEqual([]);
      }),
      parameters,
    );
  });

  test('and while nothing fails, what serves goes on serving', async () => {
    const operations = fc.array<Operation>(fc.oneof(gentleChanges, life, life), {
      minLength: 1,
      maxLength: 30,
    });
    await fc.assert(
      fc.asyncProperty(services, operations, async (options, steps) => {
        await using fleet = new ModelFleet({ nodes: 3, proxies: 2 });
        await begin(fleet, { ...options, order: UpdateOrder.START_FIRST });
        fleet.mustServe = true;
        for (const step of steps) {
          await perform(fleet, step);
          await fleet.tick();
        }
        heal(fleet);
        await rest(fleet);
        expectRest(fleet);
        expect(fleet.violations).toEqual([]);
      }),
      {
        ...parameters,
        examples: [
          [{ replicas: 3 }, drainOfWhatIsNeverReady],
          [{ replicas: 3 }, drainThatEndedInVain],
          [{ replicas: 2, hostPort: 8080 }, failingOnTheLastNode],
        ],
      },
    );
  });
});
