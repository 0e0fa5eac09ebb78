import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Dispatcher } from '../../../../coordinator/dispatcher/dispatcher.ts';
import type { InventoryEntry, NodeHello } from '../../../../coordinator/dispatcher/node-hello.ts';
import type { NodeLink } from '../../../../coordinator/dispatcher/node-link.ts';
import type { NodeState } from '../../../../coordinator/model.ts';
import {
  ObservedState,
  type ReportedContainer,
} from '../../../../coordinator/observed/observed-state.ts';
import { tagsOf } from '../../../../coordinator/scheduler/node-tags.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import { NodeUpgrades } from '../../../../coordinator/upgrades/node-upgrades.ts';
import { createLogger } from '../../../../shared/logger.ts';
import {
  aContainer,
  aNode,
  aReport,
  aService,
  containerId,
  nodeId,
} from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const node1 = nodeId('node-1');
const web1 = containerId('web-1-id');
const log = createLogger({ level: 'silent', process: 'test' });

const description = {
  hostname: 'host',
  operatingSystem: 'Debian',
  os: 'linux',
  architecture: 'amd64',
  engineVersion: '1',
  engineApiVersion: '1',
  cpus: 2,
  memoryBytes: 1,
  agentVersion: '1',
};

/** Load balancers that have drained whatever is asked. */
const routing = {
  admissionOf: () => ({ admitted: true, drained: true }),
  subscribe: () => ({ [Symbol.dispose]: () => undefined }),
};

const settling = { settled: true };

let clock: FakeClock;
let store: Store;
let observed: ObservedState;
let upgrades: NodeUpgrades;
let dispatcher: Dispatcher;
let stop: AbortController;
let running: Promise<void>;
let closed: string[];

beforeEach(() => {
  clock = new FakeClock();
  store = new Store(':memory:', { clock });
  store.transact((tx) => {
    tx.nodes.put(aNode({ description, advertiseAddress: '10.0.0.5' }));
    tx.services.put(aService());
    tx.containers.put(aContainer());
  });
  observed = new ObservedState(new Map(), { clock });
  let ids = 0;
  const newId = () => `session-${++ids}`;
  upgrades = new NodeUpgrades();
  const deps = { store, observed, routing, settling, upgrades, clock, newId, log };
  dispatcher = new Dispatcher(deps, { downGraceMs: 60_000 });
  stop = new AbortController();
  running = dispatcher.run(stop.signal);
  closed = [];
});

afterEach(async () => {
  stop.abort();
  await running;
  store[Symbol.dispose]();
});

const certificate = { authority: 'p'.repeat(43), untilMs: 1 };

const line = {
  wake: () => undefined,
  close: (reason: string) => {
    closed.push(reason);
  },
};

function attach(hello: Partial<NodeHello> = {}): NodeLink {
  return dispatcher.attach(
    node1,
    {
      verbs: ['logs'],
      bootId: 'boot-1',
      sequence: 1,
      description,
      advertiseAddress: '10.0.0.5',
      publicAddress: '203.0.113.5',
      engine: { reachable: true, message: '' },
      inventory: [],
      clockMs: null,
      certificate,
      ...hello,
    },
    line,
  );
}

const entry = (changes: Partial<ReportedContainer> = {}, id = web1): InventoryEntry => ({
  containerId: id,
  name: 'web-1',
  reported: aReport(changes),
});

const phase = () => observed.container(web1)?.phase;
const state = (): NodeState => observed.node(node1).state;

test('a node is told that a container is drained when it awaits that, whoever notices first', () => {
  const link = attach({ inventory: [entry()] });
  link.nextMessage();
  const drained = () => link.nextMessage()?.assignments.map((one) => one.drained);
  dispatcher.report(link, 2, [entry({ awaitsDrain: true })], null);
  expect(drained()).toEqual([true]);
  dispatcher.report(link, 3, [entry()], null);
  expect(drained()).toEqual([false]);
  dispatcher.report(link, 4, [entry({ message: 'something' })], null);
  expect(drained()).toBeUndefined();
});

