import { expect, test } from 'vitest';
import { Outbox, type Outgoing, type TargetStatus } from '../../../../agent/proxy/outbox.ts';

const none = new Map<string, string>();

function status(options: Partial<TargetStatus> = {}): TargetStatus {
  return {
    targetId: 'web-1',
    health: 'up',
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

test('tells the latest of each, a version before the targets that drained by it', () => {
  const outbox = new Outbox();
  outbox.setTarget(status({ inFlight: 1 }));
  outbox.setTarget(status({ drained: true }));
  outbox.setHaproxy({ version: '2.6', pid: 42 });
  outbox.setApplied({ epoch: 'e', version: 1, errors: none });
  outbox.setApplied({ epoch: 'e', version: 2, errors: none });
  expect(takeAll(outbox)).toEqual([
    { kind: 'applied', applied: { epoch: 'e', version: 2, errors: none } },
    { kind: 'targets', targets: [status({ drained: true })] },
    { kind: 'status', status: { version: '2.6', pid: 42, message: '' } },
  ]);
  expect(outbox.take()).toBeUndefined();
});

test('tells of a target only what changed', () => {
  const outbox = new Outbox();
  outbox.setTarget(status());
  takeAll(outbox);
  outbox.setTarget(status());
  expect(outbox.take()).toBeUndefined();
  outbox.setTarget(status({ health: 'down' }));
  outbox.dropTarget('web-1');
  expect(outbox.take()).toBeUndefined();
});

test('puts all that is wrong into one message', () => {
  const outbox = new Outbox();
  outbox.setProblem('ports', 'port 80 is taken');
  outbox.setProblem('disk', 'the disk is full');
  expect(outbox.status.message).toBe('port 80 is taken; the disk is full');
  outbox.setProblem('ports', undefined);
  outbox.setProblem('haproxy', undefined);
  expect(takeAll(outbox)).toEqual([
    { kind: 'status', status: { version: '', pid: 0, message: 'the disk is full' } },
  ]);
});

test('tells a new session all targets, and leaves the rest to the hello', () => {
  const outbox = new Outbox();
  outbox.setApplied({ epoch: 'e', version: 1, errors: none });
  outbox.setHaproxy({ version: '2.6', pid: 42 });
  outbox.setTarget(status());
  outbox.startOver();
  expect(takeAll(outbox)).toEqual([{ kind: 'targets', targets: [status()] }]);
  outbox.startOver();
  expect(takeAll(outbox).length).toBe(1);
});
