import { expect, test } from 'vitest';
import { undoingOf } from '../../../../coordinator/api/cancellable.ts';
import type { ServiceBefore } from '../../../../coordinator/model.ts';

const nothing = { roll: null, moves: null, before: null };
const before = {} as ServiceBefore;

test('an action of a version that did not note what was before cannot be called off', () => {
  expect(undoingOf({ ...nothing, method: 'UpdateService' })).toBeNull();
  expect(undoingOf({ ...nothing, method: 'ScaleService' })).toBeNull();
  expect(undoingOf({ ...nothing, method: 'UpdateService', before })).toBe('service');
});

test('before a service that is created there is nothing', () => {
  expect(undoingOf({ ...nothing, method: 'CreateService' })).toBe('service');
});

test('what is about no service needs nothing from before', () => {
  expect(undoingOf({ ...nothing, method: 'DrainNode' })).toBe('drain');
  expect(undoingOf({ ...nothing, method: 'RemoveService' })).toBeNull();
});
