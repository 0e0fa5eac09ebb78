import { expect, test } from 'vitest';
import { Outbox, type Outgoing, type TargetStatus } from '../../../../agent/proxy/outbox.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const none = new Map<string, string>();
const clock = new FakeClock();
const noHistory = { reloads: 0, restarts: 0, loadings: [], lastError: undefined };

function status(options: Partial<TargetStatus> = {}): TargetStatus {
  return {
    targetId: 'web-1',
    health: 'up',
    healthMessage: '',
    inFlight: 0,
    requests: 0,
    drained: false,
    ...options,
  };
}

function takeAll(outbox: Outbox): Outgoing[] {
  const all: Outgoing[] = [];
  for (let next = outbox.take(); next !== undefined; next = outbox.take()) all.push(next);
  return all;
}

const whole = { structureVersion: 0, unreachedBackends: [] };

test('tells the latest of each, a version before the targets that drained by it', () => {
  const outbox = new Outbox(clock);
  outbox.setTarget(status({ inFlight: 1 }));
  outbox.setTarget(status({ drained: true }));
  outbox.setHaproxy({ version: '2.6', pid: 42 });
  outbox.setApplied({ epoch: 'e', version: 1, errors: none, ...whole });
  outbox.setApplied({ epoch: 'e', version: 2, errors: none, ...whole });
  expect(takeAll(outbox)).toEqual([
    { kind: 'applied', applied: { epoch: 'e', version: 2, errors: none, ...whole } },
    { kind: 'targets', targets: [status({ drained: true })], clientConnections: 0 },
    { kind: 'status', status: { version: '2.6', pid: 42, message: '', history: noHistory } },
  ]);
  expect(outbox.take()).toBeUndefined();
});

test('tells of a target only what changed', () => {
  const outbox = new Outbox(clock);
  outbox.setTarget(status());
  takeAll(outbox);
  outbox.setTarget(status());
  expect(outbox.take()).toBeUndefined();
  outbox.setTarget(status({ health: 'down' }));
  outbox.dropTarget('web-1');
  expect(outbox.take()).toBeUndefined();
});

test('tells counts twice a second at the most, and what somebody waits for at once', async () => {
  const time = new FakeClock();
  const outbox = new Outbox(time);
  outbox.setTarget(status({ requests: 1 }));
  expect(takeAll(outbox).length).toBe(1);
  outbox.setTarget(status({ requests: 2 }));
  outbox.setTarget(status({ targetId: 'web-2', health: undefined, inFlight: 3 }));
  expect(outbox.take()).toBeUndefined();

  await time.advance(500);
  const told = [
    status({ requests: 2 }),
    status({ targetId: 'web-2', health: undefined, inFlight: 3 }),
  ];
  expect(takeAll(outbox)).toEqual([{ kind: 'targets', targets: told, clientConnections: 0 }]);

  outbox.setTarget(status({ requests: 3 }));
  outbox.setTarget(status({ targetId: 'web-2', drained: true }));
  const urgent = [status({ requests: 3 }), status({ targetId: 'web-2', drained: true })];
  expect(takeAll(outbox)).toEqual([{ kind: 'targets', targets: urgent, clientConnections: 0 }]);
});

test('tells of a crowd of targets in more than one message, of each once', () => {
  const outbox = new Outbox(clock);
  const ids = Array.from({ length: 1_200 }, (_, index) => `web-${index}`);
  for (const targetId of ids) outbox.setTarget(status({ targetId }));
  const messages = takeAll(outbox).map((each) => (each.kind === 'targets' ? each.targets : []));
  expect(messages.map(({ length }) => length)).toEqual([500, 500, 200]);
  expect(messages.flat().map(({ targetId }) => targetId)).toEqual(ids);
});

test('puts all that is wrong into one message', () => {
  const outbox = new Outbox(clock);
  outbox.setProblem('ports', 'port 80 is taken');
  outbox.setProblem('disk', 'the disk is full');
  expect(outbox.status.message).toBe('port 80 is taken; the disk is full');
  outbox.setProblem('ports', undefined);
  outbox.setProblem('haproxy', undefined);
  const lastError = { atMs: clock.now(), words: 'the disk is full' };
  expect(takeAll(outbox)).toEqual([
    {
      kind: 'status',
      status: {
        version: '',
        pid: 0,
        message: 'the disk is full',
        history: { ...noHistory, lastError },
      },
    },
  ]);
  outbox.setProblem('disk', undefined);
  expect(outbox.status).toMatchObject({ message: '', history: { lastError } });
});

test('tells a new session all targets, and leaves the rest to the hello', () => {
  const outbox = new Outbox(clock);
  outbox.setApplied({ epoch: 'e', version: 1, errors: none, ...whole });
  outbox.setHaproxy({ version: '2.6', pid: 42 });
  outbox.setTarget(status());
  outbox.startOver();
  expect(takeAll(outbox)).toEqual([{ kind: 'targets', targets: [status()], clientConnections: 0 }]);
  outbox.startOver();
  expect(takeAll(outbox).length).toBe(1);
});

test('tells the pace when it changes, and a new session unless it is none', () => {
  const outbox = new Outbox(clock);
  outbox.setPace(0);
  expect(takeAll(outbox)).toEqual([]);
  outbox.setPace(100);
  outbox.setPace(100);
  const asked = [{ kind: 'pace', leastIntervalMs: 100 }];
  expect(takeAll(outbox)).toEqual(asked);
  expect(takeAll(outbox)).toEqual([]);
  outbox.startOver();
  expect(takeAll(outbox)).toEqual(asked);
  outbox.setPace(0);
  expect(takeAll(outbox)).toEqual([{ kind: 'pace', leastIntervalMs: 0 }]);
  outbox.startOver();
  expect(takeAll(outbox)).toEqual([]);
});

test('counts reloads and starts, and keeps the latest of them with their reasons', () => {
  const outbox = new Outbox(clock);
  outbox.noteLoading('start', 'none ran');
  outbox.noteLoading('start', 'the one before ended');
  for (let i = 1; i <= 10; i++) outbox.noteLoading('reload', `frontend "f${i}" is new`);
  const { history } = outbox.status;
  expect(history).toMatchObject({ reloads: 10, restarts: 1 });
  expect(history.loadings.length).toBe(8);
  expect(history.loadings[0]).toEqual({
    atMs: clock.now(),
    kind: 'reload',
    reason: 'frontend "f10" is new',
  });
});

test('tells how many connections clients have, once each time that it changes', () => {
  const outbox = new Outbox(clock);
  outbox.setClientConnections(3);
  outbox.setClientConnections(3);
  expect(takeAll(outbox)).toEqual([{ kind: 'targets', targets: [], clientConnections: 3 }]);
  outbox.setClientConnections(3);
  expect(outbox.take()).toBeUndefined();
  outbox.startOver();
  expect(takeAll(outbox)).toEqual([{ kind: 'targets', targets: [], clientConnections: 3 }]);
});
