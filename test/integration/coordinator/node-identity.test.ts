import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NodeState, type Node } from '../../../client/index.ts';
import { systemClock, type Clock } from '../../../shared/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { Installation } from '../../support/installation.ts';
import { testAuthority } from '../../support/test-authority.ts';
import { AgentInProcess } from '../agent/node/agent-in-process.ts';

let installation: Installation;

beforeEach(async () => {
  installation = await Installation.start();
});

afterEach(async () => {
  await installation[Symbol.asyncDispose]();
});

/** A few rounds of agents that are refused: they dial again every 5 s. */
const rounds = { timeoutMs: 40_000 };

async function startAgent(
  host: string,
  options: { address?: string; clock?: Clock; token?: undefined } = {},
): Promise<AgentInProcess> {
  const { address = '127.0.0.1', clock = systemClock } = options;
  const { directory, coordinator } = installation;
  const flags = {
    coordinator: coordinator.address,
    token: 'token' in options ? undefined : await installation.joinToken(),
    name: 'host-1',
    advertiseAddress: address,
    stateDir: directory.join(host),
    dockerSocket: directory.join('no-engine.sock'),
  };
  return new AgentInProcess(flags, clock);
}

function copyDisk(from: string, to: string): void {
  const { directory } = installation;
  cpSync(directory.join(from), directory.join(to), { recursive: true });
}

async function node(): Promise<Node> {
  return (await installation.client.control.getNode({ node: 'host-1' })).node!;
}

/** Resolves when the agent is connected; there is no engine in these tests. */
async function connected(agent: AgentInProcess, sessions = 1): Promise<void> {
  await eventually(() => {
    expect(agent.logged('session begins').length).toBeGreaterThanOrEqual(sessions);
  });
}

async function eventsOf(type: string): Promise<string[]> {
  const { events } = await installation.client.control.listEvents({ limit: 1_000 });
  return events.filter((event) => event.type === type).map(({ message }) => message);
}

test('a copy of the disk on another host is refused, named, and disturbs nobody', async () => {
  await using first = await startAgent('first');
  await connected(first);
  copyDisk('first', 'copy');
  await using copy = await startAgent('copy', { address: '127.0.0.2' });
  await eventually(async () => {
    const { message } = await node();
    expect(message).toMatch(
      /two hosts speak with this node's identity: \S+ \(127\.0\.0\.1\), which is served, and \S+ \(127\.0\.0\.2\), which is refused/,
    );
  });
  await eventually(async () => {
    expect(await eventsOf('node.identity-shared')).toHaveLength(1);
  });
  expect(first.logged('session begins')).toHaveLength(1);
  expect(copy.logged('session begins')).toHaveLength(0);
  const [told] = copy.logged('session is with another agent');
  expect(told?.['reason']).toContain('move its state directory away');
});

test('a copy of the disk gets no certificate of its own', async () => {
  await using first = await startAgent('first');
  await connected(first);
  copyDisk('first', 'copy');
  const path = installation.directory.join('copy', 'node.json');
  const identity = JSON.parse(readFileSync(path, 'utf8')) as object;
  const due = JSON.stringify({ ...identity, renewAtMs: 0 });
  writeFileSync(path, due);
  await using copy = await startAgent('copy', { address: '127.0.0.2' });
  await eventually(() => {
    const [refused, again] = copy.logged('certificate not renewed yet');
    expect(refused?.['reason']).toContain('that one alone renews the certificate');
    expect(again).toBeDefined();
  });
  expect(readFileSync(path, 'utf8')).toBe(due);
  expect(copy.logged('certificate renewed')).toEqual([]);
});

test('two agents that look the same do not take turns for ever', { timeout: 90_000 }, async () => {
  await using first = await startAgent('first');
  await connected(first);
  copyDisk('first', 'copy');
  await using copy = await startAgent('copy');
  await eventually(async () => {
    expect((await node()).message).toContain('two agents on');
  }, rounds);
  const sessions = () => [first, copy].map((agent) => agent.logged('session begins').length);
  const settled = sessions();
  // Refused twice more, the copy has still not got in.
  const refusals = copy.logged('session is with another agent').length;
  await eventually(() => {
    expect(copy.logged('session is with another agent').length).toBeGreaterThan(refusals + 1);
  }, rounds);
  expect(sessions()).toEqual(settled);
  expect(settled).toEqual([2, 1]);
});

test('N14: an agent that is killed and started again is the same node, and nothing is said', async () => {
  const before = await startAgent('first');
  await connected(before);
  const { id } = await node();
  await before[Symbol.asyncDispose]();
  await using after = await startAgent('first');
  await connected(after);
  const { message, id: idAfter } = await node();
  expect(idAfter).toBe(id);
  expect(message).not.toContain('identity');
  expect(await eventsOf('node.identity-shared')).toEqual([]);
});

