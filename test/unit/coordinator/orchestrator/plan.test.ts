import { describe, expect, test } from 'vitest';
import type { ContainerView } from '../../../../coordinator/orchestrator/views.ts';
import {
  aContainerView,
  aRetirement,
  aRollout,
  containerId,
  nodeId,
} from '../../../support/builders.ts';
import { nextCheck, planned } from './plan-words.ts';

/** One container for each slot, running and taking traffic. */
const running = (slots: number, changes: Partial<ContainerView> = {}) =>
  Array.from({ length: slots }, (_, index) => aContainerView({ ...changes, slot: index + 1 }));

const starting = {
  phase: 'starting',
  ready: false,
  admitted: false,
  arrived: false,
  everRan: false,
} as const;
const failed = { phase: 'failed', ready: false, admitted: false, exitCode: 1 } as const;
const gone = { phase: 'removed', ready: false } as const;
const draining = { wanted: 'draining', retirement: aRetirement() } as const;

describe('creates', () => {
  test.each<[string, number, readonly ContainerView[], readonly string[]]>([
    ['nothing for none', 0, [], []],
    ['what is missing', 3, running(1), ['create 2', 'create 3']],
    ['into gaps first', 3, [aContainerView({ slot: 3 })], ['create 1', 'create 2']],
    ['nothing while enough are on their way', 2, running(2, starting), []],
    [
      'a slot again while its former container still leaves',
      1,
      [aContainerView({ ...draining })],
      ['create 1'],
    ],
  ])('%s', (_, replicas, containers, expected) => {
    expect(planned({ replicas }, containers)).toEqual(expected);
  });

  test('nothing for a service that is not started', () => {
    expect(planned({ replicas: 3, started: false }, [])).toEqual([]);
  });

  test('with stop-first, a slot again only when its former container has ended', () => {
    const leaving = aContainerView({ ...draining, drained: false });
    const service = { order: 'stop-first', replicas: 1 } as const;
    expect(planned(service, [leaving])).toEqual([]);
    const ended = { ...leaving, wanted: 'removed', phase: 'stopped', ready: false } as const;
    expect(planned(service, [ended])).toEqual(['create 1']);
  });

  test('with stop-first, at once where the former container never got a node', () => {
    const leaving = aContainerView({ wanted: 'removed', phase: 'pending', nodeId: null });
    const service = { order: 'stop-first', replicas: 1 } as const;
    expect(planned(service, [leaving])).toEqual(['forget web-1.r1.a1', 'create 1']);
  });
});

describe('recovers', () => {
  test('T2: a slot whose container ended, after a wait that grows', () => {
    const first = aContainerView({ ...failed, arrived: false, sinceMs: 10_000 });
    expect(planned({}, [first], 10_999)).toEqual([]);
    expect(nextCheck({}, [first], 10_999)).toBe(11_000);
    const retried = ['retire web-1.r1.a1: failed', 'create 1 attempt 2'];
    expect(planned({}, [first], 11_000)).toEqual(retried);

    const second = aContainerView({ ...failed, attempt: 2, sinceMs: 20_000 });
    expect(planned({}, [second], 24_999)).toEqual([]);
    expect(planned({}, [second], 25_000)).toEqual([
      'retire web-1.r1.a2: failed',
      'create 1 attempt 3',
    ]);
  });

  test('at once what had served', () => {
    const killed = aContainerView({ ...failed, sinceMs: 10_000 });
    expect(planned({}, [killed], 10_000)).toEqual([
      'retire web-1.r1.a1: failed',
      'create 1 attempt 2',
    ]);
  });

  test('T3: it no more after the third attempt', () => {
    const third = aContainerView({ ...failed, attempt: 3 });
    expect(planned({}, [third], 1_000_000)).toEqual([]);
    expect(nextCheck({}, [third], 1_000_000)).toBeNull();
  });

  test('T1, T6: not what ended as its policy allows', () => {
    const job = aContainerView({ phase: 'stopped', ready: false, exitCode: 0 });
    expect(planned({ restart: 'on-failure' }, [job], 1_000_000)).toEqual([]);
    expect(planned({ restart: 'never' }, [{ ...job, exitCode: 9 }], 1_000_000)).toEqual([]);
    expect(planned({ restart: 'always' }, [job], 1_000_000)).toHaveLength(2);
  });

  test('on its own node what belongs to one', () => {
    const pinnedTo = nodeId('node-7');
    const container = aContainerView({ ...failed, pinnedTo });
    expect(planned({ everyNode: [pinnedTo] }, [container], 1_000_000)).toEqual([
      'retire web-1.r1.a1: failed',
      'create 1 attempt 2 on node-7',
    ]);
  });
});

describe('replaces what is lost with its node', () => {
  const lost = { lost: true, ready: false } as const;
  const successor = (changes: Partial<ContainerView> = {}) =>
    aContainerView({
      id: containerId('new'),
      nodeId: nodeId('node-2'),
      createdAtMs: 9,
      ...changes,
    });

  test('at once, all of it, whatever the parallelism and the order', () => {
    for (const order of ['start-first', 'stop-first'] as const) {
      expect(planned({ replicas: 2, order }, running(2, lost))).toEqual([
        'create 1 for web-1.r1.a1',
        'create 2 for web-2.r1.a1',
      ]);
    }
  });

  test('and lets it go only when its successor serves', () => {
    expect(planned({}, [aContainerView(lost), successor(starting)])).toEqual([]);
    expect(planned({}, [aContainerView(lost), successor({ admitted: false })])).toEqual([]);
    expect(planned({}, [aContainerView(lost), successor()])).toEqual(['retire web-1.r1.a1: lost']);
  });

  test('but keeps it when its node comes back first', () => {
    expect(planned({}, [aContainerView(), successor(starting)])).toEqual(['retire new: duplicate']);
  });

  test('not on another node what belongs to one', () => {
    const pinnedTo = nodeId('node-1');
    const pinned = aContainerView({ ...lost, pinnedTo });
    expect(planned({ everyNode: [pinnedTo] }, [pinned])).toEqual([]);
  });

  test('and takes it away first when the service becomes smaller', () => {
    const containers = [aContainerView({ slot: 1, ...lost }), aContainerView({ slot: 2 })];
    expect(planned({ replicas: 1 }, containers)).toEqual(['retire web-1.r1.a1: scaled-down']);
  });
});

