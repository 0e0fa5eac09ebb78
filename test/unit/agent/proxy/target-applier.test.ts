import { pino } from 'pino';
import { expect, test } from 'vitest';
import { pathOf, type Target } from '../../../../agent/proxy/backend-list.ts';
import { TargetApplier, type ServerHost } from '../../../../agent/proxy/target-applier.ts';
import type { Clock } from '../../../../shared/clock.ts';
import { ModelHaproxy } from '../../../support/model-haproxy.ts';
import { aServer, aTarget } from './builders.ts';

/** What the applier tells the others, and a clock that a test moves by hand. */
function setUp() {
  let now = 1_000;
  const clock: Pick<Clock, 'monotonic'> = { monotonic: () => now };
  const watched = new Map<string, number>();
  const drained: string[] = [];
  const applier = new TargetApplier({
    clock,
    log: pino({ level: 'silent' }),
    drainer: {
      watch: (path, deadlineAt) => watched.set(path, deadlineAt),
      forget: (path) => watched.delete(path),
    },
    reports: {
      setDrained: (path, isDrained) => {
        if (isDrained) drained.push(path);
      },
      drop: () => undefined,
    },
  });
  return { applier, watched, drained, pass: (ms: number) => (now += ms) };
}

const listOf = (...targets: Target[]) => new Map(targets.map((each) => [pathOf(each), each]));
const none = listOf();

test('drains from the time of the order, then goes into maintenance, and reports that last', async () => {
  const { applier, watched, drained, pass } = setUp();
  const haproxy = new ModelHaproxy(['web'], [aServer({ id: 'web-1' })]);
  const targets = listOf(aTarget({ id: 'web-1', mode: 'drain', drainTimeoutMs: 500 }));
  applier.note(targets.keys(), targets);
  pass(100);
  await applier.apply(haproxy, targets);
  expect([...watched]).toEqual([['web/web-1', 1_500]]);

  // The same order once more does not begin anew.
  applier.note(targets.keys(), targets);
  await applier.apply(haproxy, targets);
  expect([...watched]).toEqual([['web/web-1', 1_500]]);
  expect(haproxy.commands).toEqual(['set server web/web-1 state drain']);

  applier.noteDrained('web/web-1');
  expect(drained).toEqual([]);
  await applier.apply(haproxy, targets);
  expect(haproxy.servers.get('web/web-1')?.mode).toBe('maint');
  expect(drained).toEqual(['web/web-1']);
});

test('watches a target in drain that HAProxy does not know: workers before it may', async () => {
  const { applier, watched, drained } = setUp();
  const haproxy = new ModelHaproxy(['web']);
  const targets = listOf(aTarget({ id: 'web-1', mode: 'drain', drainTimeoutMs: 500 }));
  applier.note(targets.keys(), targets);
  await applier.apply(haproxy, targets);
  expect([...watched.keys()]).toEqual(['web/web-1']);

  applier.noteDrained('web/web-1');
  await applier.apply(haproxy, targets);
  expect(drained).toEqual(['web/web-1']);
  expect(haproxy.commands).toEqual([]);
});

test('deletes what is gone five seconds later, and again later if it is not free', async () => {
  const { applier, pass } = setUp();
  const haproxy = new ModelHaproxy(['web'], [aServer({ id: 'web-1' })]);
  applier.note(['web/web-1'], none);
  await applier.apply(haproxy, none);
  expect(haproxy.commands).toEqual([
    'set server web/web-1 state maint',
    'shutdown sessions server web/web-1',
  ]);
  pass(4_999);
  await applier.deleteDue(haproxy, none);
  expect(haproxy.commands.length).toBe(2);

  haproxy.refusals.set('web/web-1', 'Server still has connections attached to it');
  pass(1);
  await applier.deleteDue(haproxy, none);
  await applier.deleteDue(haproxy, none);
  expect(haproxy.commands.length).toBe(3);
  expect(applier.nextDeletionAt).toBe(11_000);

  haproxy.refusals.clear();
  pass(5_000);
  await applier.deleteDue(haproxy, none);
  expect(haproxy.servers.size).toBe(0);
  expect(applier.nextDeletionAt).toBeUndefined();
});

