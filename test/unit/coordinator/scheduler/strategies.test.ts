import { expect, test } from 'vitest';
import type { Strategy } from '../../../../coordinator/model.ts';
import { indexPlaced } from '../../../../coordinator/scheduler/occupancy.ts';
import { bestNode } from '../../../../coordinator/scheduler/strategies.ts';
import { aNode, aPlaced, serviceId, times } from './builders.ts';

/** `web` are containers of the service itself, `other` those of others. */
type Load = Readonly<Record<string, { readonly web?: number; readonly other?: number }>>;

test.each<[string, Strategy, Load, string]>([
  ['fewest in all', 'emptiest-node', { a: { other: 2 }, b: { other: 1 }, c: { other: 3 } }, 'b'],
  [
    'fewest in all, though it has most of the service',
    'emptiest-node',
    { a: { other: 5 }, b: { web: 4 } },
    'b',
  ],
  [
    'of two equally full the one with fewest of the service',
    'emptiest-node',
    { a: { web: 2, other: 1 }, b: { web: 1, other: 2 } },
    'b',
  ],
  ['of equal ones the first by name', 'emptiest-node', { c: {}, b: {}, a: {} }, 'a'],
  [
    'fewest of the service, though it is the fullest',
    'high-availability',
    { a: { web: 1 }, b: { other: 9 } },
    'b',
  ],
  [
    'of two with equally many of the service the emptier',
    'high-availability',
    { a: { web: 1, other: 2 }, b: { web: 1, other: 1 } },
    'b',
  ],
  ['of equal ones the first by name', 'high-availability', { c: { web: 1 }, b: { web: 1 } }, 'b'],
  ['a node without one', 'every-node', { a: { web: 1 }, b: { other: 9 } }, 'b'],
])('chooses %s: %s', (_, strategy, load, expected) => {
  const nodes = Object.keys(load).map((name) => aNode(name));
  const placed = Object.entries(load).flatMap(([name, { web = 0, other = 0 }]) => [
    ...times(web, aPlaced(name, { serviceId: serviceId('web') })),
    ...times(other, aPlaced(name)),
  ]);
  const service = { serviceId: serviceId('web'), strategy };
  expect(bestNode(nodes, service, indexPlaced(placed))?.name).toBe(expected);
  expect(bestNode(nodes.toReversed(), service, indexPlaced(placed))?.name).toBe(expected);
});

test('chooses by id between nodes of the same name', () => {
  const nodes = ['2', '1', '3'].map((id) => ({ ...aNode(id), name: 'node' }));
  const service = { serviceId: serviceId('web'), strategy: 'emptiest-node' } as const;
  expect(bestNode(nodes, service, indexPlaced([]))?.id).toBe('1');
});

test('chooses none without nodes', () => {
  const service = { serviceId: serviceId('web'), strategy: 'emptiest-node' } as const;
  expect(bestNode([], service, indexPlaced([]))).toBeUndefined();
});
