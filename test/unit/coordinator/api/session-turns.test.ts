import { describe, expect, test } from 'vitest';
import { SessionTurns } from '../../../../coordinator/api/session-turns.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { FakeCrowd } from './fake-crowd.ts';

/** Sessions that take turns, one at a time, and who of them had one. */
function inTurn() {
  const clock = new FakeClock();
  const crowd = new FakeCrowd();
  const turns = new SessionTurns({ atOnce: 1, clock, crowd });
  const had: string[] = [];
  const take = (name: string) =>
    turns.take(() => {
      had.push(name);
    });
  return { clock, crowd, had, take };
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

describe('while a crowd comes', () => {
  test('nobody has one; when all are there, they go on one after the other', async () => {
    const { clock, crowd, had, take } = inTurn();
    crowd.come();
    const [first] = ['one', 'two'].map(take);
    await clock.advance(1_999);
    expect(had).toEqual([]);
    crowd.go();
    expect(had).toEqual(['one']);
    first![Symbol.dispose]();
    await clock.settle();
    expect(had).toEqual(['one', 'two']);
  });

  test('who waited for two seconds has one all the same', async () => {
    const { clock, crowd, had, take } = inTurn();
    crowd.come();
    const first = take('one');
    await clock.advance(500);
    take('two');
    await clock.advance(1_500);
    expect(had).toEqual(['one']);
    first[Symbol.dispose]();
    await clock.advance(499);
    expect(had).toEqual(['one']);
    await clock.advance(1);
    expect(had).toEqual(['one', 'two']);
  });

  test('no timer is left of those who left', () => {
    const { clock, crowd, had, take } = inTurn();
    crowd.come();
    for (const turn of ['one', 'two'].map(take)) turn[Symbol.dispose]();
    expect(clock.timers).toBe(0);
    crowd.go();
    take('three');
    expect(had).toEqual(['three']);
  });
});
