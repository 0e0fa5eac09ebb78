import { expect, test } from 'vitest';
import type { NodeFailures } from '../../../../coordinator/model.ts';
import {
  failingNodes,
  withFailure,
  withoutFailures,
} from '../../../../coordinator/scheduler/failing.ts';
import { nodeId } from './builders.ts';

const at = { nodeId: nodeId('node-1'), revision: 2 };
const minuteMs = 60_000;

function failed(times: number, before: readonly NodeFailures[] = []): readonly NodeFailures[] {
  return Array.from({ length: times }).reduce<readonly NodeFailures[]>(
    (known) => withFailure(known, at, { nowMs: 0, wanted: [2] }),
    before,
  );
}

const untilMs = (known: readonly NodeFailures[], nowMs = 0) =>
  failingNodes(known, 2, nowMs).map((node) => node.untilMs);

test('a node is left alone from the third failure, longer after each, but not for ever', () => {
  expect([1, 2, 3, 4, 5, 30].map((times) => untilMs(failed(times)))).toEqual([
    ...[[], [], [10_000], [20_000], [40_000], [5 * minuteMs]],
  ]);
  expect(untilMs(failed(3), 9_999)).toEqual([10_000]);
  expect(untilMs(failed(3), 10_000)).toEqual([]);
});

test('what failed says nothing of another revision, and is forgotten with its own', () => {
  expect(failingNodes(failed(5), 3, 0)).toEqual([]);
  const next = withFailure(failed(5), { ...at, revision: 3 }, { nowMs: 0, wanted: [3] });
  expect(next).toEqual([{ ...at, revision: 3, count: 1, lastAtMs: 0 }]);
});

test('what is long ago is forgotten, and so is everything when it serves there', () => {
  const later = withFailure(failed(5), at, { nowMs: 15 * minuteMs, wanted: [2] });
  expect(later).toEqual([{ ...at, count: 1, lastAtMs: 15 * minuteMs }]);
  expect(withoutFailures(failed(5), at)).toEqual([]);
  expect(withoutFailures(failed(5), { ...at, revision: 1 })).toHaveLength(1);
});
