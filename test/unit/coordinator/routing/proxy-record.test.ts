import { describe, expect, test } from 'vitest';
import { BackendList } from '../../../../coordinator/routing/backend-list.ts';
import {
  ProxyRecord,
  type ProxySession,
  type TargetObservation,
} from '../../../../coordinator/routing/proxy-record.ts';
import type { ProxyId, SessionId } from '../../../../shared/ids.ts';
import { aBackend, aTarget, containerId, serviceId } from '../../../support/builders.ts';

const web = containerId('web-1');
const other = containerId('web-2');
const structure = { frontends: [], backends: [], memberships: new Map() };
const session: ProxySession = {
  id: 'session-1' as SessionId,
  wake: () => undefined,
  close: () => undefined,
};
const none = new Map<string, string>();

function aRecord(): ProxyRecord {
  const identity = { id: 'proxy-1' as ProxyId, name: 'lb-1', serviceId: serviceId('lb') };
  const record = new ProxyRecord(identity, 'container', 0);
  record.open(session, null);
  return record;
}

function aList(): BackendList {
  const list = new BackendList(structure);
  list.set(web, [aTarget('web-1')]);
  return list;
}

const seen = (changes: Partial<TargetObservation> = {}): TargetObservation => ({
  health: 'up',
  healthMessage: '',
  inFlight: 0,
  requests: 0,
  drained: false,
  ...changes,
});

/** What the proxy thinks of the one target, by the versions of the list. */
function stateOf(record: ProxyRecord, list: BackendList) {
  const [target] = list.targetsOf(web);
  const since = list.sinceOf(target!);
  const isReady = target!.mode === 'ready';
  return {
    admitted: isReady && record.hasAdmitted(target!, since),
    drained: !isReady && record.hasDrained(target!, since),
  };
}

/** One that knows the whole list and asks for so much time between changes, and how often its session was woken. */
function paced(leastIntervalMs: number) {
  const wakes: number[] = [];
  const record = aRecord();
  const list = aList();
  record.open({ ...session, wake: () => wakes.push(1) }, null);
  record.nextMessage(list, 0);
  record.setPace(leastIntervalMs);
  return { record, list, wakes };
}

const drain = (list: BackendList) => list.set(web, [aTarget('web-1', { mode: 'drain' })]);
const undrain = (list: BackendList) => list.set(web, [aTarget('web-1')]);

