import fc from 'fast-check';
import { expect, test } from 'vitest';
import { clusterState } from '../../../../coordinator/scheduler/cluster-state.ts';

test.each([
  [0, 0, 'empty', ''],
  [4, 0, 'empty', 'waiting for 4 more hosts'],
  [4, 2, 'waiting', 'waiting for 2 more hosts'],
  [4, 3, 'waiting', 'waiting for 1 more host'],
  [4, 4, 'complete', ''],
  [4, 5, 'complete', '1 more host than its target'],
  [0, 7, 'complete', ''],
])('a target of %d with %d members: %s, %j', (targetNodes, members, state, message) => {
  expect(clusterState({ targetNodes }, members)).toEqual({ state, message });
});

test('it waits exactly while hosts are missing', () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.nat(10_000), (targetNodes, members) => {
      const { state, message } = clusterState({ targetNodes }, members);
      expect(message.startsWith('waiting')).toBe(members < targetNodes);
      expect(state === 'complete').toBe(members > 0 && members >= targetNodes);
    }),
  );
});