describe('empties a node', () => {
  const evicted = { evicted: true } as const;
  const successor = (changes: Partial<ContainerView> = {}) =>
    aContainerView({
      id: containerId('new'),
      nodeId: nodeId('node-2'),
      createdAtMs: 9,
      ...changes,
    });

  test('as many at a time as the parallelism says, in place first', () => {
    expect(planned({ replicas: 3 }, running(3, evicted))).toEqual(['create 1 for web-1.r1.a1']);
    expect(planned({ replicas: 3, parallelism: 2 }, running(3, evicted))).toHaveLength(2);
    expect(planned({}, [aContainerView(evicted), successor(starting)])).toEqual([]);
    expect(planned({}, [aContainerView(evicted), successor()])).toEqual([
      'retire web-1.r1.a1: moved',
    ]);
  });

  test('with stop-first, by taking away first', () => {
    const [only] = running(1, evicted);
    expect(planned({ order: 'stop-first' }, [only!])).toEqual(['retire web-1.r1.a1: moved']);
    const leaving = { ...only!, wanted: 'draining', retirement: aRetirement({ reason: 'moved' }) };
    expect(
      planned({ order: 'stop-first' }, [{ ...leaving, wanted: 'removed', phase: 'removed' }]),
    ).toEqual(['forget web-1.r1.a1', 'create 1']);
  });

  test('by force at once, whatever takes their place', () => {
    const forced = { ...evicted, forced: true };
    expect(planned({ replicas: 2 }, running(2, forced))).toEqual([
      ...['create 1 for web-1.r1.a1', 'retire web-1.r1.a1: moved'],
      ...['create 2 for web-2.r1.a1', 'retire web-2.r1.a1: moved'],
    ]);
    expect(planned({}, [aContainerView(forced), successor(starting)])).toEqual([
      'retire web-1.r1.a1: moved',
    ]);
  });

  test('also while a rollout has ended early, and ends none when nothing takes a successor', () => {
    const rollout = aRollout({ state: 'failed' });
    expect(planned({ rollout }, [aContainerView(evicted)])).toHaveLength(1);
    const pending = successor({ ...starting, nodeId: null, phase: 'pending' });
    const late = 10_000_000;
    expect(planned({ deadlineMs: 1_000 }, [aContainerView(evicted), pending], late)).toEqual([]);
  });

  test('by a scale-down first of all', () => {
    const containers = [aContainerView({ slot: 1, ...evicted }), aContainerView({ slot: 2 })];
    expect(planned({ replicas: 1 }, containers)).toEqual(['retire web-1.r1.a1: scaled-down']);
  });

  test('no more when it may keep what it has: the newcomer goes', () => {
    expect(planned({}, [aContainerView(), successor(starting)])).toEqual(['retire new: duplicate']);
  });
});

describe('takes away', () => {
  test('S16: what is surplus: not running first, then from the fullest node, then the highest number', () => {
    const on = (slot: number, node: string, changes: Partial<ContainerView> = {}) =>
      aContainerView({ slot, nodeId: nodeId(node), ...changes });
    const containers = [
      on(1, 'full'),
      on(2, 'full'),
      on(3, 'full'),
      on(4, 'empty'),
      on(5, 'empty', { ready: false }),
      on(6, 'empty', starting),
    ];
    const order = [6, 5, 3, 2, 4];
    for (const [index] of order.entries()) {
      const victims = order
        .slice(0, index + 1)
        .map((slot) => `retire web-${slot}.r1.a1: scaled-down`);
      expect(planned({ replicas: 5 - index }, containers)).toEqual(victims);
    }
  });

  test('S4: what is surplus from the fullest group first, though its nodes are emptier', () => {
    const on = (slot: number, node: string) => aContainerView({ slot, nodeId: nodeId(node) });
    const containers = [
      ...[on(1, 'a1'), on(2, 'a1'), on(3, 'a1')],
      ...[on(4, 'b1'), on(5, 'b2'), on(6, 'b2'), on(7, 'b3')],
    ];
    const groupOf = (node: string) => [nodeId(node), `zone=${node[0]}`] as const;
    const groups = [new Map(['a1', 'b1', 'b2', 'b3'].map(groupOf))];
    const order = [6, 3, 7, 2, 5];
    for (const [index] of order.entries()) {
      const victims = order
        .slice(0, index + 1)
        .map((slot) => `retire web-${slot}.r1.a1: scaled-down`);
      expect(planned({ replicas: 6 - index, groups }, containers)).toEqual(victims);
    }
  });

  test('all containers of a surplus slot, and what is kept stopped there', () => {
    const old = aContainerView({ slot: 2 });
    const fresh = aContainerView({ slot: 2, revision: 2, ...starting });
    const kept = aContainerView({ slot: 3, wanted: 'stopped', phase: 'stopped', held: true });
    expect(
      planned({ replicas: 1, revision: 2 }, [aContainerView({ revision: 2 }), old, fresh, kept]),
    ).toEqual([
      'remove web-3.r1.a1',
      'retire web-2.r1.a1: scaled-down',
      'retire web-2.r2.a1: scaled-down',
    ]);
  });

  test('slots that only empty before any other, so that it is the same ones each time', () => {
    const emptying = (slot: number) =>
      aContainerView({
        slot,
        wanted: 'removed',
        phase: 'stopping',
        retirement: aRetirement({ reason: 'replaced' }),
      });
    const fresh = aContainerView({ revision: 2, ...starting, phase: 'pending', nodeId: null });
    const containers = [emptying(1), emptying(2), emptying(3)];
    expect(planned({ revision: 2, replicas: 1 }, containers)).toEqual(['create 1']);
    expect(planned({ revision: 2, replicas: 1 }, [...containers, fresh])).toEqual([]);
    const held = aContainerView({ slot: 4, wanted: 'stopped', phase: 'stopped', held: true });
    expect(planned({ revision: 2, replicas: 1 }, [...containers, held])).toEqual([]);
  });

  test('duplicates, and keeps the most useful one', () => {
    const all = [
      aContainerView({ id: containerId('starting'), ...starting }),
      aContainerView({ id: containerId('unadmitted'), admitted: false }),
      aContainerView({ id: containerId('best'), createdAtMs: 5 }),
      aContainerView({ id: containerId('younger'), createdAtMs: 6 }),
      aContainerView({ id: containerId('failed'), ...failed }),
    ];
    expect(planned({}, all)).toEqual([
      'retire younger: duplicate',
      'retire unadmitted: duplicate',
      'retire starting: duplicate',
      'retire failed: duplicate',
    ]);
  });

  test('a duplicate by its id where nothing else tells them apart', () => {
    const pair = [
      aContainerView({ id: containerId('b') }),
      aContainerView({ id: containerId('a') }),
    ];
    expect(planned({}, pair)).toEqual(['retire b: duplicate']);
    expect(planned({}, pair.toReversed())).toEqual(['retire b: duplicate']);
  });
});