describe('what a proxy is sent', () => {
  test('is everything at first, then what changed, then nothing', () => {
    const record = aRecord();
    const list = aList();
    expect(record.nextMessage(list, 0)).toMatchObject({ kind: 'snapshot', version: 1 });
    expect(record.nextMessage(list, 0)).toBeNull();
    drain(list);
    expect(record.nextMessage(list, 0)).toMatchObject({
      kind: 'delta',
      baseVersion: 1,
      version: 2,
    });
    expect(record.publishedVersion).toBe(2);
  });

  test('is what changed since, no more often than it asked for', () => {
    const { record, list } = paced(100);
    drain(list);
    expect(record.nextMessage(list, 1_000)).toMatchObject({ kind: 'delta' });
    list.set(other, [aTarget('web-2')]);
    expect(record.nextMessage(list, 1_030)).toEqual({ kind: 'later', inMs: 70 });
    list.set(other, [aTarget('web-2', { mode: 'drain' })]);
    expect(record.publishedVersion).toBe(2);
    expect(record.nextMessage(list, 1_100)).toMatchObject({ baseVersion: 2, version: 4 });
    expect(record.nextMessage(list, 1_100)).toBeNull();
    undrain(list);
    expect(record.nextMessage(list, 5_000)).toMatchObject({ baseVersion: 4 });
  });

  test('is at once that a target went which is given requests, and all else with it', () => {
    const { record, list } = paced(100);
    list.set(other, [aTarget('web-2')]);
    expect(record.nextMessage(list, 1_000)).toMatchObject({ kind: 'delta' });
    drain(list);
    list.set(other, []);
    const delta = { kind: 'delta', removedTargetIds: ['web-2.1'], targets: [{ id: 'web-1.1' }] };
    expect(record.nextMessage(list, 1_001)).toMatchObject(delta);
    list.set(web, []);
    expect(record.nextMessage(list, 1_002)).toMatchObject({ kind: 'later' });
  });

  test('is at once that a target went of whose drain it was not told', () => {
    const { record, list } = paced(100);
    list.set(other, [aTarget('web-2')]);
    record.nextMessage(list, 1_000);
    drain(list);
    expect(record.nextMessage(list, 1_001)).toMatchObject({ kind: 'later' });
    list.set(web, []);
    expect(record.nextMessage(list, 1_002)).toMatchObject({ removedTargetIds: ['web-1.1'] });
  });

  test('is at once all of a list whose structure changed', () => {
    const { record, list } = paced(100);
    drain(list);
    record.nextMessage(list, 1_000);
    list.restructure({ ...structure, backends: [aBackend('other')] });
    expect(record.nextMessage(list, 1_001)).toMatchObject({ kind: 'snapshot' });
  });

  test('waits for a second at most, and for nothing in the next session', () => {
    const { record, list } = paced(3_600_000);
    drain(list);
    record.nextMessage(list, 1_000);
    undrain(list);
    expect(record.nextMessage(list, 1_001)).toEqual({ kind: 'later', inMs: 999 });
    record.open(session, null);
    record.nextMessage(list, 1_002);
    drain(list);
    expect(record.nextMessage(list, 1_003)).toMatchObject({ kind: 'delta' });
  });

  test('goes out soon when it takes back what it asked for', () => {
    const { record, list, wakes } = paced(100);
    drain(list);
    record.nextMessage(list, 1_000);
    undrain(list);
    const before = wakes.length;
    record.setPace(0);
    expect(wakes.length).toBe(before + 1);
    expect(record.nextMessage(list, 1_001)).toMatchObject({ kind: 'delta' });
  });

  test('is everything again in a new session, after a gap, and when the structure changes', () => {
    const record = aRecord();
    const list = aList();
    record.nextMessage(list, 0);
    record.open(session, 1);
    expect(record.nextMessage(list, 0)).toMatchObject({ kind: 'snapshot' });
    record.resync();
    expect(record.nextMessage(list, 0)).toMatchObject({ kind: 'snapshot' });
    list.restructure({ ...structure, backends: [aBackend('other')] });
    expect(record.nextMessage(list, 0)).toMatchObject({ kind: 'snapshot' });
    expect(record.nextMessage(list, 0)).toBeNull();
  });
});

describe('a target is admitted', () => {
  test('when the version that made it ready took effect', () => {
    const record = aRecord();
    const list = aList();
    expect(stateOf(record, list).admitted).toBe(false);
    record.applied(1, none);
    expect(stateOf(record, list).admitted).toBe(true);
    drain(list);
    undrain(list);
    expect(stateOf(record, list).admitted).toBe(false);
    record.applied(3, none);
    expect(stateOf(record, list).admitted).toBe(true);
  });

  test('not while HAProxy refuses it', () => {
    const record = aRecord();
    const list = aList();
    record.applied(1, new Map([['web-1.1', 'no more file descriptors']]));
    expect(stateOf(record, list).admitted).toBe(false);
    expect(record.firstError).toBe('web-1.1: no more file descriptors');
    record.applied(1, none);
    expect(stateOf(record, list).admitted).toBe(true);
  });

  test('not by what a HAProxy before this one had', () => {
    const record = aRecord();
    const list = aList();
    record.applied(1, none);
    record.open(session, null);
    expect(stateOf(record, list).admitted).toBe(false);
    expect(record.appliedVersion).toBe(0);
    record.applied(1, none);
    expect(stateOf(record, list).admitted).toBe(true);
  });

  test('still, when the same HAProxy says in a new session that it has it', () => {
    const record = aRecord();
    const list = aList();
    record.applied(1, none);
    record.open(session, 1);
    expect(stateOf(record, list).admitted).toBe(true);
  });
});

