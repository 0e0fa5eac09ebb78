import { expect, test } from 'vitest';
import { advanceDrain, type Drain, type DrainAction } from '../../../../agent/proxy/drain.ts';

/** Readings of what is in flight, each with its time, and what is done after each. */
function actions(
  ...readings: readonly (readonly [atMs: number, inFlight: number])[]
): DrainAction[] {
  let drain: Drain = { deadlineAt: 1_000, zeroReadings: 0, cutAt: undefined };
  return readings.map(([atMs, inFlight]) => {
    const next = advanceDrain(drain, inFlight, atMs);
    drain = next.drain;
    return next.action;
  });
}

test('is over when two readings in a row have nothing in flight', () => {
  expect(actions([0, 2], [25, 0], [50, 1], [75, 0], [100, 0])).toEqual([
    'wait',
    'wait',
    'wait',
    'wait',
    'drained',
  ]);
});

test('cuts from the deadline on, every 200 ms, and gives up after two seconds', () => {
  expect(
    actions([999, 3], [1_000, 3], [1_025, 3], [1_199, 2], [1_200, 1], [2_999, 1], [3_000, 1]),
  ).toEqual(['wait', 'cut', 'wait', 'wait', 'cut', 'cut', 'drained']);
});

test('needs two readings after a cut, too', () => {
  expect(actions([1_000, 1], [1_025, 0], [1_050, 0])).toEqual(['cut', 'wait', 'drained']);
});
