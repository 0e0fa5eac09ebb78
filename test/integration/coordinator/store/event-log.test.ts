import { afterEach, describe, expect, test } from 'vitest';
import type { Event } from '../../../../coordinator/model.ts';
import type { EventFilter } from '../../../../coordinator/store/event-log.ts';
import { Store, type Transaction } from '../../../../coordinator/store/store.ts';
import type { ActionId } from '../../../../shared/ids.ts';
import { beginAction } from '../../../../coordinator/orchestrator/actions.ts';
import { aCluster, aContainer, aNode, aService } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const stores: Store[] = [];
afterEach(() => {
  for (const store of stores.splice(0)) store[Symbol.dispose]();
});

function open(clock = new FakeClock()): Store {
  const store = new Store(':memory:', { clock });
  stores.push(store);
  return store;
}

function tell(tx: Transaction, type: string, objectId: string, more: Partial<Event> = {}): void {
  tx.event({ type, objectId, objectName: objectId, actionId: '', message: '', ...more });
}

/** Types of what is found. */
function found(store: Store, filter: Partial<EventFilter>, after = 0): string[] {
  const { events } = store.events.after(after, filter, 1_000);
  return events.map(({ type }) => type);
}

describe('events are found', () => {
  test('by type, and by what types begin with', () => {
    const store = open();
    store.transact((tx) => {
      for (const type of ['node.joined', 'node-cluster.created', 'container.ready']) {
        tell(tx, type, 'x');
      }
    });
    expect(found(store, { types: ['node'] })).toEqual(['node.joined']);
    expect(found(store, { types: ['node-cluster.created', 'container'] })).toEqual([
      'node-cluster.created',
      'container.ready',
    ]);
    expect(found(store, { types: ['container.failed'] })).toEqual([]);
  });

  test('by time', async () => {
    const clock = new FakeClock();
    const store = open(clock);
    const at: number[] = [];
    for (const type of ['a.a', 'b.b', 'c.c']) {
      at.push(clock.now());
      store.transact((tx) => {
        tell(tx, type, 'x');
      });
      await clock.advance(1_000);
    }
    expect(found(store, { sinceMs: at[1]! })).toEqual(['b.b', 'c.c']);
    expect(found(store, { untilMs: at[1]! })).toEqual(['a.a']);
    expect(found(store, { sinceMs: at[1]!, untilMs: at[2]! })).toEqual(['b.b']);
  });

  test('A5: by their object, its id or the name that it had', () => {
    const store = open();
    store.transact((tx) => {
      tell(tx, 'container.ready', 'id-1', { objectName: 'web-1' });
      tell(tx, 'node.ready', 'id-2', { objectName: 'host-1' });
      tell(tx, 'node.renamed', 'id-2', { objectName: 'host-2' });
    });
    expect(found(store, { object: 'web-1' })).toEqual(['container.ready']);
    expect(found(store, { object: 'host-1' })).toEqual(['node.ready']);
    expect(found(store, { object: 'id-2' })).toEqual(['node.ready', 'node.renamed']);
    expect(found(store, { object: 'web' })).toEqual([]);
  });

  test('by what they belong to, also once that is gone', () => {
    const store = open();
    const action = 'action-1' as ActionId;
    const node = aNode({ clusterId: aCluster().id });
    store.transact((tx) => {
      tx.clusters.put(aCluster());
      tx.nodes.put(node);
      tx.services.put(aService());
      tx.containers.put(aContainer());
      tell(tx, 'service.created', aService().id);
      tell(tx, 'container.ready', aContainer().id);
      tell(tx, 'node.joined', node.id);
      tell(tx, 'token.created', 'a-token');
      const target = {
        targetKind: 'container',
        targetId: aContainer().id,
        targetName: '',
      } as const;
      const caller = { principal: '', peer: '' };
      const begun = { id: action, method: 'ExecContainer', serviceId: null, requestId: '' };
      beginAction(tx, { ...begun, ...target, caller });
      tell(tx, 'action.succeeded', aContainer().id, { actionId: action });
    });
    store.transact((tx) => {
      tx.containers.delete(aContainer().id);
      tx.nodes.delete(node.id);
      tell(tx, 'node.removed', node.id);
      tell(tx, 'container.removed', aContainer().id);
    });
    expect(found(store, { owners: [aService().id] })).toEqual([
      'service.created',
      'container.ready',
      'action.succeeded',
      'container.removed',
    ]);
    expect(found(store, { owners: [aCluster().id] })).toEqual(['node.joined', 'node.removed']);
    expect(found(store, { owners: [] })).toEqual([]);
    expect(found(store, {})).toHaveLength(7);
  });
});

