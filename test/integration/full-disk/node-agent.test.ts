import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { connect, NodeState, Role } from '../../../client/index.ts';
import { CoordinatorInProcess } from '../../support/coordinator-in-process.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWithMounts } from '../../support/needs.ts';
import { SmallDisk } from '../../support/small-disk.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { AgentInProcess } from '../agent/node/agent-in-process.ts';

const patience = { timeoutMs: 30_000 };

async function clientOf(coordinator: CoordinatorInProcess, stateDir: string) {
  const token = readFileSync(`${stateDir}/admin.token`, 'utf8').trim();
  return await connect({ address: coordinator.address, token });
}

describeWithMounts('while the disk is full', () => {
  test('a node agent renews all the same, and writes it down when there is space', async () => {
    await using disk = await SmallDisk.mount(1);
    await using directory = new TemporaryDirectory();
    const coordinatorDir = directory.join('coordinator');
    await using coordinator = await CoordinatorInProcess.start(coordinatorDir, {
      certificateLifeSeconds: 6,
    });
    await using client = await clientOf(coordinator, coordinatorDir);
    const { secret } = await client.control.createToken({ name: 'join', role: Role.NODE });
    const flags = {
      ...{ coordinator: coordinator.address, name: 'host-1', stateDir: disk.join('agent') },
      dockerSocket: directory.join('no-engine.sock'),
    };
    // It cannot even make its key: nothing is asked of the coordinator.
    disk.fill();
    const first = new AgentInProcess({ ...flags, token: secret });
    await expect(first.ended).rejects.toMatchObject({ reason: 'STATE_DIR_NOT_WRITABLE' });
    expect((await client.control.listNodes({})).nodes).toEqual([]);
    disk.free();

    const file = () => readFileSync(disk.join('agent', 'node.json'), 'utf8');
    const isReady = () =>
      eventually(async () => {
        const { nodes } = await client.control.listNodes({});
        expect(nodes.map(({ name, state }) => [name, state])).toEqual([
          ['host-1', NodeState.ENGINE_AWAY],
        ]);
      }, patience);
    let written: string;
    {
      await using agent = new AgentInProcess({ ...flags, token: secret });
      await isReady();
      const files = () => readdirSync(disk.join('agent')).sort();
      // The coordinator knows of the session before the agent has written down that it stands.
      await eventually(() => {
        expect(files()).toEqual(['connected', 'node.json']);
      }, patience);
      disk.fill();
      written = file();
      // Longer than any of its certificates lives.
      await eventually(() => {
        expect(agent.logged('certificate renewed').length).toBeGreaterThan(3);
      }, patience);
      expect(agent.logged('session refused')).toEqual([]);
      const [failure] = agent.logged('certificate not renewed yet');
      expect(failure).toMatchObject({
        reason: expect.stringMatching(
          /the new identity is in use and not written down yet: .*ENOSPC.*free space/,
        ) as string,
      });
      expect(file()).toBe(written);
      // It tries again for ever: between two attempts nothing of them is left.
      await eventually(() => {
        expect(files()).toEqual(['connected', 'node.json']);
      }, patience);
      disk.free();
      await eventually(() => {
        expect(file()).not.toBe(written);
      }, patience);
    }
    await using agent = new AgentInProcess(flags);
    // Each renewal, every three seconds here, begins another.
    await eventually(() => {
      expect(agent.logged('session begins')).not.toEqual([]);
    }, patience);
    expect(agent.logged('session refused')).toEqual([]);
    await isReady();
  });

  test('a host whose identity could not be written is the same node when it asks again', async () => {
    await using disk = await SmallDisk.mount(1);
    await using directory = new TemporaryDirectory();
    const coordinatorDir = directory.join('coordinator');
    let listen = '127.0.0.1:0';
    let secret: string;
    {
      await using coordinator = await CoordinatorInProcess.start(coordinatorDir);
      listen = coordinator.address;
      await using client = await clientOf(coordinator, coordinatorDir);
      const wish = { name: 'join', role: Role.NODE, maxUses: 1 };
      ({ secret } = await client.control.createToken(wish));
    }
    const flags = {
      ...{ coordinator: listen, name: 'host-1', stateDir: disk.join('agent'), token: secret },
      dockerSocket: directory.join('no-engine.sock'),
    };
    const agent = new AgentInProcess(flags);
    await eventually(() => {
      expect(agent.logged('cannot join yet').length).toBeGreaterThan(0);
    }, patience);
    disk.fill();
    await using coordinator = await CoordinatorInProcess.start(coordinatorDir, { listen });
    await using client = await clientOf(coordinator, coordinatorDir);
    await expect(agent.ended).rejects.toMatchObject({ reason: 'STATE_DIR_NOT_WRITABLE' });
    const nodes = async () => (await client.control.listNodes({})).nodes;
    const [joined] = await nodes();
    expect(joined?.name).toBe('host-1');
    disk.free();
    await using _again = new AgentInProcess(flags);
    await eventually(async () => {
      expect((await nodes()).map(({ id, state }) => [id, state])).toEqual([
        [joined?.id, NodeState.ENGINE_AWAY],
      ]);
    }, patience);
  });
});