describe('a container that is being taken away', () => {
  const service = { replicas: 0 };

  test('is stopped when it is drained, and not before', () => {
    const leaving = aContainerView({ ...draining });
    expect(planned(service, [leaving], 29_999)).toEqual([]);
    expect(nextCheck(service, [leaving], 29_999)).toBe(30_000);
    expect(planned(service, [{ ...leaving, drained: true }], 0)).toEqual(['stop web-1.r1.a1']);
  });

  test('is cut at its deadline', () => {
    expect(planned(service, [aContainerView({ ...draining })], 30_000)).toEqual([
      'cut web-1.r1.a1',
    ]);
  });

  test('is stopped at once when its process has ended anyway', () => {
    const ended = aContainerView({ ...draining, ...failed });
    expect(planned(service, [ended], 0)).toEqual(['stop web-1.r1.a1']);
  });

  test('is forgotten when its engine container is gone, and not before', () => {
    const removed = aContainerView({ wanted: 'removed', retirement: aRetirement() });
    for (const phase of ['running', 'stopping', 'stopped', 'failed', 'pending'] as const) {
      expect(planned(service, [{ ...removed, phase }])).toEqual([]);
    }
    expect(planned(service, [{ ...removed, ...gone }])).toEqual(['forget web-1.r1.a1']);
  });
});

