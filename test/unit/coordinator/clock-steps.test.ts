import { describe, expect, test } from 'vitest';
import { ClockSteps } from '../../../coordinator/clock-steps.ts';
import { beginAction } from '../../../coordinator/orchestrator/actions.ts';
import { ObservedState } from '../../../coordinator/observed/observed-state.ts';
import { SteadyClock } from '../../../coordinator/steady-clock.ts';
import { Store } from '../../../coordinator/store/store.ts';
import {
  aContainer,
  aNode,
  anObservation,
  aRetirement,
  aRollout,
  aService,
  containerId,
  nodeId,
  serviceId,
} from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import type { Action } from '../../../coordinator/model.ts';
import type { ActionId } from '../../../shared/ids.ts';
import { collectLog } from '../../integration/coordinator/tiny-control.ts';

const hourMs = 3_600_000;
const steps = [6 * hourMs, -6 * hourMs];

function setUp() {
  const host = new FakeClock();
  const clock = new SteadyClock(host);
  const store = new Store(':memory:', { clock });
  const known = new Map([[containerId('web-1-id'), anObservation({ sinceMs: clock.now() })]]);
  const observed = new ObservedState(known, { clock });
  const { log, lines } = collectLog();
  const stop = new AbortController();
  const installationId = 'here';
  const running = new ClockSteps({ clock, store, observed, installationId, log }).run(stop.signal);
  return {
    ...{ host, clock, store, observed, lines },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      store[Symbol.dispose]();
    },
  };
}

test('a clock that is set is in the log once, either way, and one that drifts is not', async () => {
  await using coordinator = setUp();
  const { host, clock, lines } = coordinator;
  await host.advance(60_000);
  host.setWallClock(50_000);
  await host.advance(60_000);
  expect(clock.now()).toBe(host.now());
  expect(lines).toEqual([]);
  host.setWallClock(3 * 86_400_000);
  await host.advance(60_000);
  host.setWallClock(-3 * 86_400_000);
  await host.advance(60_000);
  expect(lines).toMatchObject([{ bySeconds: 259_200 }, { bySeconds: -259_200 }]);
});

test('corrections of less than a second are followed, and nothing is written', async () => {
  await using coordinator = setUp();
  const { host, clock, store } = coordinator;
  let commits = 0;
  store.subscribe(() => commits++);
  for (const byMs of [900, -400, 30]) {
    host.setWallClock(byMs);
    await host.advance(1_000);
    expect(clock.now()).toBe(host.now());
  }
  expect(commits).toBe(0);
});

test('the time of the coordinator goes on as it was until all that is waited for can move', async () => {
  await using coordinator = setUp();
  const { host, clock } = coordinator;
  const atMs = clock.now();
  host.setWallClock(6 * hourMs);
  expect(clock.now()).toBe(atMs);
  await host.advance(1_000);
  expect(clock.now()).toBe(atMs + 6 * hourMs + 1_000);
});