test('what does not match is passed over once', () => {
  const store = open();
  store.transact((tx) => {
    for (let i = 0; i < 50; i++) tell(tx, 'node.ready', 'x');
    tell(tx, 'service.created', 'web-id');
    for (let i = 0; i < 50; i++) tell(tx, 'node.ready', 'x');
  });
  const wanted = { types: ['service'] };
  expect(store.events.after(0, wanted, 1).cursor).toBe(51);
  expect(store.events.after(51, wanted, 1)).toEqual({ events: [], cursor: 101 });
});

describe('events carry their object', () => {
  const bytes = (text: string) => new TextEncoder().encode(text);

  test('as it is at the end of the transaction', () => {
    const store = open();
    store.describeEvents(({ objectId }) => {
      const service = store.services.get(objectId as never);
      return service === undefined ? null : bytes(`version ${service.version}`);
    });
    const objects = () =>
      store.events
        .after(0, { objects: true }, 100)
        .events.map(({ object }) => (object === null ? null : new TextDecoder().decode(object)));
    store.transact((tx) => {
      tell(tx, 'service.created', aService().id);
      tx.services.put(aService({ version: 7 }));
    });
    store.transact((tx) => {
      tx.services.put(aService({ version: 8 }));
      tell(tx, 'service.scaled', aService().id);
    });
    expect(() =>
      store.transact((tx) => {
        tell(tx, 'service.updated', aService().id);
        throw new Error('undone');
      }),
    ).toThrow('undone');
    store.transact((tx) => {
      tx.services.delete(aService().id);
      tell(tx, 'service.removed', aService().id);
    });
    expect(objects()).toEqual(['version 7', 'version 8', null]);
    const [first] = store.events.after(0, {}, 1).events;
    expect(first?.object).toBeNull();
  });

  test('within bounds: large ones are left out, many are read in parts, and the oldest go', () => {
    const store = open();
    let size = 64 * 1024 + 1;
    store.describeEvents(() => new Uint8Array(size));
    const add = (count: number) => {
      store.transact((tx) => {
        for (let i = 0; i < count; i++) tell(tx, 'service.updated', `${i}`);
      });
    };
    add(1);
    expect(store.events.after(0, { objects: true }, 1).events[0]?.object).toBeNull();

    size = 64 * 1024;
    add(64);
    const part = store.events.after(1, { objects: true }, 1_000);
    expect(part.events).toHaveLength(32);
    expect(part.cursor).toBe(33);
    // 20 MiB in all.
    for (let i = 0; i < 8; i++) add(32);
    let kept = 0;
    let cursor = 0;
    for (;;) {
      const batch = store.events.after(cursor, { objects: true }, 1_000);
      if (batch.events.length === 0) break;
      kept += batch.events.reduce((sum, { object }) => sum + (object?.length ?? 0), 0);
      ({ cursor } = batch);
    }
    expect(cursor).toBe(321);
    expect(kept).toBeLessThanOrEqual(16 * 1024 * 1024);
    expect(kept).toBeGreaterThanOrEqual(12 * 1024 * 1024);
    // Without them all are told at once.
    expect(store.events.after(0, {}, 1_000).events).toHaveLength(321);
  });
});
