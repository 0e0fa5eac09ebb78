import { expect, test } from 'vitest';
import { pieceOf, pieceSteps } from '../../../../coordinator/orchestrator/pieces.ts';
import { planService } from '../../../../coordinator/orchestrator/plan.ts';
import type { Step } from '../../../../coordinator/orchestrator/steps.ts';
import { aServiceView, containerId, nodeId } from '../../../support/builders.ts';

const create = (slot: number): Step => ({
  ...{ kind: 'create', slot, revision: 1, attempt: 1, pinnedTo: null },
  ...{ replaces: null, canary: false },
});
const retire = (n: number, reason: 'failed' | 'scaled-down'): Step => {
  return { kind: 'retire', containerId: containerId(`c-${n}`), reason, then: 'removed' };
};

test('what two thousand nodes get is carried out in small pieces', () => {
  const everyNode = Array.from({ length: 2_000 }, (_, n) => nodeId(`node-${n}`));
  const { steps } = planService(aServiceView({ everyNode }), [], 1_000);
  expect(steps).toHaveLength(2_000);
  expect(pieceOf(steps)).toEqual(steps.slice(0, pieceSteps));
});

test('a small plan is one piece', () => {
  const steps = [create(1), create(2), create(3)];
  expect(pieceOf(steps, 3)).toEqual(steps);
  expect(pieceOf([], 3)).toEqual([]);
});

test('what takes the place of a container comes with its end', () => {
  const steps = [1, 2, 3].flatMap((n) => [retire(n, 'failed'), create(n)]);
  expect(pieceOf(steps, 1)).toEqual(steps);
});

test('what ended for a reason of its own is not parted from what follows', () => {
  const steps = [retire(1, 'failed'), retire(2, 'failed'), create(2), create(3), create(4)];
  expect(pieceOf(steps, 1)).toEqual(steps.slice(0, 3));
});

test('what nothing follows on goes a piece at a time', () => {
  const steps = [1, 2, 3, 4].map((n) => retire(n, 'scaled-down'));
  expect(pieceOf(steps, 2)).toEqual(steps.slice(0, 2));
});
