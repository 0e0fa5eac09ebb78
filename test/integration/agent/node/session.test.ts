import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { Status } from 'nice-grpc';
import { afterEach, expect, test, vi } from 'vitest';
import { WantedPhase } from '../../../../shared/gen/fairlead/v1/agent_service.ts';
import { eventually } from '../../../support/eventually.ts';
import { FakeCoordinator, joinToken, nodeId } from '../../../support/fake-coordinator.ts';
import { FaultyLink } from '../../../support/lab/faulty-link.ts';
import { testAuthority } from '../../../support/test-authority.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { AgentInProcess, flagsFor } from './agent-in-process.ts';

const never = new AbortController().signal;
afterEach(() => {
  vi.unstubAllEnvs();
});

const containerId = 'c0000000000000000000000000000001';

test('joins once, keeps its identity to itself, and needs no token afterwards', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await FakeCoordinator.start();
  const tokenFile = directory.join('token');
  writeFileSync(tokenFile, `${joinToken}\n`);
  const flags = { ...flagsFor(coordinator, directory.path), token: undefined, tokenFile };
  {
    await using _agent = new AgentInProcess({ ...flags, tag: ['web', 'eu,ssd'] });
    await eventually(() => {
      expect(coordinator.session).toBeDefined();
    });
  }
  expect(coordinator.joins).toMatchObject([{ name: 'host-1', tags: ['web', 'eu', 'ssd'] }]);
  expect(JSON.parse(readFileSync(`${flags.stateDir}/node.json`, 'utf8'))).toMatchObject({
    version: 2,
    nodeId,
    trustPem: testAuthority.bundle,
  });
  expect(statSync(`${flags.stateDir}/node.json`).mode & 0o777).toBe(0o600);
  expect(statSync(flags.stateDir).mode & 0o777).toBe(0o700);

  rmSync(tokenFile);
  await using _agent = new AgentInProcess(flags);
  await eventually(() => {
    expect(coordinator.sessions).toHaveLength(2);
  });
  expect(coordinator.joins).toHaveLength(1);
  const [first, second] = coordinator.sessions;
  expect(second?.hello.bootId).not.toBe(first?.hello.bootId);
});

test('says what is missing when it may not join', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await FakeCoordinator.start();
  const flags = flagsFor(coordinator, directory.path);
  await expect(new AgentInProcess({ ...flags, token: undefined }).ended).rejects.toThrow(
    'give a join token by --token or --token-file',
  );
  await expect(new AgentInProcess({ ...flags, token: 'wrong' }).ended).rejects.toThrow(
    'the token is not whole',
  );
  const wrong = testAuthority.token('wrong');
  await expect(new AgentInProcess({ ...flags, token: wrong }).ended).rejects.toThrow(
    /does not let this host join: the token is not known. Get a new join token/,
  );
  coordinator.refuseJoin = { status: Status.ALREADY_EXISTS, message: 'a node is called host-1' };
  await expect(new AgentInProcess(flags).ended).rejects.toThrow('Choose another name by --name');
});

test('waits for a coordinator that is not there yet, and joins it then', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await FakeCoordinator.start();
  coordinator.stop();
  await using _agent = new AgentInProcess(flagsFor(coordinator, directory.path));
  await coordinator.start();
  await eventually(() => {
    expect(coordinator.session).toBeDefined();
  });
});

test('refuses an identity that it cannot read, rather than to become another node', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await FakeCoordinator.start();
  const flags = flagsFor(coordinator, directory.path);
  {
    await using _agent = new AgentInProcess(flags);
    await eventually(() => {
      expect(coordinator.session).toBeDefined();
    });
  }
  const path = `${flags.stateDir}/node.json`;
  truncateSync(path, 20);
  const left = readFileSync(path, 'utf8');
  await expect(new AgentInProcess(flags).ended).rejects.toThrow(
    `the node's identity in ${path} cannot be read: it is not whole JSON`,
  );
  expect(readFileSync(path, 'utf8')).toBe(left);
  expect(coordinator.joins).toHaveLength(1);
});