test('the volumes of a node are kept with it', () => {
  const link = attach();
  dispatcher.volumes(link, ['b', 'a']);
  expect(store.nodes.get(node1)?.volumes).toEqual(['a', 'b']);
  attach({ bootId: 'boot-2' });
  dispatcher.volumes(link, []);
  expect(store.nodes.get(node1)?.volumes).toEqual(['a', 'b']);
});

describe('a node that says hello', () => {
  test('is ready, and described by what it says', () => {
    attach();
    expect(state()).toBe('ready');
    expect(store.nodes.get(node1)).toMatchObject({
      advertiseAddress: '10.0.0.5',
      publicAddress: '203.0.113.5',
      description: { hostname: 'host' },
    });
  });

  test('A11: is the same node when its host got another name while it serves', () => {
    attach({ inventory: [entry()] });
    const [before, container] = [store.nodes.get(node1)!, store.containers.get(web1)];
    const renamed = { ...description, hostname: 'renamed' };
    attach({ sequence: 2, description: renamed, inventory: [entry()] });
    const after = store.nodes.get(node1)!;
    expect(after).toMatchObject({ name: before.name, tags: before.tags, description: renamed });
    expect(tagsOf(after, null).automatic).toContain('hostname=renamed');
    expect([state(), phase()]).toEqual(['ready', 'running']);
    expect(store.containers.get(web1)).toBe(container);
  });

  test('changes nothing in the store when it says the same again', () => {
    attach();
    let commits = 0;
    using _subscription = store.subscribe(() => commits++);
    attach();
    expect(commits).toBe(0);
  });

  test('whose engine does not answer is away, and nothing of it is missing', () => {
    observed.report(web1, aReport());
    attach({ engine: { reachable: false, message: 'no such file' } });
    expect(observed.node(node1)).toMatchObject({
      state: 'engine-away',
      message: 'its Docker Engine does not answer: no such file',
    });
    expect(phase()).toBe('running');
  });

  test('tells of what it has', () => {
    attach({ inventory: [entry()] });
    expect(observed.container(web1)).toMatchObject({ phase: 'running', ready: true });
  });

  test('without a container that ran has lost it: that is made again', () => {
    observed.report(web1, aReport());
    attach();
    expect(observed.container(web1)).toMatchObject({
      phase: 'starting',
      ready: false,
      ports: [],
      message: 'its engine container is gone; it is made again',
    });
  });

  test.each(['pulling', 'stopping', 'stopped', 'failed'] as const)(
    'without a container that was %s says nothing of it',
    (before) => {
      observed.report(web1, aReport({ phase: before, ready: false }));
      attach();
      expect(phase()).toBe(before);
    },
  );

  test('with containers that nobody here knows has orphans, and they are not taken in', () => {
    const unknown = containerId('unknown');
    store.transact((tx) => {
      tx.nodes.put(aNode({ name: 'node-2' }));
      tx.containers.put(
        aContainer({ id: containerId('other'), slot: 2, nodeId: nodeId('node-2') }),
      );
    });
    attach({ inventory: [entry({}, unknown), entry({}, containerId('other'))] });
    expect(observed.node(node1).orphans).toEqual([
      { containerId: 'unknown', name: 'web-1', phase: 'running', engineId: 'engine-1' },
      { containerId: 'other', name: 'web-1', phase: 'running', engineId: 'engine-1' },
    ]);
    expect(observed.container(unknown)).toBeUndefined();
    expect(observed.container(containerId('other'))).toBeUndefined();
  });

  test('N2: ends its session before', () => {
    const first = attach();
    const second = attach();
    expect(closed).toEqual(['SESSION_REPLACED']);
    expect(second.sessionId).not.toBe(first.sessionId);
    // The end of the first is no news of the second.
    dispatcher.detach(first);
    dispatcher.report(second, 2, [entry()], null);
    expect(phase()).toBe('running');
  });
});

