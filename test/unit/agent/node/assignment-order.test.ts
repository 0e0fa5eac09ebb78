import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AssignmentOrder } from '../../../../agent/node/assignment-order.ts';

const complete = (sequence: number) => ({ complete: true, sequence });
const increment = (sequence: number) => ({ complete: false, sequence });

test('applies a complete set and the increments that follow it', () => {
  const order = new AssignmentOrder();
  const sets = [complete(5), increment(6), increment(7), complete(8), increment(9)];
  expect(sets.map((set) => order.take(set))).toEqual(Array(5).fill('apply'));
});

test('drops what it has, and asks once for what it missed', () => {
  const order = new AssignmentOrder();
  const sets = [complete(5), increment(5), increment(7), increment(8), increment(6), complete(9)];
  const verdicts = ['apply', 'drop', 'ask', 'drop', 'drop', 'apply'];
  expect(sets.map((set) => order.take(set))).toEqual(verdicts);
  expect(order.take(increment(10))).toBe('apply');
});

test('asks for the complete set if it was not the first', () => {
  expect(new AssignmentOrder().take(increment(1))).toBe('ask');
});

test('whatever is lost, doubled or late, what is applied is one whole run', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(6))), (sets) => {
      const order = new AssignmentOrder();
      let last: number | undefined;
      for (const [isComplete, sequence] of sets) {
        const verdict = order.take({ complete: isComplete, sequence });
        if (verdict !== 'apply') continue;
        if (!isComplete) expect(sequence).toBe((last ?? NaN) + 1);
        last = sequence;
      }
    }),
  );
});