describe('a rolling update', () => {
  const update = { revision: 2, replicas: 3 } as const;
  const second = (slot: number, changes: Partial<ContainerView> = {}) =>
    aContainerView({ slot, revision: 2, ...changes });

  test('starts as many replacements as its parallelism, and keeps the old ones meanwhile', () => {
    expect(planned({ ...update, parallelism: 2 }, running(3))).toEqual([
      'create 1 for web-1.r1.a1',
      'create 2 for web-2.r1.a1',
    ]);
    const under = [...running(3), second(1, starting)];
    expect(planned(update, under)).toEqual([]);
    expect(planned({ ...update, parallelism: 2 }, under)).toEqual(['create 2 for web-2.r1.a1']);
  });

  test.each([
    ['is not ready', { ready: false }],
    ['is not admitted by every proxy', { admitted: false }],
  ])('keeps the old container while its replacement %s', (_, changes) => {
    expect(planned(update, [...running(3), second(1, changes)])).toEqual([]);
  });

  test('notes that a replacement serves, once', () => {
    const containers = [second(1, { arrived: false }), second(2), second(3)];
    expect(planned(update, containers)).toEqual(['arrive web-1.r2.a1']);
  });

  test('takes the old one away when its replacement is admitted, and goes on', () => {
    const containers = [...running(3), second(1)];
    expect(planned(update, containers)).toEqual(['retire web-1.r1.a1: replaced']);
    const next = [
      aContainerView({ ...draining, retirement: aRetirement({ reason: 'replaced' }) }),
      ...running(3).slice(1),
      second(1),
    ];
    expect(planned(update, next)).toEqual(['create 2 for web-2.r1.a1']);
  });

  test('goes on with the next slot only while the last one serves', () => {
    const [, ...rest] = running(3);
    expect(planned(update, [second(1, { ready: false }), ...rest])).toEqual([]);
  });

  test('of more than may be under way, as a node came back, begins those that fail again in their turn', () => {
    const [, , third] = running(3);
    const both = [...running(2), second(1, failed), second(2, failed), third!];
    const expected = [
      'retire web-1.r2.a1: failed',
      'retire web-2.r2.a1: failed',
      'create 2 attempt 2',
    ];
    expect(planned(update, both, 10_000)).toEqual(expected);
    const left = [...running(2), second(2, { ...starting, attempt: 2 }), third!];
    expect(planned(update, left, 10_000)).toEqual([]);
  });

  test('replaces at once what does not run anyway', () => {
    const containers = [aContainerView({ slot: 1, ...failed }), ...running(3).slice(1)];
    expect(planned({ ...update, parallelism: 1 }, containers)).toEqual([
      'create 1 for web-1.r1.a1',
      'retire web-1.r1.a1: replaced',
      'create 2 for web-2.r1.a1',
    ]);
  });

  test('replaces at once what no node took: nothing older is to start any more', () => {
    const pending = aContainerView({ slot: 3, ...starting, phase: 'pending', nodeId: null });
    const containers = [second(1, starting), aContainerView({ slot: 2 }), pending];
    for (const order of ['start-first', 'stop-first'] as const) {
      expect(planned({ ...update, order }, containers)).toEqual([
        'create 3 for web-3.r1.a1',
        'retire web-3.r1.a1: replaced',
      ]);
    }
  });

  test('with stop-first drains before it starts, one slot at a time', () => {
    const service = { ...update, order: 'stop-first' } as const;
    expect(planned(service, running(3))).toEqual(['retire web-1.r1.a1: replaced']);
    const leaving = aContainerView({
      ...draining,
      retirement: aRetirement({ reason: 'replaced' }),
    });
    const rest = running(3).slice(1);
    expect(planned(service, [leaving, ...rest])).toEqual([]);
    const ended = { ...leaving, wanted: 'removed', ...gone } as const;
    expect(planned(service, [ended, ...rest])).toEqual(['forget web-1.r1.a1', 'create 1']);
    expect(planned(service, [second(1, starting), ...rest])).toEqual([]);
    expect(planned(service, [second(1), ...rest])).toEqual(['retire web-2.r1.a1: replaced']);
  });

  test('replaces what is of this revision and to be replaced all the same', () => {
    const containers = [aContainerView({ outdated: true })];
    expect(planned({}, containers)).toEqual(['create 1 for web-1.r1.a1']);
    const both = [...containers, aContainerView({ id: containerId('new') })];
    expect(planned({}, both)).toEqual(['retire web-1.r1.a1: replaced']);
  });

  test('during another takes the half-way replacements away: the newest wins', () => {
    const containers = [...running(3), second(1, starting)];
    expect(planned({ ...update, revision: 3 }, containers)).toEqual([
      'retire web-1.r2.a1: superseded',
      'create 1 for web-1.r1.a1',
    ]);
  });

  test('during another keeps of two old ones that which serves', () => {
    const containers = [aContainerView({ ready: false }), second(1)];
    expect(planned({ ...update, revision: 3, replicas: 1 }, containers)).toEqual([
      'retire web-1.r1.a1: superseded',
      'create 1 for web-1.r2.a1',
    ]);
  });
});

