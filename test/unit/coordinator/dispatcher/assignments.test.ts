import { describe, expect, test } from 'vitest';
import { assignmentOf } from '../../../../coordinator/dispatcher/assignments.ts';
import { aContainer, anObservation } from '../../../support/builders.ts';

const drained = () => true;

describe('a node is told', () => {
  test.each([
    ['running', 'running'],
    ['draining', 'running'],
    ['stopped', 'stopped'],
    ['removed', 'removed'],
  ] as const)('of a container that is %s: %s', (wanted, expected) => {
    expect(assignmentOf(aContainer({ wanted }), anObservation(), drained)?.wanted).toBe(expected);
    expect(assignmentOf(aContainer({ wanted }), undefined, drained)?.wanted).toBe(expected);
  });

  test.each(['stopped', 'failed', 'removed'] as const)(
    'nothing of one that is %s and should run: it is one attempt',
    (phase) => {
      const observed = anObservation({ phase });
      expect(assignmentOf(aContainer(), observed, drained)).toBeNull();
      expect(assignmentOf(aContainer({ wanted: 'draining' }), observed, drained)).toBeNull();
      expect(assignmentOf(aContainer({ wanted: 'removed' }), observed, drained)?.wanted).toBe(
        'removed',
      );
    },
  );

  test.each(['pulling', 'starting', 'stopping'] as const)('to run one that is %s', (phase) => {
    expect(assignmentOf(aContainer(), anObservation({ phase }), drained)?.wanted).toBe('running');
  });

  test('nothing of one that is not placed', () => {
    expect(assignmentOf(aContainer({ nodeId: null }), undefined, drained)).toBeNull();
    expect(assignmentOf(aContainer({ definition: null }), undefined, drained)).toBeNull();
  });

  test('that one is drained only if it awaits that', () => {
    const told = (awaitsDrain: boolean, isDrained: boolean) =>
      assignmentOf(aContainer(), anObservation({ awaitsDrain }), () => isDrained)?.drained;
    expect(told(true, true)).toBe(true);
    expect(told(true, false)).toBe(false);
    expect(told(false, true)).toBe(false);
  });
});
