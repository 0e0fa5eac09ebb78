import { expect, test } from 'vitest';
import { explainClock, isClockWrong } from '../../../shared/clock-skew.ts';

const minute = 60_000;
const hour = 60 * minute;

test.each([
  [0, ''],
  [5 * minute, ''],
  [-5 * minute, ''],
  [6 * minute, "its clock is 6 minutes ahead of the coordinator's"],
  [-90 * minute, "its clock is 90 minutes behind the coordinator's"],
  [24 * hour, "its clock is 24 hours ahead of the coordinator's"],
])('a clock that differs by %d ms: %j', (skewMs, expected) => {
  expect(explainClock(skewMs)).toBe(expected);
});

test.each([
  [25 * hour, '25 hours ahead of'],
  [-3 * 24 * hour, '3 days behind'],
])('a clock that differs by more than a day is named strongly: %d ms', (skewMs, words) => {
  expect(explainClock(skewMs)).toMatch(/^ITS CLOCK IS WRONG.*certificates.*timedatectl/);
  expect(explainClock(skewMs)).toContain(words);
});

test('a host says it of its own clock', () => {
  const its = 'the clock of this host';
  expect(explainClock(6 * minute, its)).toMatch(/^the clock of this host is 6 minutes ahead/);
  expect(explainClock(72 * hour, its)).toMatch(/^THE CLOCK OF THIS HOST IS WRONG, or the coord/);
});

test.each([
  [24 * hour, false],
  [25 * hour, true],
  [-25 * hour, true],
])('who has to set a clock that differs by %d ms: %j', (skewMs, wrong) => {
  expect(isClockWrong(skewMs)).toBe(wrong);
});