describe('a rollout that goes wrong', () => {
  const base = { revision: 1, alike: [] };
  const rollout = aRollout();
  const update = { revision: 2, replicas: 2, deadlineMs: 10_000, base, rollout } as const;
  const failedIn = (...slots: number[]) => aRollout({ failedSlots: slots, reason: 'because' });
  const late = aContainerView({
    revision: 2,
    createdAtMs: 1_000,
    ready: false,
    arrived: false,
    message: 'its port does not answer',
  });
  const reason = 'web-1 was not ready and admitted within 10000 ms: its port does not answer';

  test('gives a replacement up at its deadline', () => {
    const containers = [...running(2), late];
    expect(planned(update, containers, 10_999)).toEqual([]);
    expect(nextCheck(update, containers, 10_999)).toBe(11_000);
    expect(planned(update, containers, 11_000)).toEqual([`fail 1: ${reason}`]);
  });

  test('waits with that while nothing is known of it', () => {
    const away = { ...late, away: true };
    expect(planned(update, [...running(2), away], 1_000_000)).toEqual([]);
    const lost = { ...late, lost: true };
    expect(planned(update, [...running(2), lost], 1_000_000)).not.toContain(`fail 1: ${reason}`);
  });

  test('counts a deadline from when it went on at the earliest', () => {
    const resumed = { ...update, rollout: aRollout({ sinceMs: 5_000 }) };
    expect(planned(resumed, [...running(2), late], 14_999)).toEqual([]);
    expect(nextCheck(resumed, [...running(2), late], 14_999)).toBe(15_000);
  });

  test('gives it up too when only the admission is missing', () => {
    const containers = [...running(2), { ...late, ready: true, admitted: false, message: '' }];
    expect(planned(update, containers, 11_000)).toEqual([
      'fail 1: web-1 was not ready and admitted within 10000 ms',
    ]);
  });

  test('gives it up after its third attempt', () => {
    const third = aContainerView({ revision: 2, attempt: 3, ...failed, message: 'exit status 1' });
    for (const order of ['start-first', 'stop-first'] as const) {
      expect(planned({ ...update, order }, [...running(2), third], 5_000)).toEqual([
        'fail 1: web-1 failed 3 times: exit status 1',
      ]);
    }
  });

  test('gives up what served and does not come back in as long', () => {
    const blinking = aContainerView({ revision: 2, ready: false, sinceMs: 50_000 });
    const [, second] = running(2);
    expect(planned(update, [blinking, second!], 59_999)).toEqual([]);
    expect(planned(update, [blinking, second!], 60_000)).toEqual([
      'fail 1: web-1 was not ready any more within 10000 ms',
    ]);
  });

  test.each([
    ['roll-back', 'rolling-back: because'],
    ['pause', 'failed: because'],
  ] as const)('with more failures than its budget turns: %s', (onFailure, turn) => {
    const service = { ...update, onFailure, rollout: failedIn(1) };
    expect(planned(service, [...running(2), late])).toEqual([turn]);
    expect(planned({ ...service, failureBudget: 1 }, [...running(2), late])).not.toContain(turn);
  });

  test('stands still where there is nothing to go back to', () => {
    const service = { ...update, base: null, rollout: failedIn(1) };
    expect(planned(service, [...running(2), late])).toEqual(['failed: because']);
    const same = { ...update, alike: [1], rollout: failedIn(1) };
    expect(planned(same, [...running(2), late])).toEqual(['failed: because']);
  });

  test('within its budget goes on with the others: the failed one goes, what ran stays', () => {
    const service = { ...update, failureBudget: 1, rollout: failedIn(1) };
    expect(planned(service, [...running(2), late])).toEqual(['retire web-1.r2.a1: failed']);
    expect(planned(service, running(2))).toEqual(['create 2 for web-2.r1.a1']);
  });

  test('ends as failed when all others are done', () => {
    const service = { ...update, failureBudget: 1, rollout: failedIn(1) };
    const [first] = running(1);
    expect(planned(service, [first!, aContainerView({ slot: 2, revision: 2 })])).toEqual([
      'failed: because',
    ]);
  });

  test('that is to continue does so whatever fails', () => {
    const service = { ...update, onFailure: 'continue', rollout: failedIn(1, 2) } as const;
    expect(planned({ ...service, replicas: 3 }, running(3))).toEqual(['create 3 for web-3.r1.a1']);
    expect(planned(service, running(2))).toEqual(['failed: because']);
  });

  test('fills a slot that failed with what ran before', () => {
    const service = { ...update, failureBudget: 1, rollout: failedIn(1) };
    const third = aContainerView({ revision: 2, attempt: 3, ...failed });
    const second = aContainerView({ slot: 2, revision: 2, ready: false, arrived: false });
    expect(planned({ ...service, order: 'stop-first' }, [third, second], 5_000)).toEqual([
      'create 1 of revision 1 for web-1.r2.a3',
      'retire web-1.r2.a3: replaced',
    ]);
  });

  describe('stands still', () => {
    const service = { ...update, rollout: aRollout({ ...failedIn(1), state: 'failed' }) };

    test('and everything that serves stays', () => {
      const mixed = [aContainerView(), aContainerView({ slot: 2, revision: 2 })];
      expect(planned(service, mixed, 1_000_000)).toEqual([]);
      expect(planned(service, [...running(2), late], 1_000_000)).toEqual([
        'retire web-1.r2.a1: failed',
      ]);
    });

    test('and a lost slot comes back as what ran there', () => {
      const lost = { lost: true, ready: false } as const;
      const mixed = [aContainerView(lost), aContainerView({ slot: 2, revision: 2, ...lost })];
      expect(planned(service, mixed)).toEqual([
        'create 1 of revision 1 for web-1.r1.a1',
        'create 2 for web-2.r2.a1',
      ]);
      expect(planned({ ...service, replicas: 3 }, running(2))).toEqual(['create 3 of revision 1']);
    });

    test('but still replaces a container for which that is asked by name', () => {
      const [first, second] = running(2);
      expect(planned(service, [first!, { ...second!, outdated: true }])).toEqual([
        'create 2 of revision 1 for web-2.r1.a1',
      ]);
    });

    test('as what it is, also where no revision was ever everywhere', () => {
      const [first, second] = running(2);
      const outdated = { ...second!, outdated: true };
      expect(planned({ ...service, base: null }, [first!, outdated])).toEqual([
        'create 2 of revision 1 for web-2.r1.a1',
      ]);
    });
  });

  describe('rolls back', () => {
    const service = { ...update, rollout: aRollout({ state: 'rolling-back', reason: 'because' }) };
    const fresh = (slot: number, changes: Partial<ContainerView> = {}) =>
      aContainerView({ slot, revision: 2, ...changes });

    test('slot by slot, in place first, and touches nothing that is of the base already', () => {
      expect(planned(service, [fresh(1), aContainerView({ slot: 2 })])).toEqual([
        'create 1 of revision 1 for web-1.r2.a1',
      ]);
      expect(planned(service, [fresh(1), aContainerView(), aContainerView({ slot: 2 })])).toEqual([
        'retire web-1.r2.a1: rolled-back',
      ]);
    });

    test('keeps one of those that are to go until what comes serves, and no more', () => {
      const coming = aContainerView({ ...starting, createdAtMs: 9 });
      const third = fresh(1, { ...starting, revision: 3 });
      const three = { ...service, revision: 3, replicas: 1 };
      expect(planned(three, [fresh(1), third, coming])).toEqual(['retire web-1.r3.a1: superseded']);
    });

    test('takes containers of a revision like the base for it', () => {
      const alike = { ...service, revision: 4, base: { revision: 3, alike: [1] } };
      expect(planned(alike, running(2))).toEqual(['rolled-back: because']);
    });

    test('until the base is everywhere', () => {
      expect(planned(service, running(2))).toEqual(['rolled-back: because']);
      const done = { ...update, rollout: aRollout({ state: 'rolled-back', reason: 'because' }) };
      expect(planned(done, running(2))).toEqual([]);
      expect(planned(done, running(1))).toEqual(['create 2 of revision 1']);
    });

    test('and when that fails as well, stands still', () => {
      const third = aContainerView({ attempt: 3, ...failed, message: 'exit status 1' });
      const containers = [fresh(1), third, aContainerView({ slot: 2 })];
      expect(planned(service, containers, 5_000)).toEqual([
        'fail 1: web-1 failed 3 times: exit status 1',
      ]);
      const again = { ...service, rollout: { ...service.rollout, failedSlots: [1] } };
      expect(planned(again, containers, 5_000)).toEqual(['rollback-failed: because']);
      const stopped = { ...service, rollout: aRollout({ state: 'rollback-failed' }) };
      expect(planned(stopped, containers, 5_000)).toEqual(['retire web-1.r1.a3: duplicate']);
    });
  });

  test('does not try again what was asked for by name and failed', () => {
    const old = aContainerView({ outdated: true });
    const third = aContainerView({ id: containerId('new'), attempt: 3, ...failed });
    expect(planned({}, [old, third], 5_000)).toEqual([
      'retire new: failed',
      'keep web-1.r1.a1: web-1 failed 3 times',
    ]);
    expect(planned({}, [{ ...old, outdated: false }])).toEqual([]);
  });

  test('is none when nothing older runs and nothing ever did: a slow container is no rollout', () => {
    const containers = [late, aContainerView({ slot: 2, revision: 2 })];
    expect(planned({ ...update, base: null }, containers, 1_000_000)).toEqual([]);
  });
});

