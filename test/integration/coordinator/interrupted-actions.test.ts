import { expect, test } from 'vitest';
import {
  beginAction,
  endInterrupted,
  type NewAction,
} from '../../../coordinator/orchestrator/actions.ts';
import { Store } from '../../../coordinator/store/store.ts';
import { systemClock } from '../../../shared/clock.ts';
import type { ActionId } from '../../../shared/ids.ts';
import { serviceId } from '../../support/builders.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';

test('what went on in a coordinator that was killed has failed; what converges goes on', async () => {
  await using directory = new TemporaryDirectory();
  using store = new Store(directory.join('fairlead.db'), { clock: systemClock });
  const begin = (id: string, rest: Partial<NewAction>) =>
    store.transact((tx) =>
      beginAction(tx, {
        ...{ id: id as ActionId, method: 'M', targetKind: 'container', targetId: 't' },
        ...{ targetName: 'web-1', serviceId: null, requestId: '' },
        caller: { principal: 'admin', peer: '127.0.0.1:1' },
        ...rest,
      }),
    );
  begin('command', { lasts: true });
  begin('rotation', { lasts: true, targetKind: 'authority' });
  begin('convergence', { targetKind: 'service', serviceId: serviceId('s1') });
  begin('start-of-one', { serviceId: serviceId('s2') });
  store.transact(endInterrupted);
  const states = [...store.actions.values()].map(({ id, state, message }) => [id, state, message]);
  expect(states).toEqual([
    ['command', 'failed', 'the coordinator was restarted'],
    ['rotation', 'failed', 'the coordinator was restarted'],
    ['convergence', 'in-progress', ''],
    ['start-of-one', 'in-progress', ''],
  ]);
});