test('stays connected without an engine, says so, and sends signs of life', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await FakeCoordinator.start({ leaseMs: 600, heartbeatMs: 100 });
  // What other programs of the host go by is not what the agent was told.
  vi.stubEnv('DOCKER_HOST', 'tcp://192.0.2.1:2375');
  await using _agent = new AgentInProcess({
    ...flagsFor(coordinator, directory.path),
    advertiseAddress: '192.0.2.7',
    publicAddress: 'host-1.example',
  });
  const session = await eventually(() => {
    expect(coordinator.session?.heartbeats).toBeGreaterThan(10);
    return coordinator.session!;
  });
  expect(coordinator.sessions).toHaveLength(1);
  expect(session.hello).toMatchObject({
    protocolVersion: 1,
    advertiseAddress: '192.0.2.7',
    publicAddress: 'host-1.example',
    engine: {
      reachable: false,
      message: `no Docker Engine listens at ${directory.join('no-engine.sock')}`,
    },
    inventory: [],
    description: { agentVersion: '0.1.0' },
  });
});

test('takes an address that others can use when the coordinator is on the same host', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await FakeCoordinator.start();
  await using _agent = new AgentInProcess(flagsFor(coordinator, directory.path));
  const { hello } = await eventually(() => {
    expect(coordinator.session).toBeDefined();
    return coordinator.session!;
  });
  expect(hello.advertiseAddress).not.toMatch(/^127\./);
  expect(hello.publicAddress).toBe(hello.advertiseAddress);
});

test('comes back to a coordinator that was away, in the same run and with later numbers', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await FakeCoordinator.start();
  await using _agent = new AgentInProcess(flagsFor(coordinator, directory.path));
  await eventually(() => {
    expect(coordinator.session).toBeDefined();
  });
  coordinator.stop();
  await coordinator.start();
  await eventually(() => {
    expect(coordinator.sessions).toHaveLength(2);
  });
  const [first, second] = coordinator.sessions;
  expect(second?.hello.bootId).toBe(first?.hello.bootId);
  expect(second!.hello.sequence).toBeGreaterThan(first!.hello.sequence);
});

test('asks for the complete set when it missed an increment', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await FakeCoordinator.start();
  await using _agent = new AgentInProcess(flagsFor(coordinator, directory.path));
  await eventually(() => {
    expect(coordinator.session).toBeDefined();
  });
  coordinator.dropIncrements = 1;
  coordinator.assign(containerId, WantedPhase.STOPPED);
  coordinator.assign(containerId, WantedPhase.REMOVED);
  coordinator.forget(containerId);
  await eventually(() => {
    expect(coordinator.session?.setsAskedFor).toBe(1);
  });
  coordinator.assign(containerId, WantedPhase.STOPPED);
  expect(coordinator.session?.setsAskedFor).toBe(1);
});

test('notices within the lease that the coordinator is frozen, and comes back when it is not', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await FakeCoordinator.start({ leaseMs: 400, heartbeatMs: 100 });
  await using link = await FaultyLink.start(
    { target: { host: '127.0.0.1', port: coordinator.port } },
    never,
  );
  await using agent = new AgentInProcess({
    ...flagsFor(coordinator, directory.path),
    coordinator: `127.0.0.1:${link.port}`,
  });
  await eventually(() => {
    expect(coordinator.session?.heartbeats).toBeGreaterThan(1);
  });
  link.cut();
  await eventually(() => {
    expect(agent.logged('session lost')).toMatchObject([
      { reason: 'the coordinator was silent for longer than its lease' },
    ]);
  });
  await link.heal();
  await eventually(() => {
    expect(coordinator.sessions.length).toBeGreaterThan(1);
    expect(coordinator.session).toBeDefined();
  });
});

test('keeps its identity when it is refused or replaced, and tries again at leisure', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await FakeCoordinator.start();
  const flags = flagsFor(coordinator, directory.path);
  await using _agent = new AgentInProcess(flags);
  await eventually(() => {
    expect(coordinator.session).toBeDefined();
  });
  const identity = readFileSync(`${flags.stateDir}/node.json`, 'utf8');

  coordinator.refuseSession = { status: Status.UNAUTHENTICATED, message: 'this node was removed' };
  coordinator.endSession({ status: Status.ABORTED, message: 'another session took its place' });
  await eventually(
    () => {
      expect(coordinator.refusals).toBe(1);
    },
    { timeoutMs: 8_000 },
  );
  coordinator.refuseSession = undefined;
  await eventually(
    () => {
      expect(coordinator.sessions).toHaveLength(2);
    },
    { timeoutMs: 8_000 },
  );
  expect(coordinator.refusals).toBe(1);
  expect(readFileSync(`${flags.stateDir}/node.json`, 'utf8')).toBe(identity);
});