describe('a rollout', () => {
  const update = { revision: 2, replicas: 2, rollout: aRollout() } as const;
  const fresh = (slot: number, changes: Partial<ContainerView> = {}) =>
    aContainerView({ slot, revision: 2, ...changes });

  test('is finished when the new revision serves everywhere', () => {
    expect(planned(update, [fresh(1), fresh(2)])).toEqual(['finished']);
    expect(planned(update, [fresh(1), fresh(2, { admitted: false })])).toEqual([]);
    expect(planned(update, [fresh(1), fresh(2, { arrived: false })])).toEqual([
      'arrive web-2.r2.a1',
    ]);
    expect(planned(update, [fresh(1), fresh(2), aContainerView({ slot: 2 })])).toEqual([
      'retire web-2.r1.a1: replaced',
    ]);
  });

  test('U19: is finished at once where none is wanted', () => {
    expect(planned({ ...update, replicas: 0 }, [])).toEqual(['finished']);
  });

  test('does not wait for what a user holds, for a job that ended, nor for a node that is down', () => {
    const held = fresh(2, { wanted: 'stopped', phase: 'stopped', held: true });
    expect(planned(update, [fresh(1), held])).toEqual(['finished']);
    const ended = fresh(2, { phase: 'stopped', ready: false, exitCode: 0 });
    expect(planned({ ...update, restart: 'never' }, [fresh(1), ended])).toEqual(['finished']);
    const [a, b] = [nodeId('a'), nodeId('b')];
    const onDown = aContainerView({ slot: 2, pinnedTo: b, lost: true, ready: false });
    expect(planned({ ...update, everyNode: [a, b] }, [fresh(1, { pinnedTo: a }), onDown])).toEqual([
      'finished',
    ]);
  });

  test('replaces nothing whose definition is the same', () => {
    expect(planned({ ...update, alike: [1] }, running(2))).toEqual(['finished']);
  });

  test('takes the old one away only when the new one has served for the settle time', () => {
    const service = { ...update, settleMs: 3_000 };
    const young = fresh(1, { arrived: false, sinceMs: 10_000 });
    const containers = [...running(2), young];
    expect(planned(service, containers, 12_999)).toEqual([]);
    expect(nextCheck(service, containers, 12_999)).toBe(13_000);
    expect(planned(service, containers, 13_000)).toEqual([
      'retire web-1.r1.a1: replaced',
      'arrive web-1.r2.a1',
    ]);
  });

  test('with stop-first begins the next step only when the new one has settled', () => {
    const service = { ...update, settleMs: 3_000, order: 'stop-first' } as const;
    const young = fresh(1, { arrived: false, sinceMs: 10_000 });
    const [, second] = running(2);
    expect(planned(service, [young, second!], 12_999)).toEqual([]);
    expect(planned(service, [young, second!], 13_000)).toEqual(['arrive web-1.r2.a1']);
    expect(planned(service, [fresh(1), second!], 13_000)).toEqual(['retire web-2.r1.a1: replaced']);
  });

  test('is not held up by a job that ended as it may', () => {
    const ended = fresh(1, { phase: 'stopped', ready: false, exitCode: 0 });
    const [, second] = running(2);
    expect(planned({ ...update, restart: 'never' }, [ended, second!])).toEqual([
      'create 2 for web-2.r1.a1',
    ]);
  });

  describe('that is paused', () => {
    const paused = {
      ...update,
      rollout: aRollout({ state: 'paused' }),
      deadlineMs: 1_000,
    } as const;

    test('begins nothing', () => {
      expect(planned(paused, running(2), 1_000_000)).toEqual([]);
      expect(planned(paused, [fresh(1), aContainerView({ slot: 2 })])).toEqual([]);
    });

    test('U12: carries on what has begun, and no deadline counts', () => {
      const young = fresh(1, { ready: false, arrived: false });
      expect(planned(paused, [...running(2), young], 1_000_000)).toEqual([]);
      expect(nextCheck(paused, [...running(2), young], 1_000_000)).toBeNull();
      expect(planned(paused, [...running(2), fresh(1, { arrived: false })])).toEqual([
        'retire web-1.r1.a1: replaced',
        'arrive web-1.r2.a1',
      ]);
    });

    test('fills new slots with what was rolled out before', () => {
      const based = { ...paused, replicas: 3, base: { revision: 1, alike: [] } };
      expect(planned(based, running(2))).toEqual(['create 3 of revision 1']);
    });
  });
});