describe('where HAProxy did not take the ports and routes of a version', () => {
  const before = (unreached: readonly string[]) => ({ version: 1, unreached: new Set(unreached) });

  test('that is not in effect, and its servers are', () => {
    const record = aRecord();
    const list = aList();
    drain(list);
    record.nextMessage(list, 0);
    record.applied(2, none, before([]));
    expect([record.appliedVersion, record.serversVersion]).toEqual([1, 2]);
    record.observe('web-1.1', seen({ drained: true }));
    expect(stateOf(record, list).drained).toBe(true);
    record.applied(2, none, { version: 2, unreached: new Set() });
    expect([record.appliedVersion, record.serversVersion]).toEqual([2, 2]);
  });

  test('a target is admitted where its requests come to it all the same, or came before', () => {
    const record = aRecord();
    const list = aList();
    const { backend } = list.targetsOf(web)[0]!;
    record.applied(1, none, before([backend]));
    expect(stateOf(record, list).admitted).toBe(true);
    drain(list);
    undrain(list);
    record.applied(3, none, before(['other']));
    expect(stateOf(record, list).admitted).toBe(true);
    record.applied(3, none, before([backend]));
    expect(stateOf(record, list).admitted).toBe(false);
    expect(record.errorOf(list.targetsOf(web)[0]!)).toContain('elsewhere');
    record.applied(3, none, { version: 3, unreached: new Set() });
    expect(stateOf(record, list).admitted).toBe(true);
  });

  test('an agent that does not tell is taken to have them', () => {
    const record = aRecord();
    record.applied(2, none);
    expect([record.appliedVersion, record.serversVersion]).toEqual([2, 2]);
  });
});

describe('a target is drained', () => {
  test('when that is reported of the version that made it drain, or a later one', () => {
    const record = aRecord();
    const list = aList();
    record.nextMessage(list, 0);
    record.applied(1, none);
    record.observe('web-1.1', seen({ drained: true }));
    drain(list);
    expect(stateOf(record, list).drained).toBe(false);
    record.applied(2, none);
    expect(stateOf(record, list).drained).toBe(false);
    record.observe('web-1.1', seen({ drained: true }));
    expect(stateOf(record, list).drained).toBe(true);
  });

  test('no more when it was ready again meanwhile, until that is reported anew', () => {
    const record = aRecord();
    const list = aList();
    drain(list);
    record.nextMessage(list, 0);
    record.applied(2, none);
    record.observe('web-1.1', seen({ drained: true }));
    undrain(list);
    drain(list);
    record.applied(4, none);
    expect(stateOf(record, list).drained).toBe(false);
    record.observe('web-1.1', seen({ inFlight: 1 }));
    record.observe('web-1.1', seen({ drained: true }));
    expect(stateOf(record, list).drained).toBe(true);
  });

  test('also when a proxy told a coordinator that restarted before it had the new list', () => {
    const record = aRecord();
    const list = aList();
    drain(list);
    record.observe('web-1.1', seen({ drained: true }));
    record.nextMessage(list, 0);
    expect(stateOf(record, list).drained).toBe(false);
    record.applied(2, none);
    expect(stateOf(record, list).drained).toBe(true);
  });

  test('not by such a report when the first list had it ready', () => {
    const record = aRecord();
    const list = aList();
    record.observe('web-1.1', seen({ drained: true }));
    record.nextMessage(list, 0);
    drain(list);
    record.nextMessage(list, 0);
    record.applied(2, none);
    expect(stateOf(record, list).drained).toBe(false);
  });

  test('not by a report of an earlier session', () => {
    const record = aRecord();
    const list = aList();
    record.nextMessage(list, 0);
    record.observe('web-1.1', seen({ drained: true }));
    drain(list);
    record.open(session, null);
    record.nextMessage(list, 0);
    record.applied(2, none);
    expect(stateOf(record, list).drained).toBe(false);
  });
});

test('forgets targets that are not in the list any more', () => {
  const record = aRecord();
  const list = aList();
  record.nextMessage(list, 0);
  record.observe('web-1.1', seen({ inFlight: 3 }));
  list.set(containerId('web-2'), [aTarget('web-2')]);
  record.nextMessage(list, 0);
  expect(record.target('web-1.1')?.inFlight).toBe(3);

  list.set(web, []);
  record.nextMessage(list, 0);
  expect(record.target('web-1.1')).toBeUndefined();
});

test('forgets in a new session what left the list meanwhile', () => {
  const record = aRecord();
  const list = aList();
  record.nextMessage(list, 0);
  record.observe('web-1.1', seen({ inFlight: 3 }));
  list.set(web, []);
  record.open(session, null);
  record.nextMessage(list, 0);
  expect(record.target('web-1.1')).toBeUndefined();
});
