import { Status } from 'nice-grpc';
import { expect, test } from 'vitest';
import { eventually } from '../../../support/eventually.ts';
import {
  aSnapshot,
  aTarget,
  FakeProxyCoordinator,
  proxyToken,
} from '../../../support/fake-proxy-coordinator.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { SessionInProcess } from './session-in-process.ts';

/** A session with a directory of its own. */
class TestSession extends SessionInProcess {
  readonly #directory: TemporaryDirectory;

  constructor(coordinator: string) {
    const directory = new TemporaryDirectory();
    super({ coordinator, token: proxyToken, trustFile: directory.join('trust.json') });
    this.#directory = directory;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#directory[Symbol.asyncDispose]();
  }
}

function has(session: TestSession, version: number): Promise<void> {
  return eventually(() => {
    expect(session.list.version).toBe(version);
  });
}

test('takes the list and what changes in it, and asks for all of it when a version was missed', async () => {
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(80));
  await using session = new TestSession(coordinator.address);
  await has(session, 1);
  coordinator.change([aTarget({ id: 'a', port: 1 })]);
  await has(session, 2);

  // A version that this proxy is not told of.
  coordinator.list = { ...coordinator.list!, version: 3 };
  coordinator.change([aTarget({ id: 'b', port: 1 })]);
  coordinator.change([aTarget({ id: 'c', port: 1 })]);
  await has(session, 5);
  expect([...session.list.targets.keys()]).toEqual(['web/a', 'web/b', 'web/c']);
  expect(coordinator.snapshotRequests).toBe(1);
});

test('asks for fewer changes while programs of its host wait for processors', async () => {
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(80));
  await using session = new TestSession(coordinator.address);
  await has(session, 1);
  const change = async () => {
    await has(session, coordinator.change([aTarget({ id: 'a', port: 1 })]));
  };
  const asked = async (paces: readonly number[]) => {
    await eventually(() => {
      expect(coordinator.paces).toEqual(paces);
    });
  };
  await change();
  session.pressure.isHigh = true;
  await change();
  await change();
  await asked([100]);
  coordinator.dropSessions();
  await asked([100, 100]);
  session.pressure.isHigh = false;
  await eventually(change);
  await asked([100, 100, 0]);
});

test('gives signs of life, and opens a new session when the coordinator gives none', async () => {
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(80));
  coordinator.heartbeatMs = 50;
  coordinator.leaseMs = 300;
  await using session = new TestSession(coordinator.address);
  await eventually(() => {
    expect(coordinator.heartbeats).toBeGreaterThan(8);
  });
  expect(coordinator.hellos.length).toBe(1);

  coordinator.heartbeatMs = 60_000;
  await eventually(() => {
    expect(coordinator.hellos.length).toBeGreaterThan(1);
  });
  expect(session.log.join('')).toContain('silent for longer than its lease');
});

test('redials when a session ends, and tells what is in effect by then', async () => {
  await using coordinator = await FakeProxyCoordinator.start(aSnapshot(80));
  await using session = new TestSession(coordinator.address);
  await has(session, 1);
  const whole = { structureVersion: 1, unreachedBackends: [] };
  const errors = new Map([['a', 'no']]);
  session.outbox.setApplied({ epoch: 'epoch-1', version: 1, errors, ...whole });
  await eventually(() => {
    expect(coordinator.applied).toEqual([
      { epoch: 'epoch-1', version: 1, errors: [{ targetId: 'a', message: 'no' }], ...whole },
    ]);
  });
  coordinator.dropSessions();
  await eventually(() => {
    expect(coordinator.hellos.map(({ version }) => version)).toEqual([0, 1]);
  });
});

test.each([Status.UNAUTHENTICATED, Status.PERMISSION_DENIED])(
  'keeps its list and tries again when it is refused with status %i',
  async (status) => {
    await using coordinator = await FakeProxyCoordinator.start(
      aSnapshot(80, { targets: [aTarget({ id: 'a', port: 1 })] }),
    );
    await using session = new TestSession(coordinator.address);
    await has(session, 1);
    coordinator.refusal = { status, words: 'the token was revoked' };
    coordinator.dropSessions();
    await eventually(() => {
      expect(session.log.join('')).toContain('session refused');
    });
    expect(session.list.targets.size).toBe(1);
    expect(coordinator.attempts).toBe(2);

    coordinator.refusal = undefined;
    await eventually(() => {
      expect(coordinator.hellos.length).toBe(2);
    });
  },
);