describe('a report', () => {
  test('C4: counts only if it is newer than what was heard', () => {
    const link = attach({ sequence: 5 });
    dispatcher.report(link, 5, [entry()], null);
    expect(phase()).toBeUndefined();
    dispatcher.report(link, 7, [entry()], null);
    expect(phase()).toBe('running');
    dispatcher.report(link, 6, [entry({ phase: 'starting' })], null);
    dispatcher.report(link, 7, [entry({ phase: 'starting' })], null);
    expect(phase()).toBe('running');
  });

  test('of a session that was replaced counts for nothing', () => {
    const first = attach();
    attach();
    dispatcher.report(first, 100, [entry()], null);
    expect(phase()).toBeUndefined();
  });

  test('counts from the start in each session', () => {
    attach({ sequence: 100 });
    const link = attach({ bootId: 'boot-2', sequence: 1 });
    dispatcher.report(link, 2, [entry()], null);
    expect(phase()).toBe('running');
  });

  test('of a container of another node counts for nothing', () => {
    const link = attach();
    const other = containerId('other');
    dispatcher.report(link, 2, [entry({}, other)], null);
    expect(observed.container(other)).toBeUndefined();
  });

  test('tells of the engine, and leaves the orphans', () => {
    const link = attach({ inventory: [entry({}, containerId('unknown'))] });
    dispatcher.report(link, 2, [], { reachable: false, message: 'stopped' });
    expect(state()).toBe('engine-away');
    dispatcher.report(link, 3, [], { reachable: true, message: '' });
    expect(observed.node(node1)).toMatchObject({
      state: 'ready',
      message: '',
      orphans: [{ containerId: 'unknown' }],
    });
  });
});

describe('a node that is told to become another version', () => {
  const hello = {
    ...{ package: 'fairlead-agent.cjs', obstacle: '' },
    ...{ failure: null, isOnTrial: false },
  };
  const upgrade = { attempt: 'a1', version: '0.2.0', url: '', sha256: '', size: 1 };

  function tell(): NodeLink {
    const link = attach();
    upgrades.attached(link, hello, '0.1.0');
    upgrades.tell(node1, upgrade);
    expect(link.nextUpgrade()).toEqual(upgrade);
    expect(link.nextUpgrade()).toBeNull();
    return link;
  }

  function leave(link: NodeLink): void {
    upgrades.detached(link);
    dispatcher.detach(link);
  }

  test('is given the time that going back takes before it is down', async () => {
    leave(tell());
    await clock.advance(80_000);
    expect(observed.node(node1).state).toBe('unreachable');
    await clock.advance(20_000);
    expect(observed.node(node1).state).toBe('down');
  });

  test.each([
    ['has become it', { ...hello }, '0.2.0'],
    ['did not take it', { ...hello, failure: { ...upgrade, reason: 'it hangs' } }, '0.1.0'],
  ])('is missed as any other once it %s', async (_, next, version) => {
    leave(tell());
    const link = attach();
    upgrades.attached(link, next, version);
    leave(link);
    await clock.advance(65_000);
    expect(observed.node(node1).state).toBe('down');
  });

  test('is given that time, and told nothing, for as long as what came is on trial', async () => {
    leave(tell());
    const first = attach();
    upgrades.attached(first, { ...hello, isOnTrial: true }, '0.2.0');
    upgrades.tell(node1, { ...upgrade, attempt: 'a2' });
    expect(first.nextUpgrade()).toBeNull();
    leave(first);
    await clock.advance(80_000);
    expect(observed.node(node1).state).toBe('unreachable');

    const second = attach();
    upgrades.attached(second, { ...hello, isOnTrial: true }, '0.2.0');
    upgrades.stands(first);
    expect(upgrades.stateOf(node1)?.isOnTrial).toBe(true);
    upgrades.stands(second);
    expect(upgrades.stateOf(node1)?.isOnTrial).toBe(false);
    leave(second);
    await clock.advance(65_000);
    expect(observed.node(node1).state).toBe('down');
  });

  test('is told again in its next session, and says what is wrong', async () => {
    const first = tell();
    upgrades.tell(node1, upgrade);
    expect(first.nextUpgrade()).toBeNull();
    const second = attach();
    upgrades.attached(second, hello, '0.1.0');
    upgrades.tell(node1, upgrade);
    expect(second.nextUpgrade()).toEqual(upgrade);
    const failure = { attempt: 'a1', version: '0.2.0', reason: 'there is no room for it' };
    upgrades.failed(first, failure);
    expect(upgrades.stateOf(node1)?.failure).toBeNull();
    upgrades.failed(second, failure);
    await clock.advance(1_000);
    expect(observed.node(node1).warnings).toEqual([
      'its agent was not upgraded to 0.2.0: there is no room for it',
    ]);
  });
});

