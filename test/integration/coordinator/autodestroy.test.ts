import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  Autodestroy,
  connect,
  RestartPolicy,
  Role,
  type FairleadClient,
} from '../../../client/index.ts';
import { CoordinatorInProcess } from '../../support/coordinator-in-process.ts';
import { eventually } from '../../support/eventually.ts';
import { prepareImages } from '../../support/lab/images.ts';
import { Lab } from '../../support/lab/lab.ts';
import { describeWithLab } from '../../support/needs.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { AgentInProcess } from '../agent/node/agent-in-process.ts';

const { signal } = new AbortController();
const patience = { timeoutMs: 30_000 };

describeWithLab('services whose containers end, on a real engine', () => {
  const directory = new TemporaryDirectory();
  let lab: Lab;
  let image: string;
  let coordinator: CoordinatorInProcess;
  let client: FairleadClient;
  let agent: AgentInProcess;

  beforeAll(async () => {
    const images = await prepareImages({}, signal);
    image = images.base;
    lab = await Lab.start({ hosts: 1, images, label: 'jobs' }, signal);
    coordinator = await CoordinatorInProcess.start(directory.join('state'));
    const token = readFileSync(directory.join('state/admin.token'), 'utf8').trim();
    client = await connect({ address: coordinator.address, token });
    const { secret } = await client.control.createToken({ name: 'join', role: Role.NODE });
    const [host] = lab.hosts;
    agent = new AgentInProcess({
      ...{ coordinator: coordinator.address, token: secret, name: host!.name },
      ...{ advertiseAddress: host!.address, stateDir: `${host!.directory}/agent` },
      dockerSocket: host!.dockerSocket,
    });
  });
  afterAll(async () => {
    await client[Symbol.asyncDispose]();
    await agent[Symbol.asyncDispose]();
    await coordinator[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  });

  async function begin(name: string, script: string, spec: object): Promise<void> {
    const command = ['-c', script];
    const restart = RestartPolicy.NEVER;
    await client.control.createService({
      ...{ name, start: true },
      spec: { image, entrypoint: ['sh'], command, restart, ...spec },
    });
  }

  const eventsOf = async (types: string[]) =>
    (await client.control.listEvents({ types, limit: 1_000 })).events;
  const removed = async (name: string) =>
    (await eventsOf(['service.removed'])).some(({ objectName }) => objectName === name);

  test('a job that succeeds removes itself, its engine containers too; one that fails stays', async () => {
    const autodestroy = Autodestroy.ON_SUCCESS;
    await begin('good', 'exit 0', { autodestroy, replicas: 2 });
    await begin('bad', 'exit 3', { autodestroy });
    await begin('spent', 'exit 3', { autodestroy: Autodestroy.ALWAYS });
    await eventually(async () => {
      expect(await removed('good')).toBe(true);
      expect(await removed('spent')).toBe(true);
    }, patience);
    const removing = (await eventsOf(['service.removing'])).find((e) => e.objectName === 'good');
    expect(removing?.message).toBe('all of its containers have ended, and it removes itself then');
    const { actions } = await client.control.listActions({ target: 'good' });
    expect(actions.map(({ method }) => method)).toEqual(['CreateService']);
    // Of both, if they were seen to run before they ended, that was over by then.
    expect(['', removing?.message]).toContain(actions[0]?.message);
    await eventually(async () => {
      const { container } = await client.control.getContainer({ container: 'bad-1' });
      expect(container?.exitCode).toBe(3);
    }, patience);
    // What is told of it was told after the others had gone.
    const { services } = await client.control.listServices({});
    expect(services.map(({ name }) => name)).toEqual(['bad']);
    expect((await client.control.listContainers({})).containers).toHaveLength(1);
    await client.control.removeService({ service: 'bad' });
  });

  test('a container has the hardware address that it was given, one on each node', async () => {
    const container = { macAddress: '02:42:AC:11:00:63' };
    const script = 'cat /sys/class/net/eth0/address; exec sleep 600';
    await begin('net', script, { container, replicas: 2 });
    await eventually(async () => {
      const lines: string[] = [];
      for await (const { entries } of client.serviceLogs({ service: 'net' })) {
        lines.push(...entries.map(({ text }) => text));
      }
      expect(lines).toEqual(['02:42:ac:11:00:63']);
    }, patience);
    const subject = { $case: 'container', value: 'net-2' } as const;
    const { waits } = await client.control.explain({ subject });
    expect(waits[0]?.placement).toMatchObject([{ filter: 'MAX_PER_NODE' }]);
    await expect(
      client.control.createService({ name: 'other', spec: { image, container } }),
    ).rejects.toThrow('net has the address 02:42:ac:11:00:63 already');
  });
});
