import { expect, test } from 'vitest';
import { SessionTurns } from '../../../../coordinator/api/session-turns.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

/** Sessions that take turns, one at a time, and who of them had one. */
function inTurn() {
  const clock = new FakeClock();
  const turns = new SessionTurns({ atOnce: 1, clock });
  const had: string[] = [];
  const take = (name: string) =>
    turns.take(() => {
      had.push(name);
    });
  return { clock, had, take };
}

test('they come in their order, each when the one before is over', async () => {
  const { clock, had, take } = inTurn();
  const [first, second] = ['one', 'two', 'three'].map(take);
  expect(had).toEqual(['one']);
  first![Symbol.dispose]();
  await clock.settle();
  expect(had).toEqual(['one', 'two']);
  second![Symbol.dispose]();
  await clock.settle();
  expect(had).toEqual(['one', 'two', 'three']);
});

test('between two of them everything else is heard', () => {
  const { had, take } = inTurn();
  const [first] = ['one', 'two'].map(take);
  first![Symbol.dispose]();
  expect(had).toEqual(['one']);
});

test('who takes long holds up the others for a moment only, and gives back one place', async () => {
  const { clock, had, take } = inTurn();
  const [slow] = ['one', 'two', 'three'].map(take);
  await clock.advance(49);
  expect(had).toEqual(['one']);
  await clock.advance(1);
  expect(had).toEqual(['one', 'two']);
  slow![Symbol.dispose]();
  await clock.settle();
  expect(had).toEqual(['one', 'two']);
});

test('who leaves the line has no turn, and takes nobody his', async () => {
  const { clock, had, take } = inTurn();
  const [first, second] = ['one', 'two', 'three'].map(take);
  second![Symbol.dispose]();
  first![Symbol.dispose]();
  await clock.settle();
  expect(had).toEqual(['one', 'three']);
});

test('a place that is free is had at once', () => {
  const { had, take } = inTurn();
  take('one')[Symbol.dispose]();
  expect(had).toEqual(['one']);
});