describe('an orphan', () => {
  const unknown = containerId('unknown');
  const orphans = () => observed.node(node1).orphans;

  test('is followed by what is reported of it, until it is gone', () => {
    const link = attach({ inventory: [entry({}, unknown)] });
    dispatcher.report(link, 2, [entry({ phase: 'stopped' }, unknown)], null);
    expect(orphans()).toMatchObject([{ containerId: 'unknown', phase: 'stopped' }]);
    dispatcher.report(link, 3, [entry({ phase: 'removed' }, unknown)], null);
    expect(orphans()).toEqual([]);
    expect(dispatcher.orphans(node1)).toEqual([]);
  });

  test('is one of ten thousand at the most', () => {
    const many = Array.from({ length: 12_000 }, (_, at) => entry({}, containerId(`unknown-${at}`)));
    const link = attach({ inventory: many });
    expect(orphans()).toHaveLength(10_000);
    dispatcher.report(link, 2, [entry({}, unknown)], null);
    expect(orphans()).toHaveLength(10_000);
    dispatcher.report(link, 3, [entry({ phase: 'removed' }, containerId('unknown-0'))], null);
    dispatcher.report(link, 4, [entry({}, unknown)], null);
    expect(orphans().at(-1)).toMatchObject({ containerId: 'unknown' });
  });

  test('that gets a record is what was last reported of it', () => {
    attach({ inventory: [entry({}, unknown)] });
    store.transact((tx) => {
      tx.containers.put(aContainer({ id: unknown, slot: 2 }));
    });
    dispatcher.adopted(node1, unknown);
    expect(orphans()).toEqual([]);
    expect(observed.container(unknown)).toMatchObject({ phase: 'running', ready: true });
  });

  test('is removed by its agent when that is told, which it must be there for', () => {
    const link = attach({ inventory: [entry({}, unknown)] });
    link.nextMessage();
    dispatcher.requireConnected(node1);
    dispatcher.discard(node1, unknown);
    expect(link.nextMessage()).toMatchObject({ complete: false, discarded: ['unknown'] });
    dispatcher.report(link, 2, [entry({ phase: 'removed' }, unknown)], null);
    expect(link.nextMessage()).toMatchObject({ forgotten: ['unknown'] });
    dispatcher.detach(link);
    expect(() => {
      dispatcher.requireConnected(node1);
    }).toThrow('the agent of node-1 is not connected; try again when the node is ready');
  });

  test('that was adopted meanwhile is not removed', () => {
    const link = attach({ inventory: [entry({}, unknown)] });
    dispatcher.discard(node1, unknown);
    store.transact((tx) => {
      tx.containers.put(aContainer({ id: unknown, slot: 2 }));
    });
    expect(link.nextMessage()?.discarded).toEqual([]);
  });
});