describe('a container that the user holds', () => {
  const held = aContainerView({ slot: 2, wanted: 'stopped', phase: 'stopped', held: true });

  test('keeps its slot empty', () => {
    expect(planned({ replicas: 2 }, [aContainerView(), held])).toEqual([]);
    expect(planned({ replicas: 2, revision: 2 }, [aContainerView({ revision: 2 }), held])).toEqual(
      [],
    );
  });

  test('counts as one of those wanted', () => {
    expect(planned({ replicas: 3 }, [aContainerView(), held])).toEqual(['create 3']);
  });

  test('is filled again when it is held no more, and removed when its successor is there', () => {
    const released = { ...held, held: false };
    expect(planned({ replicas: 2 }, [aContainerView(), released])).toEqual(['create 2']);
    const successor = aContainerView({ id: containerId('new'), slot: 2, ...starting });
    expect(planned({ replicas: 2 }, [aContainerView(), released, successor])).toEqual([
      'remove web-2.r1.a1',
    ]);
  });

  describe('and that never got a node', () => {
    const unplaced = aContainerView({
      slot: 2,
      wanted: 'removed',
      phase: 'pending',
      nodeId: null,
      held: true,
      retirement: aRetirement({ reason: 'stopped', then: 'stopped' }),
    });

    test('keeps its slot empty all the same', () => {
      expect(planned({ replicas: 2 }, [aContainerView(), unplaced])).toEqual([]);
    });

    test('goes when its slot does', () => {
      expect(planned({ replicas: 1 }, [aContainerView(), unplaced])).toEqual([
        'remove web-2.r1.a1',
      ]);
      const released = { ...unplaced, held: false };
      expect(planned({ replicas: 1 }, [aContainerView(), released])).toContain(
        'forget web-2.r1.a1',
      );
    });

    test('goes with its service', () => {
      expect(planned({ terminating: true, started: false }, [unplaced])).toEqual([
        'remove web-2.r1.a1',
      ]);
    });
  });
});

describe('a service that is stopped', () => {
  test('keeps its containers, stopped, but for what never ran', () => {
    const [first, second] = running(2);
    expect(planned({ started: false }, [first!, { ...second!, ...starting }])).toEqual([
      'retire web-1.r1.a1: stopped, keep',
      'retire web-2.r1.a1: stopped',
    ]);
  });

  test('waits for nothing else', () => {
    const stopped = aContainerView({ wanted: 'stopped', phase: 'stopped', ready: false });
    expect(planned({ started: false, replicas: 5, revision: 9 }, [stopped])).toEqual([]);
  });

  test('fills its slots anew when it is started, and removes what was kept', () => {
    const retirement = aRetirement({ reason: 'stopped', then: 'stopped' });
    const stopped = aContainerView({
      wanted: 'stopped',
      retirement,
      phase: 'stopped',
      ready: false,
    });
    expect(planned({}, [stopped])).toEqual(['create 1']);
    const fresh = aContainerView({ id: containerId('new'), ...starting });
    expect(planned({}, [stopped, fresh])).toEqual(['remove web-1.r1.a1']);
  });
});

describe('a service that is removed', () => {
  const terminating = { terminating: true, started: false } as const;

  test('takes everything away first', () => {
    const kept = aContainerView({ slot: 2, wanted: 'stopped', phase: 'stopped', held: true });
    expect(planned(terminating, [aContainerView(), kept])).toEqual([
      'retire web-1.r1.a1: terminated',
      'remove web-2.r1.a1',
    ]);
    const leaving = aContainerView({ wanted: 'removed', phase: 'stopping' });
    expect(planned(terminating, [leaving])).toEqual([]);
  });

  test('goes when nothing is left', () => {
    expect(planned(terminating, [])).toEqual(['delete the service']);
  });
});

describe('a service on every node', () => {
  const nodes = ['a', 'b', 'c'].map(nodeId);
  const on = (slot: number, node: string, changes: Partial<ContainerView> = {}) =>
    aContainerView({ slot, nodeId: nodeId(node), pinnedTo: nodeId(node), ...changes });

  test('gets a container on each, whatever its replicas say', () => {
    expect(planned({ everyNode: nodes, replicas: 1 }, [])).toEqual([
      'create 1 on a',
      'create 2 on b',
      'create 3 on c',
    ]);
  });

  test('gets one on a node that joins, in the first free slot', () => {
    expect(planned({ everyNode: nodes }, [on(1, 'a'), on(3, 'c')])).toEqual(['create 2 on b']);
  });

  test('leaves a node that does not qualify any more', () => {
    expect(planned({ everyNode: [nodeId('a')] }, [on(1, 'a'), on(2, 'b')])).toEqual([
      'retire web-2.r1.a1: not-eligible',
    ]);
  });

  test('has one on a node, never two', () => {
    const containers = [on(1, 'a'), on(2, 'a')];
    expect(planned({ everyNode: [nodeId('a')] }, containers)).toEqual([
      'retire web-2.r1.a1: not-eligible',
    ]);
  });

  test('replaces each on its node', () => {
    const containers = [on(1, 'a'), on(2, 'b')];
    const service = { everyNode: nodes.slice(0, 2), revision: 2 };
    expect(planned(service, containers)).toEqual(['create 1 on a for web-1.r1.a1']);
  });
});

describe('a slot whose container the user removes', () => {
  test('is filled again at once', () => {
    const leaving = aContainerView({
      ...draining,
      retirement: aRetirement({ reason: 'terminated' }),
    });
    expect(planned({}, [leaving])).toEqual(['create 1']);
  });
});

