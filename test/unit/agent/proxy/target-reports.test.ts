import { expect, test } from 'vitest';
import { Outbox } from '../../../../agent/proxy/outbox.ts';
import type { ServerCounters } from '../../../../agent/proxy/server-state.ts';
import { TargetReports } from '../../../../agent/proxy/target-reports.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { aTarget } from './builders.ts';

function setUp() {
  const outbox = new Outbox(new FakeClock());
  const draining = new Set<string>();
  const reports = new TargetReports({
    outbox,
    targetAt: (path) => (path === 'web/web-1' ? aTarget({ id: 'web-1' }) : undefined),
    drains: (path) => draining.has(path),
  });
  return { outbox, draining, reports, status: () => outbox.targets.get('web-1') };
}

function row(options: Partial<ServerCounters> = {}): ServerCounters {
  const row = { backend: 'web', id: 'web-1', inFlight: 0, requests: 0, healthMessage: '' };
  return { ...row, health: 'up', limit: 0, ...options };
}

test('reports what HAProxy counts of targets in the list', () => {
  const { outbox, reports, status } = setUp();
  for (const each of [row({ inFlight: 2, requests: 10 }), row({ id: 'stranger' })]) {
    reports.observeServer(each);
  }
  reports.observeFrontends(
    new Map([
      ['http-80', 2],
      ['http-81', 3],
      ['fairlead-stats', 9],
    ]),
  );
  expect(status()).toEqual({
    targetId: 'web-1',
    health: 'up',
    healthMessage: '',
    inFlight: 2,
    requests: 10,
    drained: false,
  });
  expect(outbox.targets.size).toBe(1);
  expect(outbox.take()).toMatchObject({ kind: 'targets', clientConnections: 5 });
});

test('goes on counting when a new worker begins at zero', () => {
  const { reports, status } = setUp();
  for (const requests of [10, 15, 3, 4, 0]) {
    reports.observeServer(row({ requests }));
  }
  expect(status()?.requests).toBe(19);
});

test('leaves what is in flight in a drain to those who read all workers', () => {
  const { reports, draining, status } = setUp();
  draining.add('web/web-1');
  reports.observeInFlight('web/web-1', 7);
  const down = row({ inFlight: 1, health: 'down', healthMessage: 'refuses connections' });
  reports.observeServer(down);
  expect(status()).toMatchObject({
    inFlight: 7,
    health: 'down',
    healthMessage: 'refuses connections',
  });
});

test('says that a target has drained, and takes it back when that is over', () => {
  const { outbox, reports, status } = setUp();
  reports.setDrained('web/web-1', false);
  expect(outbox.take()).toBeUndefined();
  reports.observeInFlight('web/web-1', 1);
  reports.setDrained('web/web-1', true);
  expect(status()).toMatchObject({ drained: true, inFlight: 0 });
  reports.setDrained('web/web-1', false);
  expect(status()?.drained).toBe(false);
});
