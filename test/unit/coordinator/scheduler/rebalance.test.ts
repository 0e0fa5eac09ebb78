import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../../../shared/ids.ts';
import { rebalance, type BetterPlace } from '../../../../coordinator/scheduler/rebalance.ts';
import { indexPlaced, type NodeView } from '../../../../coordinator/scheduler/schedule.ts';
import { containerId, nodeId, serviceId } from '../../../support/builders.ts';
import { aNode, aPending, aPlaced } from './builders.ts';

type Needs = Parameters<typeof aPending>[0];

/** Nodes with so many containers of the service each, and of another. */
function movesOf(
  counts: Readonly<Record<string, readonly [own: number, others: number]>>,
  { limit = 100, needs = {}, node = () => ({}) }: Wish = {},
): BetterPlace[] {
  const { placed, nodes, movables } = fleetOf(counts, needs, node);
  return rebalance(movables, nodes, indexPlaced(placed), limit);
}

interface Wish {
  readonly limit?: number;
  readonly needs?: Needs;
  readonly node?: (name: string) => Partial<NodeView>;
}

function fleetOf(
  counts: Readonly<Record<string, readonly [own: number, others: number]>>,
  needs: Needs,
  node: (name: string) => Partial<NodeView>,
) {
  const nodes = Object.keys(counts).map((name) => aNode(name, node(name)));
  let slot = 0;
  const movables = Object.entries(counts).flatMap(([name, [own]]) =>
    Array.from({ length: own }, () => {
      slot++;
      const id = containerId(`web-${slot}`);
      const pending = aPending({ serviceId: serviceId('web'), ...needs, id, slot });
      return { nodeId: nodeId(name), needs: pending };
    }),
  );
  const placed = Object.entries(counts).flatMap(([name, [own, others]]) => [
    ...Array.from({ length: own }, () => aPlaced(name, { serviceId: serviceId('web') })),
    ...Array.from({ length: others }, () => aPlaced(name, { serviceId: serviceId('other') })),
  ]);
  return { nodes, movables, placed };
}

const words = (moves: readonly BetterPlace[]) =>
  moves.map(({ containerId: id, from, to }) => `${id} ${from} ${to}`);

const spread = { needs: { strategy: 'high-availability' } } as const;

describe('a service is made even', () => {
  test('from the most crowded node to the emptiest, the highest number first', () => {
    expect(words(movesOf({ a: [4, 0], b: [2, 0], c: [0, 0] }, spread))).toEqual([
      'web-4 a c',
      'web-3 a c',
    ]);
  });

  test('by its own strategy: its own containers count, or all', () => {
    const counts = { a: [2, 0], b: [2, 6] } as const;
    expect(movesOf(counts, spread)).toEqual([]);
    expect(words(movesOf({ a: [0, 0], b: [2, 6] }))).toEqual(['web-2 b a', 'web-1 b a']);
    expect(words(movesOf({ a: [0, 3], b: [2, 0] }, spread))).toEqual(['web-2 b a']);
  });

  test('S4: over groups first, and within them next', () => {
    const zoned = { strategy: 'high-availability', spreadOver: ['zone'] } as const;
    const node = (name: string) => ({ tags: [`zone=${name[0]}`] });
    const even = { a1: [4, 0], b1: [1, 0], b2: [1, 0], b3: [1, 0], b4: [1, 0] } as const;
    expect(movesOf(even, { needs: zoned, node })).toEqual([]);
    const uneven = { a1: [0, 0], a2: [1, 0], b1: [5, 0], b2: [0, 0] } as const;
    const moves = movesOf(uneven, { needs: zoned, node });
    expect(moves.map(({ from, to, crowdFrom, crowdTo }) => [from, to, crowdFrom, crowdTo])).toEqual(
      [
        ['b1', 'a1', 5, 1],
        ['b1', 'a1', 4, 2],
        ['b1', 'b2', 3, 0],
      ],
    );
  });

  test('with no more moves than were asked for', () => {
    expect(movesOf({ a: [9, 0], b: [0, 0] }, { ...spread, limit: 2 })).toHaveLength(2);
    expect(movesOf({ a: [9, 0], b: [0, 0] }, { ...spread, limit: 0 })).toEqual([]);
  });

  test('but not onto nodes that cannot take it', () => {
    const node = (name: string): Partial<NodeView> => (name === 'b' ? { state: 'down' } : {});
    expect(movesOf({ a: [4, 0], b: [0, 0] }, { ...spread, node })).toEqual([]);
    const needs = { ...spread.needs, tags: ['x'] };
    expect(movesOf({ a: [4, 0], b: [0, 0] }, { needs })).toEqual([]);
  });

  test('also when the emptiest node takes nothing', () => {
    const node = (name: string): Partial<NodeView> =>
      name === 'c' ? { availability: 'paused' } : {};
    expect(words(movesOf({ a: [4, 0], b: [1, 0], c: [0, 0] }, { ...spread, node }))).toEqual([
      'web-4 a b',
    ]);
  });
});

test('after all moves no node has two more than another, none was needless, and nothing is left to do', () => {
  const counts = fc.array(fc.tuple(fc.nat({ max: 8 }), fc.nat({ max: 4 })), {
    minLength: 1,
    maxLength: 7,
  });
  const strategies = fc.constantFrom('high-availability' as const, 'emptiest-node' as const);
  fc.assert(
    fc.property(counts, strategies, (all, strategy) => {
      const named = Object.fromEntries(all.map((each, index) => [`n${index}`, each]));
      const moves = movesOf(named, { limit: 1_000, needs: { strategy } });
      const after = new Map(
        Object.entries(named).map(([name, [own, others]]) => [name, [own, others]]),
      );
      const crowd = ([own = 0, others = 0]: readonly number[]) =>
        strategy === 'high-availability' ? own : own + others;
      const at = (id: NodeId) => after.get(id)!;
      for (const { from, to, crowdFrom, crowdTo } of moves) {
        expect([crowd(at(from)), crowd(at(to))]).toEqual([crowdFrom, crowdTo]);
        expect(crowdFrom - crowdTo).toBeGreaterThanOrEqual(2);
        at(from)[0]!--;
        at(to)[0]!++;
      }
      const least = Math.min(...[...after.values()].map(crowd));
      for (const each of after.values()) {
        if (each[0]! > 0) expect(crowd(each) - least).toBeLessThanOrEqual(1);
      }
      const even = Object.fromEntries(
        [...after].map(([name, [own = 0, others = 0]]) => [name, [own, others] as const]),
      );
      expect(movesOf(even, { limit: 1_000, needs: { strategy } })).toEqual([]);
    }),
  );
});
