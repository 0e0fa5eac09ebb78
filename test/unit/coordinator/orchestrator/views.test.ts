import { describe, expect, test } from 'vitest';
import type { Availability, NodeState, Observed } from '../../../../coordinator/model.ts';
import {
  effectiveOrder,
  viewContainer,
  viewService,
} from '../../../../coordinator/orchestrator/views.ts';
import {
  aContainer,
  anObservation,
  anUpdatePolicy,
  aPort,
  aService,
  aSpec,
  nodeId,
} from '../../../support/builders.ts';
import type { NodeId } from '../../../../shared/ids.ts';

describe('the update order', () => {
  test.each([
    ['default', 0, 'start-first'],
    ['default', 80, 'stop-first'],
    ['start-first', 80, 'start-first'],
    ['stop-first', 0, 'stop-first'],
  ] as const)('%s with node port %i is %s', (order, hostPort, expected) => {
    const update = anUpdatePolicy({ order });
    const spec = aSpec({ update, ports: [aPort({ containerPort: 8080 }), aPort({ hostPort })] });
    expect(effectiveOrder(aService({ spec }))).toBe(expected);
  });
});

describe('a share of the containers wanted', () => {
  const amounts = (replicas: number, everyNode: NodeId[] | null = null) => {
    const update = anUpdatePolicy({ parallelism: '25%', failureBudget: '25%' });
    return viewService(aService({ spec: aSpec({ replicas, update }) }), everyNode);
  };

  test('is rounded down, but at least one is replaced at a time', () => {
    expect(amounts(11)).toMatchObject({ parallelism: 2, failureBudget: 2 });
    expect(amounts(3)).toMatchObject({ parallelism: 1, failureBudget: 0 });
  });

  test('counts nodes where there is one on every node', () => {
    const everyNode = Array.from({ length: 8 }, (_, index) => nodeId(`node-${index}`));
    expect(amounts(1, everyNode)).toMatchObject({ parallelism: 2, failureBudget: 2 });
  });
});

interface Node {
  readonly state: NodeState;
  readonly availability: Availability;
}

describe('a container', () => {
  const admission = { admitted: true, drained: false };
  const seen = (observed: Observed | undefined, node: Partial<Node> = {}) => ({
    observed,
    admission,
    node: { state: 'ready' as const, availability: 'active' as const, ...node },
  });

  test('that nobody reported yet is pending since it was made', () => {
    const view = viewContainer(aContainer({ createdAtMs: 7 }), seen(undefined));
    expect(view).toMatchObject({
      phase: 'pending',
      ready: false,
      everRan: false,
      exitCode: null,
      sinceMs: 7,
    });
  });

  test('is ready only while it runs', () => {
    const view = (phase: 'running' | 'stopping') =>
      viewContainer(aContainer(), seen(anObservation({ phase, ready: true }))).ready;
    expect([view('running'), view('stopping')]).toEqual([true, false]);
  });

  test('is lost with its node, and takes no traffic then', () => {
    const observed = anObservation({ phase: 'running', ready: true });
    const view = (state: NodeState) => viewContainer(aContainer(), seen(observed, { state }));
    expect(view('unreachable')).toMatchObject({ lost: false, ready: true });
    expect(view('down')).toMatchObject({ lost: true, ready: false, message: 'its node is down' });
  });

  test('is evicted when it is to go elsewhere, unless its node is down', () => {
    const eviction = { by: nodeId('node-1'), forced: true };
    const view = (state: NodeState) =>
      viewContainer(aContainer({ eviction }), seen(anObservation(), { state }));
    expect(view('ready')).toMatchObject({ evicted: true, forced: true, lost: false });
    expect(view('down')).toMatchObject({ evicted: false, forced: false, lost: true });
  });

  test('ran once it had a start, also by the clock of a host of 1970', () => {
    const view = viewContainer(aContainer(), seen(anObservation({ startedAtMs: 0 })));
    expect(view.everRan).toBe(true);
  });
});
