import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { connect, Role, type FairleadClient } from '../../client/index.ts';
import { ContextFile } from '../../client/cli/context-file.ts';
import { FairleadError } from '../../client/fairlead-error.ts';
import { takeBackup } from '../../coordinator/backup/backup.ts';
import { restoreBackup } from '../../coordinator/backup/restore.ts';
import { NodeState } from '../../shared/gen/fairlead/v1/node.ts';
import { systemClock } from '../../shared/clock.ts';
import { CoordinatorInProcess } from '../support/coordinator-in-process.ts';
import { eventually } from '../support/eventually.ts';
import { aSnapshot, aTarget, FakeProxyCoordinator } from '../support/fake-proxy-coordinator.ts';
import { freePort, get, proxyConfig, RunningProxyAgent, TestBackend } from '../support/haproxy.ts';
import { describeWithMounts } from '../support/needs.ts';
import { SmallDisk } from '../support/small-disk.ts';
import { TemporaryDirectory } from '../support/temporary-directory.ts';
import { AgentInProcess } from './agent/node/agent-in-process.ts';

const patience = { timeoutMs: 30_000 };
const never = new AbortController().signal;

async function clientOf(coordinator: CoordinatorInProcess, stateDir: string) {
  const token = readFileSync(`${stateDir}/admin.token`, 'utf8').trim();
  return await connect({ address: coordinator.address, token });
}

const create = ({ control }: FairleadClient, name: string) =>
  control.createService({ name, spec: { image: 'hello:1' } });

async function names({ control }: FairleadClient): Promise<string[]> {
  return (await control.listServices({})).services.map(({ name }) => name).sort();
}

async function failureOf(call: Promise<unknown>): Promise<FairleadError> {
  const error = await call.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof FairleadError)) throw error as Error;
  return error;
}

/** Changes things until there is no space for another change. */
async function fillUp(disk: SmallDisk, client: FairleadClient): Promise<FairleadError> {
  disk.fill();
  // The database has some space of its own.
  for (let count = 0; ; count++) {
    try {
      await create(client, `more-${count}`);
    } catch (error) {
      if (error instanceof FairleadError) return error;
      throw error;
    }
  }
}