describe('a rollout with canaries', () => {
  const base = { revision: 1, alike: [] };
  const rollout = aRollout({ canaries: 1 });
  const tried = { revision: 2, replicas: 3, base, rollout } as const;
  const canary = (slot: number, changes: Partial<ContainerView> = {}) =>
    aContainerView({ slot, revision: 2, ...changes });

  test('U14: starts as many as are wanted beside what runs, and nothing else', () => {
    expect(planned(tried, running(3))).toEqual(['create 1 as a canary']);
    const two = { ...tried, rollout: aRollout({ canaries: 2 }) };
    expect(planned(two, running(3))).toEqual(['create 1 as a canary', 'create 2 as a canary']);
    expect(planned({ ...two, sequential: true }, running(3))).toEqual(['create 1 as a canary']);
    expect(planned({ ...two, replicas: 1 }, running(1))).toEqual(['create 1 as a canary']);
  });

  test('U14: keeps both while nobody promotes it', () => {
    expect(planned(tried, [...running(3), canary(1, { arrived: false })])).toEqual([
      'arrive web-1.r2.a1',
    ]);
    expect(planned(tried, [...running(3), canary(2)], 1_000_000)).toEqual([]);
  });

  test('U14: promotes itself when they have settled, if it is to', () => {
    const auto = { ...tried, autoPromote: true, settleMs: 5_000 };
    const young = canary(1, { arrived: false, sinceMs: 1_000 });
    expect(planned(auto, [...running(3), young], 5_999)).toEqual([]);
    expect(nextCheck(auto, [...running(3), young], 5_999)).toBe(6_000);
    expect(planned(auto, [...running(3), canary(1)], 6_000)).toEqual(['promoted']);
  });

  test('U14: one that fails takes all back, whatever the budget and what is to happen then', () => {
    for (const onFailure of ['pause', 'continue', 'roll-back'] as const) {
      const failing = {
        ...tried,
        failureBudget: 2,
        onFailure,
        rollout: aRollout({ canaries: 2, failedSlots: [1] }),
      };
      expect(planned(failing, [...running(3), canary(1), canary(2)])).toEqual(['rolling-back']);
    }
    const back = { ...tried, rollout: aRollout({ state: 'rolling-back' }) };
    expect(planned(back, [...running(3), canary(1), canary(2)])).toEqual([
      'retire web-1.r2.a1: rolled-back',
      'retire web-2.r2.a1: rolled-back',
    ]);
  });

  test('U14: one whose node dies is replaced, in another slot where it belongs to the node', () => {
    const lost = canary(1, { lost: true, ready: false });
    expect(planned(tried, [...running(3), lost])).toEqual(['create 1 as a canary for web-1.r2.a1']);
    const [a, b] = [nodeId('a'), nodeId('b')];
    const down = { pinnedTo: a, nodeId: a, lost: true, ready: false };
    const onNodes = { ...tried, replicas: 0, everyNode: [a, b] };
    const containers = [
      aContainerView(down),
      canary(1, down),
      aContainerView({ slot: 2, pinnedTo: b }),
    ];
    expect(planned(onNodes, containers)).toEqual([
      'retire web-1.r2.a1: superseded',
      'create 2 as a canary on b',
    ]);
  });

  test('U14: those of an update before go, and what ran stays', () => {
    const newer = { ...tried, revision: 3 };
    const before = [...running(3), canary(2), aContainerView({ slot: 1, revision: 3 })];
    expect(planned(newer, before)).toEqual(['retire web-2.r2.a1: replaced']);
    expect(planned({ ...newer, rollout: aRollout() }, [...running(3), canary(2)])).toEqual([
      'create 1 for web-1.r1.a1',
      'retire web-2.r2.a1: superseded',
    ]);
  });

  test('U14: what is lost beside them, or added, is of what ran', () => {
    const [first, ...rest] = running(3);
    const lost = { ...first!, lost: true, ready: false };
    expect(planned(tried, [lost, ...rest, canary(1)])).toEqual([
      'create 1 of revision 1 for web-1.r1.a1',
    ]);
    expect(planned({ ...tried, replicas: 4 }, [...running(3), canary(1)])).toEqual([
      'create 4 of revision 1',
    ]);
  });

  test('U14: a scale-down leaves them for the last', () => {
    expect(planned({ ...tried, replicas: 1 }, [...running(3), canary(3)])).toEqual([
      'retire web-2.r1.a1: scaled-down',
      'retire web-1.r1.a1: scaled-down',
    ]);
    expect(planned({ ...tried, replicas: 0 }, [...running(1), canary(1)])).toEqual([
      'retire web-1.r1.a1: scaled-down',
      'retire web-1.r2.a1: scaled-down',
    ]);
  });

  test('U14: with stop-first they take the place of what runs', () => {
    const stopFirst = { ...tried, order: 'stop-first' } as const;
    expect(planned(stopFirst, running(3))).toEqual(['retire web-1.r1.a1: replaced']);
    const [, ...rest] = running(3);
    expect(planned(stopFirst, [canary(1), ...rest], 1_000_000)).toEqual([]);
  });

  test('U14: paused begins no other', () => {
    const paused = { ...tried, rollout: aRollout({ canaries: 2, state: 'paused' }) };
    expect(planned(paused, [...running(3), canary(1)])).toEqual([]);
  });

  test('U14: not where a user holds what there is', () => {
    const held = aContainerView({ wanted: 'stopped', phase: 'stopped', held: true });
    const [, ...rest] = running(3);
    expect(planned(tried, [held, ...rest])).toEqual(['create 2 as a canary']);
  });

  test('U14: promoted takes the older ones of their slots away, then goes on', () => {
    const promoted = { ...tried, rollout: aRollout() };
    expect(planned(promoted, [...running(3), canary(1)])).toEqual(['retire web-1.r1.a1: replaced']);
  });
});