test('N14: a host whose disk was wiped is a new node, and not by the name of the one that it was', async () => {
  const { client } = installation;
  const before = await startAgent('first');
  await connected(before);
  const { id } = await node();
  await before[Symbol.asyncDispose]();
  const wiped = await startAgent('wiped');
  await expect(wiped.ended).rejects.toThrow('a node is already called host-1');
  expect((await client.control.listNodes({})).nodes.map((each) => each.id)).toEqual([id]);
  await client.control.removeNode({ node: 'host-1' });
  await using anew = await startAgent('wiped');
  await connected(anew);
  expect((await node()).id).not.toBe(id);
});

test('a clock that is minutes off is said, and does no harm', async () => {
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + 10 * 60_000 };
  await using agent = await startAgent('first', { clock });
  await connected(agent);
  await eventually(async () => {
    expect((await node()).message).toContain("its clock is 10 minutes ahead of the coordinator's");
  });
  expect(agent.logged('clocks differ')).toMatchObject([
    { reason: "the clock of this host is 10 minutes ahead of the coordinator's" },
  ]);
  expect(agent.logged('session begins')).toHaveLength(1);
  expect(agent.logged('session lost')).toEqual([]);
});

test('a clock that is days off is named; set right, that is told without a restart', async () => {
  // Ahead, because gRPC compares deadlines with the clock of this process.
  let wrongByMs = 3 * 86_400_000;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + wrongByMs };
  await using agent = await startAgent('first', { clock });
  await connected(agent);
  expect((await node()).message).toMatch(/ITS CLOCK IS WRONG.*3 days ahead/);
  expect(agent.logged('clocks differ')).toMatchObject([
    { reason: expect.stringMatching(/^THE CLOCK OF THIS HOST IS WRONG.*timedatectl/) as string },
  ]);
  await eventually(async () => {
    expect(await eventsOf('node.clock-wrong')).toEqual([
      expect.stringContaining('3 days ahead') as string,
    ]);
  });
  expect(installation.coordinator.log()).toMatch(/"node":"host-1","msg":"ITS CLOCK IS WRONG/);
  wrongByMs = 0;
  await eventually(async () => {
    expect((await node()).message).not.toContain('CLOCK');
  });
  expect(agent.logged('session begins')).toHaveLength(2);
  expect(agent.logged('clocks differ')).toHaveLength(1);
});

test('a node that was removed is refused, told what to do, and may join anew', async () => {
  const { client } = installation;
  await using agent = await startAgent('first');
  await connected(agent);
  const { id } = await node();
  await client.control.removeNode({ node: 'host-1' });
  await eventually(() => {
    const [refused] = agent.logged('session refused');
    expect(refused?.['advice']).toContain('move the state directory of the agent away');
  }, rounds);
  expect(await eventsOf('node.removed')).toHaveLength(1);
  expect((await client.control.listNodes({})).nodes).toEqual([]);
  await using anew = await startAgent('anew');
  await connected(anew);
  expect((await node()).id).not.toBe(id);
});

test('a host that was given a token joins with it, is what it was while it can, and anew once it was removed', async () => {
  const { client, directory } = installation;
  const inState = (name: string) => directory.join('given', name);
  const give = async () => {
    mkdirSync(inState(''), { recursive: true });
    writeFileSync(inState('join.token'), `${await installation.joinToken()}\n`);
  };
  const stands = () =>
    eventually(() => {
      expect(readFileSync(inState('connected'), 'utf8')).toMatch(/^\d+\.\d+\.\d+\n$/);
      expect(existsSync(inState('join.token'))).toBe(false);
    });
  const identity = () => readFileSync(inState('node.json'), 'utf8');
  const withoutToken = { token: undefined };

  await give();
  {
    await using _joined = await startAgent('given', withoutToken);
    await stands();
  }
  const first = await node();
  const firstIdentity = identity();
  const { pins } = JSON.parse(firstIdentity) as { readonly pins: readonly string[] };
  expect(pins).toEqual([(await installation.joinToken()).slice(-43)]);

  // It needs no token, and says anew that it stands.
  await give();
  {
    await using _same = await startAgent('given', withoutToken);
    await stands();
    expect(identity()).toBe(firstIdentity);

    // To be removed is not undone by a token that was for something else.
    await client.control.removeNode({ node: 'host-1' });
    await eventually(() => {
      expect(_same.logged('session refused')).not.toEqual([]);
    }, rounds);
    expect((await client.control.listNodes({})).nodes).toEqual([]);
  }
  writeFileSync(inState('join.token'), `${testAuthority.token('foreign')}\n`);
  await expect((await startAgent('given', withoutToken)).ended).rejects.toThrow(
    'is not the one that the token is from',
  );
  expect(existsSync(inState('connected'))).toBe(false);
  expect(identity()).toBe(firstIdentity);

  await give();
  await using anew = await startAgent('given', withoutToken);
  await connected(anew);
  await stands();
  expect((await node()).id).not.toBe(first.id);
  expect(readFileSync(inState('node.json.before'), 'utf8')).toBe(firstIdentity);
});

test('a host that joined is joining until its agent connects', async () => {
  await installation.join(await installation.joinToken(), 'host-1');
  expect(await node()).toMatchObject({
    state: NodeState.JOINING,
    message: 'its agent has not connected since it joined',
  });
});
