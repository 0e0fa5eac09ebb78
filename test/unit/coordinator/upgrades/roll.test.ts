import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Roll, RollMember } from '../../../../coordinator/model.ts';
import {
  planRoll,
  previewRoll,
  type MemberView,
  type RollPlan,
} from '../../../../coordinator/upgrades/roll.ts';
import { nodeId } from '../../../support/builders.ts';

const attempt = 'a1';
const minuteMs = 60_000;

const old: MemberView = {
  ...{ presence: 'connected', version: '1', isOnTrial: false },
  ...{ obstacle: null, failure: null },
};
const fresh: MemberView = { ...old, version: '2' };
const onTrial: MemberView = { ...fresh, isOnTrial: true };
const wentBack: MemberView = { ...old, failure: { attempt, reason: 'it hangs' } };

/** Members by letters: what is behind each is its state; none: waiting. */
function aRoll(states: Readonly<Record<string, RollMember['state']>>, parallelism = 2): Roll {
  const members = Object.entries(states).map(([name, state]) => ({
    ...{ nodeId: nodeId(name), name, state, message: '' },
    toldAtMs: 0,
  }));
  return { version: '2', parallelism, members };
}

function plan(roll: Roll, views: Readonly<Record<string, MemberView>>, nowMs = 0): RollPlan {
  return planRoll(roll, { viewOf: ({ name }) => views[name] ?? old, attempt, nowMs });
}

const statesOf = ({ members }: RollPlan) => members.map(({ name, state }) => `${name} ${state}`);

describe('a roll', () => {
  test.each([
    [
      'begins with one alone',
      { a: 'waiting', b: 'waiting', c: 'waiting' },
      {},
      ['a told', 'b waiting', 'c waiting'],
    ],
    [
      'waits for the first',
      { a: 'told', b: 'waiting', c: 'waiting' },
      {},
      ['a told', 'b waiting', 'c waiting'],
    ],
    [
      'goes on with as many as it may once the first has come back',
      { a: 'told', b: 'waiting', c: 'waiting', d: 'waiting' },
      { a: fresh },
      ['a upgraded', 'b told', 'c told', 'd waiting'],
    ],
    [
      'is not proven by a node that had the version before',
      { a: 'waiting', b: 'waiting', c: 'waiting' },
      { a: fresh },
      ['a same', 'b told', 'c waiting'],
    ],
    [
      'stops when one goes back, and lets the others come to an end',
      { a: 'upgraded', b: 'told', c: 'told', d: 'waiting' },
      { a: fresh, b: wentBack },
      ['a upgraded', 'b failed', 'c told', 'd waiting'],
    ],
    [
      'is not stopped by the failure of an earlier one',
      { a: 'waiting', b: 'waiting' },
      { a: { ...old, failure: { attempt: 'a0', reason: 'it hung' } } },
      ['a told', 'b waiting'],
    ],
    [
      'leaves those that are away, were removed or cannot, and takes the next',
      { a: 'waiting', b: 'waiting', c: 'waiting', d: 'waiting' },
      {
        a: { ...old, presence: 'away' },
        b: { ...old, presence: 'removed' },
        c: { ...old, obstacle: 'it is a container' },
      },
      ['a left', 'b left', 'c left', 'd told'],
    ],
    [
      'waits for one that may be back in a moment, and takes the next meanwhile',
      { a: 'waiting', b: 'waiting' },
      { a: { ...old, presence: 'unsure' } },
      ['a waiting', 'b told'],
    ],
    [
      'waits for a version that is back and may not stay, also when another roll begins meanwhile',
      { a: 'told', b: 'waiting', c: 'waiting' },
      { a: onTrial, b: onTrial },
      ['a told', 'b waiting', 'c waiting'],
    ],
    [
      'takes the word of a node that is connected only',
      { a: 'told' },
      { a: { ...fresh, presence: 'unsure' } },
      ['a told'],
    ],
  ] as const)('%s', (_, states, views, expected) => {
    expect(statesOf(plan(aRoll(states), views))).toEqual(expected);
  });

  test('gives up a node that is not heard of', () => {
    expect(statesOf(plan(aRoll({ a: 'told' }), {}, 14 * minuteMs))).toEqual(['a told']);
    const { end } = plan(aRoll({ a: 'told', b: 'waiting' }), {}, 15 * minuteMs);
    expect(end?.state).toBe('failed');
    expect(end?.message).toMatch(/^a did not take 2: nothing was heard of it .*; not begun: b$/);
  });

  test('ends well when all have the version', () => {
    const { end } = plan(aRoll({ a: 'told', b: 'same', c: 'upgraded' }), { a: fresh });
    expect(end).toEqual({ state: 'succeeded', message: '' });
    expect(plan(aRoll({}), {}).end).toEqual({ state: 'succeeded', message: '' });
  });

  test('says at its end what became of whom', () => {
    const roll = aRoll({ a: 'upgraded', b: 'told', c: 'waiting', d: 'waiting', e: 'left' });
    expect(plan(roll, { b: wentBack }).end).toEqual({
      state: 'failed',
      message: 'b did not take 2: it hangs; 1 runs there; e is left: ; not begun: c, d',
    });
    const many = Object.fromEntries('abcdefgh'.split('').map((name) => [name, 'left' as const]));
    expect(plan(aRoll(many), {}).end?.message).toContain('e is left: ; and 3 more');
  });

  test('can be foreseen', () => {
    const views: Readonly<Record<string, MemberView>> = {
      b: fresh,
      c: { ...old, obstacle: 'no' },
    };
    const roll = aRoll({ a: 'waiting', b: 'waiting', c: 'waiting', d: 'waiting' });
    const viewOf = ({ name }: RollMember) => views[name] ?? old;
    const states = previewRoll(roll, { viewOf, attempt: '', nowMs: 0 }).map(({ state }) => state);
    expect(states).toEqual(['told', 'same', 'left', 'told']);
  });
});

