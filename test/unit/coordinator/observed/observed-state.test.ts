import { describe, expect, test } from 'vitest';
import {
  ObservedState,
  type Observation,
} from '../../../../coordinator/observed/observed-state.ts';
import type { NodeObservation } from '../../../../coordinator/model.ts';
import {
  aBinding,
  anObservation,
  aReport,
  containerId,
  nodeId,
} from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const web1 = containerId('web-1-id');
const node1 = nodeId('node-1');

function setUp(known: ConstructorParameters<typeof ObservedState>[0] = new Map()) {
  const clock = new FakeClock();
  const observed = new ObservedState(known, { clock });
  const heard: Observation[] = [];
  observed.subscribe((observation) => {
    heard.push(observation);
  });
  return { clock, observed, heard };
}

describe('a report', () => {
  test('is what is seen from then on, and is told at once', () => {
    const { observed, heard, clock } = setUp();
    observed.report(web1, aReport());
    expect(observed.container(web1)).toEqual(anObservation({ sinceMs: clock.now() }));
    expect(heard).toEqual([{ kind: 'container', id: web1 }]);
  });

  test('that says the same again is no news', () => {
    const { observed, heard } = setUp();
    observed.report(web1, aReport());
    observed.report(web1, aReport({ ports: [aBinding()] }));
    expect(heard).toHaveLength(1);
  });

  test.each([
    { phase: 'stopping' as const },
    { ready: false },
    { message: 'its port does not answer' },
    { engineId: 'another' },
    { restarts: 1 },
    { awaitsDrain: true },
    { exitCode: 1 },
    { startedAtMs: 2 },
    { endedAtMs: 3 },
    { ports: [aBinding({ hostPort: 1 })] },
  ])('is news with %j', (change) => {
    const { observed, heard } = setUp();
    observed.report(web1, aReport());
    observed.report(web1, aReport(change));
    expect(heard).toHaveLength(2);
    expect(observed.container(web1)).toMatchObject(change);
  });

  test('keeps the time since when it is so while phase and readiness stay', () => {
    const { observed, clock } = setUp();
    const startMs = clock.now();
    const since = () => (observed.container(web1)?.sinceMs ?? 0) - startMs;
    observed.report(web1, aReport());
    clock.jump(1_000);
    observed.report(web1, aReport({ message: 'something' }));
    expect(since()).toBe(0);
    observed.report(web1, aReport({ ready: false }));
    expect(since()).toBe(1_000);
    clock.jump(1_000);
    observed.report(web1, aReport({ phase: 'stopping', ready: false }));
    expect(since()).toBe(2_000);
  });
});

describe('an agent that has not checked yet', () => {
  const unchecked = aReport({ ready: null });

  test('changes nothing for the same process', () => {
    const { observed, heard } = setUp();
    observed.report(web1, aReport());
    observed.report(web1, unchecked);
    expect(observed.container(web1)?.ready).toBe(true);
    expect(heard).toHaveLength(1);
  });

  test.each([
    ['another engine container', { engineId: 'another' }],
    ['a process that started anew', { startedAtMs: 2 }],
    ['what does not run', { phase: 'starting' as const }],
  ])('says nothing for %s', (_, change) => {
    const { observed } = setUp();
    observed.report(web1, aReport());
    observed.report(web1, { ...unchecked, ...change });
    expect(observed.container(web1)?.ready).toBe(false);
  });

  test('says nothing of what was not ready, or not known', () => {
    const { observed } = setUp();
    observed.report(web1, unchecked);
    expect(observed.container(web1)?.ready).toBe(false);
    observed.report(web1, unchecked);
    expect(observed.container(web1)?.ready).toBe(false);
  });

  test('goes on from the picture that the last run left', () => {
    const { observed } = setUp(new Map([[web1, anObservation()]]));
    observed.report(web1, unchecked);
    expect(observed.container(web1)?.ready).toBe(true);
  });
});

describe('what is to be saved', () => {
  test('is what changed since it was last asked for', () => {
    const { observed } = setUp(new Map([[containerId('old'), anObservation()]]));
    expect(observed.takeUnsaved().size).toBe(0);
    observed.report(web1, aReport());
    observed.forget(containerId('old'));
    expect([...observed.takeUnsaved()].map(([id, seen]) => [id, seen?.phase])).toEqual([
      [web1, 'running'],
      ['old', undefined],
    ]);
    expect(observed.takeUnsaved().size).toBe(0);
  });

  test('comes again as it is then, when it could not be saved', () => {
    const { observed } = setUp();
    observed.report(web1, aReport());
    const unsaved = observed.takeUnsaved();
    observed.report(web1, aReport({ phase: 'stopping' }));
    observed.returnUnsaved(unsaved.keys());
    expect([...observed.takeUnsaved()].map(([, seen]) => seen?.phase)).toEqual(['stopping']);
  });

  test('is not what was never known', () => {
    const { observed, heard } = setUp();
    observed.forget(web1);
    expect(observed.takeUnsaved().size).toBe(0);
    expect(heard).toEqual([]);
  });
});

describe('a node', () => {
  const ready: NodeObservation = {
    state: 'ready',
    message: '',
    warnings: [],
    lastSeenAtMs: 1,
    orphans: [],
  };

  test('is unknown until it is heard of', () => {
    expect(setUp().observed.node(node1)).toMatchObject({
      state: 'unknown',
      warnings: [],
      lastSeenAtMs: null,
    });
  });

  test('is news when it changes, but not when it was only seen again', () => {
    const { observed, heard } = setUp();
    observed.reportNode(node1, ready);
    observed.reportNode(node1, { ...ready, warnings: [], lastSeenAtMs: 2 });
    expect(heard).toHaveLength(1);
    expect(observed.node(node1).lastSeenAtMs).toBe(2);
    observed.reportNode(node1, {
      ...ready,
      orphans: [{ containerId: web1, name: 'web-1', phase: 'running', engineId: 'e' }],
    });
    observed.reportNode(node1, { ...ready, state: 'unreachable' });
    observed.reportNode(node1, { ...ready, state: 'unreachable', message: 'why' });
    expect(heard).toHaveLength(4);
    observed.forgetNode(node1);
    observed.forgetNode(node1);
    expect(heard).toHaveLength(5);
  });
});