describe('a node that falls silent', () => {
  test('N1: is unreachable after its lease and down after its grace; nothing of it changes', async () => {
    const link = attach({ inventory: [entry()] });
    dispatcher.detach(link);
    await clock.advance(2_900);
    expect(state()).toBe('ready');
    await clock.advance(600);
    expect(observed.node(node1)).toMatchObject({
      state: 'unreachable',
      message: 'its agent was not heard of for 3 s',
    });
    await clock.advance(56_000);
    expect(state()).toBe('unreachable');
    await clock.advance(1_000);
    expect(state()).toBe('down');
    expect(phase()).toBe('running');
  });

  test('N5: is what it was when it is back in time', async () => {
    dispatcher.detach(attach());
    await clock.advance(30_000);
    attach();
    await clock.advance(1_000);
    expect(state()).toBe('ready');
  });

  test('counts from when it was last heard, not from when its session ended', async () => {
    const link = attach();
    await clock.advance(10_000);
    dispatcher.heard(link);
    await clock.advance(2_000);
    dispatcher.detach(link);
    await clock.advance(600);
    expect(state()).toBe('ready');
    await clock.advance(1_000);
    expect(state()).toBe('unreachable');
    expect(dispatcher.lastSeenAtMs(node1)).toBe(clock.now() - 3_600);
  });

  test('right from the start has time to dial', async () => {
    expect(dispatcher.lastSeenAtMs(node1)).toBeNull();
    await clock.advance(9_900);
    expect(state()).toBe('unknown');
    await clock.advance(600);
    expect(state()).toBe('unreachable');
  });

  test('is not one that is connected, however long it says nothing: its lease is the stream’s', async () => {
    attach();
    await clock.advance(120_000);
    expect(state()).toBe('ready');
  });
});

describe('a session is told', () => {
  test('of what changes in the store', () => {
    const link = attach();
    expect(link.nextMessage()).toMatchObject({
      complete: true,
      assignments: [{ wanted: 'running' }],
    });
    store.transact((tx) => {
      tx.containers.put(aContainer({ wanted: 'removed' }));
    });
    expect(link.nextMessage()).toMatchObject({
      complete: false,
      assignments: [{ containerId: web1, wanted: 'removed' }],
    });
    store.transact((tx) => {
      tx.containers.delete(web1);
    });
    expect(link.nextMessage()).toMatchObject({ forgotten: [web1] });
  });

  test('that its node was removed', () => {
    const link = attach();
    dispatcher.expel(node1);
    expect(closed).toEqual(['NODE_REMOVED']);
    dispatcher.detach(link);
    dispatcher.report(link, 9, [entry()], null);
    expect(phase()).toBeUndefined();
    expect(state()).toBe('unknown');
  });
});

const messageOf = () => observed.node(node1).warnings.join('; ');
const eventTypes = () => store.events.after(0, {}, 1_000).events.map(({ type }) => type);

describe('a node that has joined', () => {
  const node2 = nodeId('node-2');
  const join = () => {
    store.transact((tx) => {
      tx.nodes.put(aNode({ name: 'node-2' }));
    });
  };

  test('is joining until its agent connects, however long that takes', async () => {
    join();
    expect(observed.node(node2)).toMatchObject({
      state: 'joining',
      message: 'its agent has not connected since it joined',
    });
    await clock.advance(120_000);
    expect(observed.node(node2).state).toBe('joining');
  });

  test('is joining also when the coordinator was started again meanwhile', async () => {
    join();
    const again = new ObservedState(new Map(), { clock });
    const deps = {
      store,
      observed: again,
      routing,
      settling,
      upgrades,
      clock,
      newId: () => 'x',
      log,
    };
    const until = new AbortController();
    const other = new Dispatcher(deps, { downGraceMs: 60_000 }).run(until.signal);
    expect(again.node(node2).state).toBe('joining');
    until.abort();
    await other;
  });
});

describe('events', () => {
  test('tell that a node went and came back, once each', async () => {
    dispatcher.detach(attach());
    await clock.advance(70_000);
    attach();
    await clock.advance(1_000);
    expect(eventTypes()).toEqual(['node.unreachable', 'node.down', 'node.ready']);
  });

  test('tell that a node which joined is ready, and nothing of one that is found so', async () => {
    store.transact((tx) => {
      tx.nodes.put(aNode({ name: 'node-2' }));
    });
    attach();
    await clock.advance(1_000);
    expect(eventTypes()).toEqual([]);
    const seen = { description, inventory: [], clockMs: null };
    const hello = { verbs: [], bootId: 'b', sequence: 1, ...seen };
    const addresses = { advertiseAddress: '10.0.0.6', publicAddress: '', certificate };
    const engine = { reachable: true, message: '' };
    dispatcher.attach(nodeId('node-2'), { ...hello, ...addresses, engine }, line);
    await clock.advance(1_000);
    expect(eventTypes()).toEqual(['node.ready']);
  });
});

