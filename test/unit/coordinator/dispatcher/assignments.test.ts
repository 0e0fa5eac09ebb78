import { describe, expect, test } from 'vitest';
import { assignmentOf } from '../../../../coordinator/dispatcher/assignments.ts';
import { aContainer, anObservation } from '../../../support/builders.ts';

describe('a node is told', () => {
  test.each([
    ['running', 'running'],
    ['draining', 'running'],
    ['stopped', 'stopped'],
    ['removed', 'removed'],
  ] as const)('of a container that is %s: %s', (wanted, expected) => {
    expect(assignmentOf(aContainer({ wanted }), anObservation())?.wanted).toBe(expected);
    expect(assignmentOf(aContainer({ wanted }), undefined)?.wanted).toBe(expected);
  });

  test.each(['stopped', 'failed', 'removed'] as const)(
    'nothing of one that is %s and should run: it is one attempt',
    (phase) => {
      const observed = anObservation({ phase });
      expect(assignmentOf(aContainer(), observed)).toBeNull();
      expect(assignmentOf(aContainer({ wanted: 'draining' }), observed)).toBeNull();
      expect(assignmentOf(aContainer({ wanted: 'removed' }), observed)?.wanted).toBe('removed');
    },
  );

  test.each(['pulling', 'starting', 'stopping'] as const)('to run one that is %s', (phase) => {
    expect(assignmentOf(aContainer(), anObservation({ phase }))?.wanted).toBe('running');
  });

  test('nothing of one that is not placed', () => {
    expect(assignmentOf(aContainer({ nodeId: null }), undefined)).toBeNull();
    expect(assignmentOf(aContainer({ definition: null }), undefined)).toBeNull();
  });
});
