import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { takeFigures } from '../../../../coordinator/metrics/figures.ts';
import { ObservedState } from '../../../../coordinator/observed/observed-state.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import type { ServiceId } from '../../../../shared/ids.ts';
import {
  aContainer,
  aNode,
  aReport,
  aService,
  aSpec,
  containerId,
} from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const serviceCount = 4;
const perService = 25;

/** Each look at it takes a millisecond. */
class SlowClock extends FakeClock {
  #looks = 0;

  override monotonic(): number {
    return super.monotonic() + ++this.#looks;
  }
}

test('counts all there is while others have their turns', async () => {
  const clock = new SlowClock();
  using store = new Store(':memory:', { clock });
  const observed = new ObservedState(new Map(), { clock });
  store.transact((tx) => {
    tx.nodes.put(aNode());
    for (let n = 1; n <= serviceCount; n++) {
      const id = `service-${n}` as ServiceId;
      const spec = aSpec({ replicas: perService });
      tx.services.put(aService({ id, name: id, spec, started: n > 1 }));
      for (let slot = 1; slot <= perService; slot++) {
        const container = aContainer({
          ...{ id: containerId(`${n}-${slot}`), serviceId: id, name: `${id}-${slot}`, slot },
          wanted: slot === 1 ? 'draining' : 'running',
        });
        tx.containers.put(container);
        if (slot === 2) continue;
        observed.report(container.id, aReport({ ready: slot > 3 }));
      }
    }
  });
  let turns = 0;
  const stop = new AbortController();
  const others = (async () => {
    while (!stop.signal.aborted) {
      await nextTurn();
      turns++;
    }
  })();

  const figures = await takeFigures({
    ...{ store, observed, clock },
    placement: { coverage: () => null },
    routing: { list: () => undefined, proxies: () => [] },
    dispatcher: { isConnected: () => false },
  });
  const turnsMeanwhile = turns;
  stop.abort();
  await others;

  expect(figures.containers).toMatchObject({
    ...{ running: serviceCount * (perService - 2), draining: serviceCount, pending: serviceCount },
    ...{ stopped: 0, failed: 0 },
  });
  const counts = { running: perService - 2, ready: perService - 3 };
  expect(figures.services).toEqual([
    { name: 'service-1', desired: 0, ...counts },
    { name: 'service-2', desired: perService, ...counts },
    { name: 'service-3', desired: perService, ...counts },
    { name: 'service-4', desired: perService, ...counts },
  ]);
  // A piece is of no more than five looks.
  expect(turnsMeanwhile).toBeGreaterThanOrEqual((serviceCount * perService) / 5 - 2);
});
