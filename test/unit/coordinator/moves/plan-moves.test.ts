import { describe, expect, test } from 'vitest';
import type { Move, PlacementReason } from '../../../../coordinator/model.ts';
import {
  planMoves,
  summaryOf,
  type MoveOrder,
  type MovePlan,
  type MoveView,
  type Obstacle,
  type Successor,
} from '../../../../coordinator/moves/plan-moves.ts';
import { containerId, nodeId, serviceId } from '../../../support/builders.ts';

function aView(name: string, changes: Partial<MoveView> = {}): MoveView {
  const [service = '', slot = '1'] = name.split('-');
  return {
    ...{ id: containerId(name), name, slot: Number(slot), service, serviceId: serviceId(service) },
    ...{ from: 'host-1', standing: 'here', evicted: false, forced: false, successor: null },
    serviceParallelism: 10,
    ...changes,
  };
}

const told = { evicted: true } as const;

function aSuccessor(
  standing: Successor['standing'],
  changes: Partial<Successor> = {},
): Pick<MoveView, 'successor'> {
  return { successor: { node: 'host-2', standing, message: '', reasons: [], ...changes } };
}

const refusal: PlacementReason = {
  ...{ nodeId: nodeId('host-2'), node: 'host-2', filter: 'TAG_MISSING' as const },
  reason: 'lacks the tag "x"',
};
const obstacle: Obstacle = { message: 'no node can take it', reasons: [refusal] };

function plan(
  views: readonly MoveView[],
  order: Partial<MoveOrder> = {},
  known: readonly Move[] = [],
): MovePlan {
  return planMoves(views, {
    ...{ parallelism: 0, once: false, force: false, known, nowMs: 0, obstacleTo: () => null },
    ...order,
  });
}

/** One plan after the other, each knowing what the one before found. */
function inTurns(order: Partial<MoveOrder>, ...looks: readonly (readonly MoveView[])[]): MovePlan {
  let found = plan([], order);
  for (const views of looks) found = plan(views, order, found.members);
  return found;
}

const statesOf = ({ members }: MovePlan) =>
  members.map(({ container, state, to }) => `${container} ${state} ${to}`.trim());

describe('what is to go to other nodes', () => {
  test('goes all at once, but of a service no more than its update policy lets', () => {
    const views = ['a-1', 'a-2', 'a-3', 'b-1'].map((name) =>
      aView(name, { serviceParallelism: 2 }),
    );
    expect(plan(views).evict).toEqual(['a-1', 'a-2', 'b-1']);
  });

  test('goes so many at a time; the next when a successor serves', () => {
    const [first, ...others] = ['a-1', 'a-2', 'b-1'].map((name) => aView(name));
    const order = { parallelism: 1 };
    expect(plan([first!, ...others], order).evict).toEqual(['a-1']);
    const coming = { ...first!, ...told, ...aSuccessor('coming') };
    expect(inTurns(order, [coming, ...others]).evict).toEqual([]);
    const serving = { ...first!, ...told, ...aSuccessor('serving') };
    const next = inTurns(order, [coming, ...others], [serving, ...others]);
    expect(next.evict).toEqual(['a-2']);
    expect(statesOf(next)).toEqual(['a-1 moving host-2', 'a-2 moving', 'b-1 waiting']);
  });

  test('has moved when it is gone and its successor serves; meanwhile nobody else has its turn', () => {
    const here = aView('a-1', { ...told, ...aSuccessor('coming') });
    const gone = { ...here, standing: 'gone', evicted: false } as const;
    const order = { parallelism: 1 };
    const waiting = inTurns(order, [here, aView('b-1')], [gone, aView('b-1')]);
    expect(statesOf(waiting)).toEqual(['a-1 moving host-2', 'b-1 waiting']);
    const there = { ...gone, ...aSuccessor('serving') };
    expect(statesOf(inTurns(order, [here], [there]))).toEqual(['a-1 moved host-2']);
  });

  test('stays where no node takes it, says why of each, and lets others go on', () => {
    const order: Partial<MoveOrder> = {
      parallelism: 1,
      obstacleTo: ({ name }) => (name === 'a-1' ? obstacle : null),
    };
    const found = plan([aView('a-1'), aView('b-1')], order);
    expect(found.members[0]).toMatchObject({ state: 'stuck', ...obstacle });
    expect(found.evict).toEqual(['b-1']);
    const later = plan([aView('a-1')], {}, found.members);
    expect(later.evict).toEqual(['a-1']);
  });

  test('stays when its successor fails, and is tried again after a while', () => {
    const failing = aView('a-1', { ...told, ...aSuccessor('failed', { message: 'it crashed' }) });
    const found = inTurns({}, [aView('a-1')], [failing]);
    expect(found.spare).toEqual(['a-1']);
    expect(found.members[0]).toMatchObject({ state: 'stuck', message: 'it crashed' });
    const again = (nowMs: number) => plan([aView('a-1')], { nowMs }, found.members).evict;
    expect(again(59_999)).toEqual([]);
    expect(again(60_000)).toEqual(['a-1']);
  });

  test('is not told while what is to take its place for another reason has no place itself', () => {
    const stuck = { ...aSuccessor('failed', { reasons: [refusal] }) };
    const order = { obstacleTo: () => null };
    const given = inTurns(order, [aView('a-1', { ...told, ...stuck })]);
    expect(given.spare).toEqual(['a-1']);
    expect(plan([aView('a-1', stuck)], order, given.members).evict).toEqual([]);
    expect(plan([aView('a-1')], order, given.members).evict).toEqual(['a-1']);
  });

  test('is tried once, where that was all that was asked', () => {
    const found = plan([aView('a-1')], { once: true, obstacleTo: () => obstacle });
    expect(statesOf(found)).toEqual(['a-1 kept']);
    expect(plan([aView('a-1')], { once: true }, found.members).evict).toEqual([]);
  });

  test('goes by force, all of it, also what has nowhere to go', () => {
    const views = [aView('a-1', { ...told, ...aSuccessor('failed') }), aView('b-1')];
    const found = plan(views, { force: true, parallelism: 1, obstacleTo: () => obstacle });
    expect(found.force).toEqual(['a-1', 'b-1']);
    const gone = aView('b-1', {
      standing: 'gone',
      ...aSuccessor('failed', { node: '', message: 'no node can take it' }),
    });
    const { members } = plan([gone], { force: true }, found.members);
    expect(summaryOf(members)).toBe('1 of 1 moved; b-1 is not back yet: no node can take it');
  });

  test('is told again when somebody took back what it was told', () => {
    expect(inTurns({}, [aView('a-1', told)], [aView('a-1')]).evict).toEqual(['a-1']);
  });

  test('is removed, not moved, where nothing takes its place', () => {
    const found = plan([aView('a-1', { standing: 'leaving' })]);
    expect(statesOf(found)).toEqual(['a-1 moving']);
    const gone = plan([aView('a-1', { standing: 'gone' })], {}, found.members);
    expect(statesOf(gone)).toEqual(['a-1 removed']);
    expect(summaryOf(gone.members)).toBe('0 of 1 moved; a-1 went without a successor');
  });

  test('is told of once, and not again while nothing changes', () => {
    const views = [aView('a-1', { ...told, ...aSuccessor('coming') }), aView('b-1', told)];
    const first = plan(views);
    const again = plan(views, {}, first.members);
    expect([first.turned.length, again.turned.length]).toEqual([2, 0]);
    expect(again.members).toEqual(first.members);
  });
});
