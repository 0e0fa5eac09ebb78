import { describe, expect, test } from 'vitest';
import type { Availability, NodeState, Observed } from '../../../../coordinator/model.ts';
import {
  effectiveOrder,
  viewContainer,
  viewService,
} from '../../../../coordinator/orchestrator/views.ts';
import { aContainer, anObservation, aPort, aService, aSpec } from '../../../support/builders.ts';

describe('the update order', () => {
  test.each([
    ['default', 0, 'start-first'],
    ['default', 80, 'stop-first'],
    ['start-first', 80, 'start-first'],
    ['stop-first', 0, 'stop-first'],
  ] as const)('%s with node port %i is %s', (order, hostPort, expected) => {
    const update = { order, parallelism: 1, deadlineMs: 1_000 };
    const spec = aSpec({ update, ports: [aPort({ containerPort: 8080 }), aPort({ hostPort })] });
    expect(effectiveOrder(aService({ spec }))).toBe(expected);
  });
});

test('a rollout counts as ended only for the revision that it was of', () => {
  const halt = { revision: 2, reason: 'because' };
  expect(viewService(aService({ revision: 2, halt }), null).halted).toBe('because');
  expect(viewService(aService({ revision: 3, halt }), null).halted).toBeNull();
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

  test('is evicted from a node that is to be emptied, unless that is down', () => {
    const view = (node: Partial<Node>) =>
      viewContainer(aContainer(), seen(anObservation(), { availability: 'draining', ...node }));
    expect(view({})).toMatchObject({ evicted: true, lost: false });
    expect(view({ state: 'down' })).toMatchObject({ evicted: false, lost: true });
  });

  test('ran once it had a start, also by the clock of a host of 1970', () => {
    const view = viewContainer(aContainer(), seen(anObservation({ startedAtMs: 0 })));
    expect(view.everRan).toBe(true);
  });
});