describeWithMounts('while the disk is full', () => {
  test('a coordinator refuses changes, all or nothing, answers, restarts, and goes on', async () => {
    await using disk = await SmallDisk.mount(24);
    const stateDir = disk.join('state');
    let before: string[];
    {
      await using coordinator = await CoordinatorInProcess.start(stateDir);
      await using client = await clientOf(coordinator, stateDir);
      await create(client, 'web');
      expect(await fillUp(disk, client)).toMatchObject({
        reason: 'STORE_FULL',
        message: expect.stringMatching(
          /the change was not stored: .*; free space on the disk of .*fairlead\.db and try again/,
        ) as string,
      });
      expect(
        await failureOf(client.control.createToken({ name: 'x', role: Role.NODE })),
      ).toMatchObject({ reason: 'STORE_FULL' });
      before = await names(client);
      expect(before).toContain('web');
      expect((await client.control.listTokens({})).tokens.map(({ name }) => name)).toEqual([
        'admin',
      ]);
    }
    // It starts with no space at all, and loses nothing.
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator, stateDir);
    expect(await names(client)).toEqual(before);
    disk.free();
    await create(client, 'after');
    expect(await names(client)).toEqual(['after', ...before].sort());
  });

  test('a coordinator does not start for the first time, says why, and does with space', async () => {
    await using disk = await SmallDisk.mount(24);
    const stateDir = disk.join('state');
    disk.fill();
    await expect(CoordinatorInProcess.start(stateDir)).rejects.toMatchObject({
      reason: 'STATE_DIRECTORY_UNUSABLE',
      message: expect.stringMatching(
        /token\.key cannot be written: ENOSPC.*; free space/,
      ) as string,
    });
    disk.free();
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator, stateDir);
    await create(client, 'web');
  });

  test('a coordinator renews its certificate all the same, and writes it down when there is space', async () => {
    await using disk = await SmallDisk.mount(24);
    const stateDir = disk.join('state');
    const certificateLifeSeconds = 6;
    const file = () => readFileSync(`${stateDir}/authority.json`, 'utf8');
    let before: string;
    {
      await using coordinator = await CoordinatorInProcess.start(stateDir, {
        certificateLifeSeconds,
      });
      before = file();
      disk.fill();
      // Longer than any of its certificates lives.
      await eventually(() => {
        expect(coordinator.log().split('"own certificate made"').length).toBeGreaterThan(5);
      }, patience);
      expect(coordinator.log()).toMatch(/authority\.json cannot be written: ENOSPC.*; free space/);
      expect((await coordinator.fetch('/healthz', {})).status).toBe(200);
      expect(file()).toBe(before);
      expect(readdirSync(stateDir)).not.toContain('authority.json.new');
    }
    // That on the disk has expired, and there is still no space.
    await using coordinator = await CoordinatorInProcess.start(stateDir, {
      certificateLifeSeconds,
    });
    expect((await coordinator.fetch('/healthz', {})).status).toBe(200);
    expect(file()).toBe(before);
    disk.free();
    await eventually(() => {
      expect(file()).not.toBe(before);
    }, patience);
    expect((await coordinator.fetch('/healthz', {})).status).toBe(200);
  });

  test('a backup fails with the reason, on either side, and the one before stays', async () => {
    await using disk = await SmallDisk.mount(24);
    await using directory = new TemporaryDirectory();
    const stateDir = directory.join('state');
    const file = disk.join('backup');
    {
      await using coordinator = await CoordinatorInProcess.start(stateDir);
      await takeBackup({ stateDir, file }, never);
      const before = readFileSync(file);
      disk.fill();
      await expect(takeBackup({ stateDir, file }, never)).rejects.toMatchObject({
        reason: 'BACKUP_FAILED',
        message: expect.stringMatching(/could not be written to .*backup\.new: ENOSPC/) as string,
      });
      expect(readFileSync(file)).toEqual(before);
      expect(readdirSync(disk.path).sort()).toEqual(['backup', 'filler']);
      expect(coordinator.log()).not.toContain('"level":"error"');
    }
    // The other way round: the coordinator has no space for the copy that it makes.
    const full = disk.join('state');
    disk.free();
    await restoreBackup({ stateDir: full, file, force: false }, { clock: systemClock });
    await using _coordinator = await CoordinatorInProcess.start(full);
    disk.fill();
    const elsewhere = directory.join('backup');
    await expect(takeBackup({ stateDir: full, file: elsewhere }, never)).rejects.toMatchObject({
      reason: 'BACKUP_FAILED',
      message: expect.stringContaining('the coordinator cannot make a backup') as string,
    });
    expect(readdirSync(directory.path)).toEqual(['state']);
    expect(readdirSync(full).filter((name) => name.startsWith('copy-'))).toEqual([]);
    disk.free();
    await takeBackup({ stateDir: full, file: elsewhere }, never);
  });

  test('a restore changes nothing, says why, and works when there is space', async () => {
    await using disk = await SmallDisk.mount(24);
    await using directory = new TemporaryDirectory();
    const stateDir = disk.join('state');
    const file = directory.join('backup');
    {
      await using coordinator = await CoordinatorInProcess.start(stateDir);
      await using client = await clientOf(coordinator, stateDir);
      await create(client, 'web');
      await takeBackup({ stateDir, file }, never);
      await create(client, 'later');
    }
    disk.fill();
    const options = { stateDir, file, force: true };
    await expect(restoreBackup(options, { clock: systemClock })).rejects.toMatchObject({
      reason: 'RESTORE_FAILED',
      message: expect.stringMatching(
        /ENOSPC.*; free space .*What was there is as it was/,
      ) as string,
    });
    {
      await using coordinator = await CoordinatorInProcess.start(stateDir);
      await using client = await clientOf(coordinator, stateDir);
      expect(await names(client)).toEqual(['later', 'web']);
    }
    disk.free();
    await restoreBackup(options, { clock: systemClock });
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator, stateDir);
    expect(await names(client)).toEqual(['web']);
  });

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

  test('a proxy agent serves and follows the list, says it, and saves when there is space', async () => {
    const port = await freePort();
    await using one = await TestBackend.start('one');
    await using two = await TestBackend.start('two');
    await using disk = await SmallDisk.mount(4);
    const targets = [aTarget({ id: 'web-1.a.80', port: one.port })];
    await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port, { targets }));
    const stateDir = disk.join('proxy');
    const list = () => readFileSync(`${stateDir}/list.json`, 'utf8');
    const config = proxyConfig({ coordinator: coordinator.address, stateDir, onStop: 'stop' });
    await using _agent = new RunningProxyAgent(config);
    await eventually(() => {
      expect(list()).toContain('web-1');
      expect(coordinator.statuses.at(-1)).toMatchObject({ message: '' });
      expect(coordinator.applied.at(-1)?.version).toBe(1);
    }, patience);
    expect((await get(port)).body).toBe('one');
    disk.fill();
    const saved = list();
    coordinator.change([aTarget({ id: 'web-2.b.80', port: two.port })], ['web-1.a.80']);
    await eventually(async () => {
      expect((await get(port)).body).toBe('two');
    }, patience);
    await eventually(() => {
      expect(coordinator.statuses.at(-1)?.message).toMatch(
        /state directory cannot be written: .*list\.json.*ENOSPC/,
      );
    }, patience);
    expect(list()).toBe(saved);
    const pid = coordinator.statuses.at(-1)?.haproxyPid ?? 0;
    process.kill(pid, 'SIGKILL');
    await eventually(async () => {
      expect(coordinator.statuses.at(-1)?.haproxyPid, 'another HAProxy').not.toBe(pid);
      expect((await get(port)).body, 'by the list that is in memory alone').toBe('two');
    }, patience);
    expect(list()).toBe(saved);
    disk.free();
    await eventually(() => {
      expect(list()).toContain('web-2');
      expect(coordinator.statuses.at(-1)?.message).toBe('');
    }, patience);
    await eventually(() => {
      expect(readdirSync(stateDir).filter((name) => name.endsWith('.new'))).toEqual([]);
    }, patience);
    expect((await get(port)).body).toBe('two');
  });

  test('a proxy agent does not start for the first time, says why, and does with space', async () => {
    const port = await freePort();
    await using one = await TestBackend.start('one');
    await using disk = await SmallDisk.mount(4);
    const targets = [aTarget({ id: 'web-1.a.80', port: one.port })];
    await using coordinator = await FakeProxyCoordinator.start(aSnapshot(port, { targets }));
    const stateDir = disk.join('proxy');
    const config = proxyConfig({ coordinator: coordinator.address, stateDir, onStop: 'stop' });
    disk.fill();
    await using refused = new RunningProxyAgent(config);
    await expect(refused.ended).rejects.toThrow(/ cannot be written: .*ENOSPC.*; free space/);
    disk.free();
    await using _again = new RunningProxyAgent(config);
    await eventually(async () => {
      expect((await get(port)).body).toBe('one');
      expect(coordinator.statuses.at(-1)?.message).toBe('');
    }, patience);
  });

  test('the command line keeps the contexts that it had, whole, when a part of the new ones fits', async () => {
    await using disk = await SmallDisk.mount(1);
    const file = new ContextFile(disk.join('contexts.json'));
    const address = (length: number) => ({ address: 'x'.repeat(length), token: 'flt_1' });
    file.store({ current: 'one', contexts: { one: address(10) } });
    writeFileSync(disk.join('spare'), 'x');
    disk.fill();
    rmSync(disk.join('spare'));
    expect(() => {
      file.store({ current: 'two', contexts: { two: address(10_000) } });
    }).toThrow(/contexts\.json cannot be written: ENOSPC.*; nothing was saved/);
    expect(file.load()).toEqual({ current: 'one', contexts: { one: address(10) } });
    expect(readdirSync(disk.path).sort()).toEqual(['contexts.json', 'filler']);
  });
});