describe('a certificate', () => {
  const renew = (bootId: string) => {
    dispatcher.requireHolder(node1, bootId);
  };

  test('is renewed by the run that has the session, and by no other', () => {
    attach({ bootId: 'boot-1' });
    expect(() => {
      renew('boot-1');
    }).not.toThrow();
    expect(() => {
      renew('boot-2');
    }).toThrow('that one alone renews the certificate');
  });

  test('is renewed by an agent that does not say which run it is', () => {
    attach({ bootId: 'boot-1' });
    expect(() => {
      renew('');
    }).not.toThrow();
  });

  test('is renewed by a run that takes over from one that is gone', () => {
    const link = attach({ bootId: 'boot-1' });
    dispatcher.detach(link);
    expect(() => {
      renew('boot-2');
    }).not.toThrow();
  });
});

describe('a clock', () => {
  const minutes = (count: number) => clock.now() + count * 60_000;

  test('N12: that differs by minutes is named, and does no harm', async () => {
    attach({ clockMs: minutes(4) });
    expect(messageOf()).toBe('');
    attach({ clockMs: minutes(-7) });
    expect(messageOf()).toBe("its clock is 7 minutes behind the coordinator's");
    expect(state()).toBe('ready');
    await clock.advance(600_000);
    expect(messageOf()).toBe("its clock is 7 minutes behind the coordinator's");
    attach({ clockMs: minutes(0) });
    expect(messageOf()).toBe('');
  });

  test('of the coordinator that is set is seen too', async () => {
    attach({ clockMs: minutes(0) });
    clock.setWallClock(3 * 86_400_000);
    await clock.advance(1_000);
    expect(messageOf()).toContain('it is 3 days behind');
    await clock.advance(1_000);
    expect(eventTypes()).toEqual(['node.clock-wrong']);
    clock.setWallClock(-3 * 86_400_000);
    await clock.advance(1_000);
    expect(messageOf()).toBe('');
  });
});

describe('a copy of the disk on another host', () => {
  const copy = { bootId: 'copy', advertiseAddress: '10.0.0.9' };

  test('is refused while the first lives; both are named in the message and an event', async () => {
    const link = attach({ inventory: [entry()] });
    expect(() => attach(copy)).toThrow(
      expect.objectContaining({
        kind: 'conflict',
        reason: 'IDENTITY_SHARED',
        message: expect.stringContaining('another host, host (10.0.0.5)') as string,
      }),
    );
    expect(closed).toEqual([]);
    await clock.advance(1_000);
    expect(messageOf()).toBe('');
    dispatcher.heard(link);
    await clock.advance(1_000);
    expect(messageOf()).toMatch(/host \(10\.0\.0\.5\), which is served, and host \(10\.0\.0\.9\)/);
    expect(() => attach(copy)).toThrow();
    dispatcher.heard(link);
    await clock.advance(1_000);
    expect(eventTypes()).toEqual(['node.identity-shared']);
    expect(phase()).toBe('running');
    dispatcher.heard(link);
    await clock.advance(40_000);
    expect(messageOf()).toBe('');
  });

  test('does not take the place of one that is away for a moment, but of one that is down', async () => {
    const link = attach();
    expect(() => attach(copy)).toThrow();
    await clock.advance(500);
    dispatcher.heard(link);
    dispatcher.detach(link);
    for (let waitedMs = 0; waitedMs < 55_000; waitedMs += 5_000) {
      await clock.advance(5_000);
      expect(() => attach(copy)).toThrow();
    }
    await clock.advance(5_000);
    attach(copy);
    expect(state()).toBe('ready');
  });

  test('may be the host itself, moved: once its session before has ended', () => {
    dispatcher.detach(attach());
    attach(copy);
    expect(store.nodes.get(node1)?.advertiseAddress).toBe('10.0.0.9');
  });
});