test('whatever hosts do: one first, never more than may, none after a failure, and an end', () => {
  const fate = fc.record({
    becomes: fc.constantFrom<MemberView>(fresh, wentBack),
    away: fc.constantFrom<MemberView['presence']>('connected', 'connected', 'away', 'removed'),
    has: fc.boolean(),
    can: fc.boolean(),
    rounds: fc.nat({ max: 5 }),
  });
  fc.assert(
    fc.property(
      fc.array(fate, { maxLength: 12 }),
      fc.integer({ min: 1, max: 4 }),
      (fates, wide) => {
        const waited = fates.map(() => 0);
        let roll = aRoll(
          Object.fromEntries(fates.map((_, index) => [`n${index}`, 'waiting'])),
          wide,
        );
        const viewOf = ({ name, state }: RollMember): MemberView => {
          const index = Number(name.slice(1));
          const { becomes, away, has, can, rounds } = fates[index]!;
          if (state === 'told') return ++waited[index]! > rounds ? becomes : old;
          if (state === 'upgraded') return fresh;
          return { ...(has ? fresh : old), presence: away, obstacle: can ? null : 'it cannot' };
        };
        for (let round = 0; ; round++) {
          expect(round).toBeLessThan(12 * 8);
          const next = planRoll(roll, { viewOf, attempt, nowMs: 0 });
          const count = (state: RollMember['state']) =>
            next.members.filter((member) => member.state === state).length;
          expect(count('told')).toBeLessThanOrEqual(count('upgraded') > 0 ? wide : 1);
          const begun = next.changed.filter(({ state }) => state === 'told');
          if (count('failed') > 0) expect(begun).toEqual([]);
          for (const { name } of begun) expect(fates[Number(name.slice(1))]!.can).toBe(true);
          expect(next.changed.every(({ message }) => message !== '')).toBe(true);
          roll = { ...roll, members: next.members };
          if (next.end === null) continue;
          expect(count('told')).toBe(0);
          const isWhole = count('failed') + count('left') + count('waiting') === 0;
          expect(next.end.state).toBe(isWhole ? 'succeeded' : 'failed');
          return;
        }
      },
    ),
  );
});
