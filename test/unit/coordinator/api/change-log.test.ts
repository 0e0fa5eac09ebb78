import { beforeEach, describe, expect, test } from 'vitest';
import { ChangeLog } from '../../../../coordinator/api/change-log.ts';
import { ObservedState } from '../../../../coordinator/observed/observed-state.ts';
import { Routing } from '../../../../coordinator/routing/routing.ts';
import { Settling } from '../../../../coordinator/routing/settling.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import {
  aContainer,
  aNode,
  aReport,
  aService,
  aToken,
  containerId,
  tokenId,
} from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

let store: Store;
let observed: ObservedState;
let changes: ChangeLog;

beforeEach(() => {
  const clock = new FakeClock();
  store = new Store(':memory:', { clock });
  observed = new ObservedState(new Map(), { clock });
  const settling = new Settling({ store, observed, clock });
  changes = new ChangeLog('run-1', { store });
  changes.follow(observed, new Routing({ store, observed, settling, clock }));
  store.transact((tx) => {
    tx.nodes.put(aNode());
    tx.services.put(aService());
    tx.containers.put(aContainer());
  });
  return () => {
    store[Symbol.dispose]();
  };
});

const putToken = (name: string) => {
  store.transact((tx) => {
    tx.tokens.put(aToken({ name }));
  });
};

const since = (cursor: string, topic: Parameters<ChangeLog['changedSince']>[1]) => {
  const ids = changes.changedSince(cursor, topic);
  return ids && [...ids];
};

describe('what changed since a cursor', () => {
  test('is nothing at first, then each object once', () => {
    const { cursor } = changes;
    expect(since(cursor, 'tokens')).toEqual([]);
    putToken('a');
    putToken('b');
    expect(since(cursor, 'tokens')).toEqual(['00000000000000aa']);
    expect(since(changes.cursor, 'tokens')).toEqual([]);
  });

  test('is told also to who had seen the same object change, and nobody watched since', () => {
    putToken('a');
    const { cursor } = changes;
    putToken('b');
    expect(since(cursor, 'tokens')).toEqual(['00000000000000aa']);
  });

  test('of a container is its service’s change as well', () => {
    const { cursor } = changes;
    observed.report(containerId('web-1-id'), aReport());
    expect(since(cursor, 'containers')).toEqual(['web-1-id']);
    expect(since(cursor, 'services')).toEqual(['web-id']);
    expect(since(cursor, 'tokens')).toEqual([]);
  });

  test('is not known where one change touches too much to tell', () => {
    const { cursor } = changes;
    store.transact((tx) => {
      tx.nodes.put(aNode({ availability: 'paused' }));
    });
    expect(since(cursor, 'nodes')).toEqual(['node-1']);
    expect(since(cursor, 'services')).toBeNull();
    expect(since(cursor, 'endpoints')).toBeNull();
  });

  test.each(['', 'run-0.1', 'run-1.999', 'run-1.-1', 'run-1.x', 'nonsense'])(
    'is not known for the cursor "%s"',
    (cursor) => {
      expect(since(cursor, 'tokens')).toBeNull();
    },
  );

  test('is not known when it is too long ago, and known when it is not', () => {
    const early = changes.cursor;
    for (let thousands = 0; thousands < 30; thousands++) putThousand();
    const late = changes.cursor;
    for (let thousands = 0; thousands < 11; thousands++) putThousand();
    expect(since(early, 'tokens')).toBeNull();
    expect(since(late, 'tokens')).toHaveLength(1_000);
    expect(since(changes.cursor, 'tokens')).toEqual([]);
  });
});

/** A thousand changes in one transaction. */
function putThousand(): void {
  store.transact((tx) => {
    for (let i = 0; i < 1_000; i++) tx.tokens.put(aToken({ id: tokenId(`t${i}`), name: `t${i}` }));
  });
}