test('deletes together what went within half a second, one after the other, eight in a row', async () => {
  const { applier, pass } = setUp();
  const ids = Array.from({ length: 10 }, (_, index) => `web-${index}`);
  const haproxy = new ModelHaproxy(
    ['web'],
    ids.map((id) => aServer({ id })),
  );
  pass(100);
  for (const id of ids) {
    applier.note([`web/${id}`], none);
    await applier.apply(haproxy, none);
    pass(10);
  }
  expect(applier.nextDeletionAt).toBe(6_500);
  pass(5_299);
  await applier.deleteDue(haproxy, none);
  expect(haproxy.servers.size).toBe(10);
  pass(1);
  const inOneWrite: number[] = [];
  const host: ServerHost = {
    ...{ servers: haproxy.servers, backends: haproxy.backends, dynamicServers: true },
    refresh: () => haproxy.refresh(),
    carryOut: (steps) => {
      inOneWrite.push(steps.length);
      return haproxy.carryOut(steps);
    },
  };
  await applier.deleteDue(host, none);
  expect(haproxy.servers.size).toBe(2);
  expect(applier.nextDeletionAt).toBe(6_500);
  await applier.deleteDue(host, none);
  expect(haproxy.servers.size).toBe(0);
  expect(inOneWrite).toEqual(ids.map(() => 1));
});

test('deletes no second server while there is something to apply', async () => {
  const { applier, pass } = setUp();
  const ids = ['web-1', 'web-2', 'web-3'];
  const haproxy = new ModelHaproxy(
    ['web'],
    ids.map((id) => aServer({ id })),
  );
  applier.note(
    ids.map((id) => `web/${id}`),
    none,
  );
  await applier.apply(haproxy, none);
  pass(6_000);
  const targets = listOf(aTarget({ id: 'web-4' }));
  const host: ServerHost = {
    ...{ servers: haproxy.servers, backends: haproxy.backends, dynamicServers: true },
    refresh: () => haproxy.refresh(),
    carryOut: (steps) => {
      applier.note(targets.keys(), targets);
      return haproxy.carryOut(steps);
    },
  };
  await applier.deleteDue(host, targets);
  expect([...haproxy.servers.keys()]).toEqual(['web/web-2', 'web/web-3']);

  await applier.apply(haproxy, targets);
  await applier.deleteDue(haproxy, targets);
  expect([...haproxy.servers.keys()]).toEqual(['web/web-4']);
});

test('does not delete what came back meanwhile', async () => {
  const { applier, pass } = setUp();
  const haproxy = new ModelHaproxy(['web'], [aServer({ id: 'web-1' })]);
  applier.note(['web/web-1'], none);
  await applier.apply(haproxy, none);
  const targets = listOf(aTarget({ id: 'web-1' }));
  applier.note(targets.keys(), targets);
  await applier.apply(haproxy, targets);
  pass(60_000);
  await applier.deleteDue(haproxy, targets);
  expect(haproxy.servers.get('web/web-1')?.mode).toBe('ready');
});

test('looks at nothing that is as it should be, and at all that is not', async () => {
  const { applier } = setUp();
  const haproxy = new ModelHaproxy(
    ['web'],
    [
      ...[aServer({ id: 'web-1' }), aServer({ id: 'web-2', mode: 'maint' })],
      ...[aServer({ id: 'stranger' }), aServer({ id: 'web-3', port: 1 })],
    ],
  );
  const targets = listOf(...['web-1', 'web-2', 'web-3', 'web-4'].map((id) => aTarget({ id })));
  applier.noteAll(targets, haproxy.servers);
  await applier.apply(haproxy, targets);
  const touched = new Set(haproxy.commands.map((each) => /web\/(\S+)/.exec(each)?.[1]));
  expect([...touched].sort()).toEqual(['stranger', 'web-2', 'web-3', 'web-4']);
  // What waits for its deletion is known; what was refused is tried again.
  applier.noteAll(targets, haproxy.servers);
  expect(applier.pending).toBe(false);
  haproxy.refusals.set('web/web-5', 'no');
  targets.set('web/web-5', aTarget({ id: 'web-5' }));
  applier.noteAll(targets, haproxy.servers);
  await applier.apply(haproxy, targets);
  expect(applier.errors()).toEqual(new Map([['web-5', 'no']]));
  applier.noteAll(targets, haproxy.servers);
  expect(applier.pending).toBe(true);
});

