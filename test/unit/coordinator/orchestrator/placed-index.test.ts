import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Container, Observed, Service } from '../../../../coordinator/model.ts';
import { ObservedState } from '../../../../coordinator/observed/observed-state.ts';
import { placedView, PlacedIndex } from '../../../../coordinator/orchestrator/placed-index.ts';
import { indexPlaced, type Occupancy } from '../../../../coordinator/scheduler/schedule.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import {
  aContainer,
  aDefinition,
  aNode,
  anObservation,
  aPort,
  aService,
  aSpec,
  containerId,
  nodeId,
  serviceId,
} from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const nodes = ['a', 'b'].map(nodeId);
const services = ['web', 'db'];
const ids = ['1', '2', '3', '4'].map(containerId);

type Operation =
  | { readonly kind: 'put'; readonly container: Container }
  | { readonly kind: 'delete'; readonly id: Container['id'] }
  | { readonly kind: 'service'; readonly service: Service }
  | { readonly kind: 'report'; readonly id: Container['id']; readonly phase: Observed['phase'] };

const containers: fc.Arbitrary<Container> = fc
  .record({
    id: fc.constantFrom(...ids),
    service: fc.constantFrom(...services),
    node: fc.constantFrom(null, ...nodes),
    wanted: fc.constantFrom(...(['running', 'draining', 'stopped', 'removed'] as const)),
    outdated: fc.boolean(),
    isEvicted: fc.boolean(),
    revision: fc.integer({ min: 1, max: 2 }),
    port: fc.constantFrom(0, 80),
  })
  .map(({ service, node, isEvicted, port, ...rest }) =>
    aContainer({
      ...rest,
      name: `${service}-${rest.id}`,
      serviceId: serviceId(`${service}-id`),
      nodeId: node,
      eviction: isEvicted ? { by: nodes[0]!, forced: false } : null,
      definition: node === null ? null : aDefinition({ ports: [aPort({ hostPort: port })] }),
    }),
  );

const operations: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), container: containers }),
  fc.record({ kind: fc.constant('delete' as const), id: fc.constantFrom(...ids) }),
  fc.record({
    kind: fc.constant('service' as const),
    service: fc
      .record({
        name: fc.constantFrom(...services),
        revision: fc.integer({ min: 1, max: 2 }),
        cpuMillis: fc.constantFrom(0, 500),
      })
      .map(({ name, revision, cpuMillis }) =>
        aService({
          ...{ name, revision },
          spec: aSpec({ reservation: { cpuMillis, memoryBytes: 0 } }),
        }),
      ),
  }),
  fc.record({
    kind: fc.constant('report' as const),
    id: fc.constantFrom(...ids),
    phase: fc.constantFrom<Observed['phase']>('running', 'stopped', 'failed', 'removed'),
  }),
);

/** All that a decision asks of it. */
function answersOf(occupancy: Occupancy) {
  return nodes.map((node) => ({
    total: occupancy.total(node),
    ofServices: services.map((name) => occupancy.ofService(serviceId(`${name}-id`), node)),
    isTaken: occupancy.holderOf({ hostPort: 80, protocol: 'tcp' }, node) !== undefined,
    reserved: occupancy.reserved(node),
  }));
}

test('what is counted as it changes is what counting all anew gives', () => {
  fc.assert(
    fc.property(fc.array(operations, { maxLength: 40 }), (steps) => {
      using store = new Store(':memory:', { clock: new FakeClock() });
      const observed = new ObservedState(new Map(), { clock: new FakeClock() });
      store.transact((tx) => {
        for (const id of nodes) tx.nodes.put(aNode({ id, name: id }));
        for (const name of services) tx.services.put(aService({ name }));
      });
      using index = new PlacedIndex({ store, observed });
      for (const step of steps) {
        if (step.kind === 'report') {
          observed.report(step.id, { ...anObservation(), phase: step.phase });
        } else {
          store.transact((tx) => {
            if (step.kind === 'put') tx.containers.put(step.container);
            else if (step.kind === 'delete') tx.containers.delete(step.id);
            else tx.services.put(step.service);
          });
        }
        const all = [...store.containers.values()];
        const anew = indexPlaced(all.flatMap((c) => placedView(c, { store, observed }) ?? []));
        expect(answersOf(index.occupancy)).toEqual(answersOf(anew));
      }
    }),
    { numRuns: 200 },
  );
});