describe.each(steps)('a step by %d ms', (byMs) => {
  test('moves all that is waited for, and no date', async () => {
    await using coordinator = setUp();
    const { host, clock, store, observed } = coordinator;
    const nowMs = clock.now();
    const failure = { nodeId: nodeId('node-1'), revision: 1, count: 3 };
    const drain = { parallelism: 0, force: false };
    store.transact((tx) => {
      tx.services.put(
        aService({
          ...{ createdAtMs: nowMs, rollout: aRollout({ sinceMs: nowMs }) },
          failures: [{ ...failure, lastAtMs: nowMs }],
        }),
      );
      tx.nodes.put(aNode({ drain: { ...drain, sinceMs: nowMs, deadlineAtMs: nowMs + 60_000 } }));
      tx.nodes.put(
        aNode({
          ...{ name: 'node-2', id: nodeId('node-2') },
          drain: { ...drain, sinceMs: nowMs, deadlineAtMs: null },
        }),
      );
      const retirement = aRetirement({ startedAtMs: nowMs, deadlineAtMs: nowMs + 30_000 });
      tx.containers.put(aContainer({ createdAtMs: nowMs - 1_000, retirement }));
      tx.containers.put(aContainer({ slot: 2, createdAtMs: nowMs }));
    });
    host.setWallClock(byMs);
    await host.advance(1_000);
    const thenMs = nowMs + byMs;
    expect(store.containers.get(containerId('web-1-id'))).toMatchObject({
      createdAtMs: thenMs - 1_000,
      retirement: { startedAtMs: thenMs, deadlineAtMs: thenMs + 30_000 },
    });
    expect(store.containers.get(containerId('web-2-id'))).toMatchObject({ createdAtMs: thenMs });
    expect(store.services.get(serviceId('web-id'))).toMatchObject({
      ...{ createdAtMs: nowMs, version: aService().version },
      ...{ rollout: { sinceMs: thenMs }, failures: [{ ...failure, lastAtMs: thenMs }] },
    });
    expect(store.nodes.get(nodeId('node-1'))).toMatchObject({
      drain: { sinceMs: thenMs, deadlineAtMs: thenMs + 60_000 },
    });
    expect(store.nodes.get(nodeId('node-2'))).toMatchObject({ drain: { deadlineAtMs: null } });
    expect(observed.container(containerId('web-1-id'))).toMatchObject({
      ...{ sinceMs: thenMs, startedAtMs: anObservation().startedAtMs },
    });
    expect([...observed.takeUnsaved().keys()]).toEqual(['web-1-id']);
  });

  test('moves what an upgrade, and containers that move, wait for; only while they are under way', async () => {
    await using coordinator = setUp();
    const { host, clock, store } = coordinator;
    const nowMs = clock.now();
    const member = {
      nodeId: nodeId('node-1'),
      name: 'node-1',
      state: 'told',
      message: '',
    } as const;
    const move = {
      ...{ containerId: containerId('web-1-id'), container: 'web-1', slot: 1, service: 'web' },
      ...{ serviceId: serviceId('web-id'), from: 'node-1', to: '', message: '', reasons: [] },
      state: 'stuck',
    } as const;
    const roll = {
      ...{ version: '2', parallelism: 1 },
      members: [
        { ...member, toldAtMs: nowMs },
        { ...member, toldAtMs: 0 },
      ],
    };
    const moves = {
      kind: 'drain',
      parallelism: 0,
      members: [
        { ...move, retryAtMs: nowMs },
        { ...move, retryAtMs: 0 },
      ],
    } as const;
    const open = store.transact((tx) =>
      beginAction(tx, {
        ...{ id: 'open' as ActionId, method: 'UpgradeNodes', requestId: '', roll, moves },
        ...{ targetKind: 'fleet', targetId: '', targetName: '', serviceId: null },
        caller: { principal: 'admin', peer: '' },
      }),
    );
    const over: Action = { ...open, id: 'over' as ActionId, state: 'succeeded' };
    store.transact((tx) => {
      tx.actions.put(over);
    });
    host.setWallClock(byMs);
    await host.advance(1_000);
    expect(store.actions.get(open.id)).toMatchObject({
      startedAtMs: nowMs,
      roll: { members: [{ toldAtMs: nowMs + byMs }, { toldAtMs: 0 }] },
      moves: { members: [{ retryAtMs: nowMs + byMs }, { retryAtMs: 0 }] },
    });
    expect(store.actions.get(over.id)).toEqual(over);
  });

  test('is an event', async () => {
    await using coordinator = setUp();
    const { host, store } = coordinator;
    host.setWallClock(byMs);
    await host.advance(5_000);
    const where = byMs > 0 ? 'ahead' : 'back';
    expect(store.events.after(0, {}, 10).events).toMatchObject([
      {
        type: 'coordinator.clock-set',
        message: `the clock of its host was set ${where} by 6 hours, or the host slept`,
      },
    ]);
    expect(store.events.lastTimeMs()).toBe(host.now() - 4_000);
  });
});

test('while the disk is full nothing moves, and all of it once it can be written', async () => {
  await using coordinator = setUp();
  const { host, clock, store, observed, lines } = coordinator;
  const nowMs = clock.now();
  store.transact((tx) => {
    tx.services.put(aService());
    tx.nodes.put(aNode());
    tx.containers.put(aContainer({ createdAtMs: nowMs }));
  });
  const transact = store.transact.bind(store);
  store.transact = () => {
    throw new Error('the disk is full');
  };
  host.setWallClock(hourMs);
  await host.advance(5_000);
  expect(clock.now()).toBe(nowMs + 5_000);
  expect(observed.container(containerId('web-1-id'))).toMatchObject({ sinceMs: nowMs });
  expect(lines).toMatchObject([{ reason: 'the disk is full' }]);
  store.transact = transact;
  await host.advance(1_000);
  expect(clock.now()).toBe(host.now());
  const moved = nowMs + hourMs;
  expect(observed.container(containerId('web-1-id'))).toMatchObject({ sinceMs: moved });
  expect(store.containers.get(containerId('web-1-id'))).toMatchObject({ createdAtMs: moved });
});

test('a clock that was set back while there was no coordinator begins after what it wrote, and follows then', async () => {
  await using coordinator = setUp();
  const { host, store } = coordinator;
  const writtenMs = host.now();
  host.setWallClock(-hourMs);
  await host.advance(1_000);
  host.setWallClock(-hourMs);
  // Another run.
  const clock = new SteadyClock(host);
  clock.startAfter(store.events.lastTimeMs());
  expect(clock.now()).toBe(writtenMs - hourMs + 1_000);
});