test('deletes strangers that are found in maintenance, too', async () => {
  const { applier, pass } = setUp();
  const haproxy = new ModelHaproxy(['web'], [aServer({ id: 'stranger', mode: 'maint' })]);
  applier.noteAll(none, haproxy.servers);
  await applier.apply(haproxy, none);
  pass(5_000);
  await applier.deleteDue(haproxy, none);
  expect(haproxy.servers.size).toBe(0);
});

test('asks once more after a refusal, then says what HAProxy said, and goes on with the rest', async () => {
  const { applier, watched } = setUp();
  const haproxy = new ModelHaproxy(['web'], [aServer({ id: 'web-3' })]);
  haproxy.refusals.set('web/web-1', 'out of memory').set('web/web-3', 'not today');
  const targets = listOf(
    aTarget({ id: 'web-1' }),
    aTarget({ id: 'web-2' }),
    aTarget({ id: 'web-3', mode: 'drain' }),
    aTarget({ id: 'web-4', backend: 'nowhere' }),
  );
  applier.note(targets.keys(), targets);
  await applier.apply(haproxy, targets);

  expect(haproxy.servers.get('web/web-2')?.mode).toBe('ready');
  expect(haproxy.refreshes).toBe(1);
  expect(haproxy.commands.filter((each) => each.startsWith('add server web/web-1 ')).length).toBe(
    2,
  );
  expect(Object.fromEntries(applier.errors())).toEqual({
    'web-1': 'out of memory',
    'web-3': 'not today',
    'web-4': 'HAProxy has no backend "nowhere"',
  });
  // It may be given requests still, so nothing is in drain.
  expect(watched.size).toBe(0);
  expect(applier.pending).toBe(false);

  haproxy.refusals.clear();
  applier.noteAll(targets, haproxy.servers);
  await applier.apply(haproxy, targets);
  expect([...applier.errors().keys()]).toEqual(['web-4']);
});

test('takes a command that somebody else has carried out already for done', async () => {
  const { applier } = setUp();
  const haproxy = new ModelHaproxy(['web']);
  const hidden = aServer({ id: 'web-1', mode: 'maint' });
  haproxy.refresh = () => {
    haproxy.servers.set('web/web-1', hidden);
    haproxy.refusals.clear();
    return Promise.resolve();
  };
  haproxy.refusals.set('web/web-1', 'Already exists a server with the same name in backend.');
  const targets = listOf(aTarget({ id: 'web-1' }));
  applier.note(targets.keys(), targets);
  await applier.apply(haproxy, targets);
  expect(haproxy.servers.get('web/web-1')?.mode).toBe('ready');
  expect(applier.errors().size).toBe(0);
});

test('looks at all of a batch again when the connection is lost', async () => {
  const { applier } = setUp();
  const haproxy = new ModelHaproxy(['web']);
  haproxy.carryOut = () => Promise.reject(new Error('HAProxy closed the connection'));
  const targets = listOf(aTarget({ id: 'web-1' }));
  applier.note(targets.keys(), targets);
  await expect(applier.apply(haproxy, targets)).rejects.toThrow('closed');

  const next = new ModelHaproxy(['web']);
  await applier.apply(next, targets);
  expect(next.servers.get('web/web-1')?.mode).toBe('ready');
});
