import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ActionError,
  ActionState,
  connect,
  PlanStepKind,
  Role,
  type Action,
  type FairleadClient,
  type Node,
} from '../../../client/index.ts';
import { agentVersion } from '../../../agent/node/version.ts';
import { CoordinatorInProcess } from '../../support/coordinator-in-process.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWithMounts } from '../../support/needs.ts';
import { SmallDisk } from '../../support/small-disk.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { AgentInProcess } from '../agent/node/agent-in-process.ts';
import { bundleAgent } from '../agent/node/agent-process.ts';
import { LaunchedAgent, layOutInstallation, layOutPackages } from './launched-agent.ts';

const newer = '9.9.9';
const patience = { timeoutMs: 60_000 };
/** Long enough for a version that works, on a machine that is busy. */
const trialSeconds = '20';
/** A version that works stands soon; one that ends with its first session does so long before. */
const settleSeconds = '1';

const programs = new TemporaryDirectory();
let installation: string;
let installedLater: string;
let good: Buffer;

beforeAll(async () => {
  const bundle = await bundleAgent(programs.join('installed'));
  installation = layOutInstallation(programs.join('installation'), agentVersion, bundle);
  // Only its launcher says so: what is installed then is not what was installed before.
  installedLater = layOutInstallation(programs.join('later'), '0.1.1', bundle);
  good = readFileSync(await bundleAgent(programs.join('newer'), newer));
});

afterAll(() => programs[Symbol.asyncDispose]());

interface HostOptions {
  readonly trialSeconds?: string;
  readonly settleSeconds?: string;
  readonly shell?: readonly [string, ...string[]];
  readonly installation?: string;
  readonly stateDir?: string;
}

/** A coordinator that serves some version, and agents below launchers. */
class Fleet implements AsyncDisposable {
  readonly #directory = new TemporaryDirectory();
  readonly #agents: AsyncDisposable[] = [];
  #coordinator!: CoordinatorInProcess;
  #listen = { listen: '127.0.0.1:0', httpListen: '127.0.0.1:0' };
  client!: FairleadClient;
  #token = '';

  static async start(content: Buffer | string, hash?: string): Promise<Fleet> {
    const fleet = new Fleet();
    fleet.serve(newer, content, hash);
    await fleet.startCoordinator();
    const address = fleet.#coordinator.address;
    const token = readFileSync(fleet.#directory.join('coordinator', 'admin.token'), 'utf8').trim();
    fleet.client = await connect({ address, token });
    const joining = await fleet.client.control.createToken({ name: 'join', role: Role.NODE });
    fleet.#token = joining.secret;
    return fleet;
  }

  serve(version: string, content: Buffer | string, hash?: string): void {
    layOutPackages(this.#directory.join('packages'), {
      ...{ version, content },
      ...(hash === undefined ? {} : { hash }),
    });
  }

  /** Starts it, where it was before. */
  async startCoordinator(): Promise<void> {
    const packagesDir = this.#directory.join('packages');
    const stateDir = this.#directory.join('coordinator');
    this.#coordinator = await CoordinatorInProcess.start(stateDir, {
      packagesDir,
      ...this.#listen,
    });
    const { address, httpPort } = this.#coordinator;
    this.#listen = { listen: address, httpListen: `127.0.0.1:${httpPort}` };
  }

  async stopCoordinator(): Promise<void> {
    await this.#coordinator[Symbol.asyncDispose]();
  }

  stateDir(name: string): string {
    return this.#directory.join(name);
  }

  launch(
    name: string,
    { shell, stateDir = this.stateDir(name), ...options }: HostOptions = {},
  ): LaunchedAgent {
    const env = {
      FAIRLEAD_COORDINATOR: this.#coordinator.address,
      FAIRLEAD_TOKEN: this.#token,
      FAIRLEAD_NAME: name,
      FAIRLEAD_STATE_DIR: stateDir,
      FAIRLEAD_DOCKER_SOCKET: this.#directory.join('no-engine.sock'),
      FAIRLEAD_ADVERTISE_ADDRESS: '127.0.0.1',
      FAIRLEAD_TRIAL_SECONDS: options.trialSeconds ?? trialSeconds,
      FAIRLEAD_UPGRADE_SETTLE_SECONDS: options.settleSeconds ?? settleSeconds,
    };
    const agent = new LaunchedAgent(options.installation ?? installation, env, shell);
    this.#agents.push(agent);
    return agent;
  }

  /** An agent that nobody launched. */
  runInProcess(name: string): void {
    const agent = new AgentInProcess({
      ...{ coordinator: this.#coordinator.address, token: this.#token, name },
      ...{ stateDir: this.stateDir(name), dockerSocket: this.#directory.join('no-engine.sock') },
      advertiseAddress: '127.0.0.1',
    });
    this.#agents.push(agent);
  }

  async node(name: string): Promise<Node> {
    return (await this.client.control.getNode({ node: name })).node!;
  }

  /** Resolves when all run this version and are connected. */
  async run(names: readonly string[], version: string): Promise<void> {
    await eventually(async () => {
      for (const name of names) {
        const node = await this.node(name);
        expect(node.description?.agentVersion).toBe(version);
        expect(node.message).toContain('its Docker Engine does not answer');
      }
    }, patience);
  }

  /** The action of an upgrade once it has ended, however it ended. */
  async upgrade(nodes: readonly string[] = [], parallelism = 0): Promise<Action> {
    const { action } = await this.client.control.upgradeNodes({ nodes: [...nodes], parallelism });
    return await this.ended(action!.id);
  }

  async ended(actionId: string): Promise<Action> {
    try {
      return await this.client.waitForAction(actionId, { timeoutMs: 90_000 });
    } catch (error) {
      if (error instanceof ActionError) return error.action;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent[Symbol.asyncDispose]()));
    await this.client[Symbol.asyncDispose]();
    await this.stopCoordinator();
    await this.#directory[Symbol.asyncDispose]();
  }
}

const linesOf = ({ timeline }: Action) =>
  timeline.map(({ container, message }) => `${container}: ${message}`);
const told = (name: string) => `${name}: ${agentVersion} is told to become ${newer}`;
const versionsIn = (stateDir: string) =>
  readdirSync(`${stateDir}/versions`, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);

/** Says the right version, and is nothing but that. */
const only = (rest: string) =>
  `if (process.argv[2] === '--version') console.log('${newer}'); else { ${rest} }`;

/** Comes before an agent, and ends it somehow once its session is written down. */
const afterFirstSession = (end: string) => `
  if (process.argv[2] !== '--version') {
    const beganMs = Date.now() - performance.now();
    const watch = setInterval(() => {
      const stats = require('node:fs').statSync(process.env.FAIRLEAD_STATE_DIR + '/connected', { throwIfNoEntry: false });
      if (stats === undefined || stats.mtimeMs < beganMs) return;
      clearInterval(watch);
      require('node:fs').writeSync(2, 'its first session begins\\n');
      ${end};
    }, 20);
  }
`;

describe('a version that works', () => {
  test(
    'is taken by one host first, then by the others, and stays',
    { timeout: 120_000 },
    async () => {
      await using fleet = await Fleet.start(good);
      const names = ['host-1', 'host-2', 'host-3'];
      const agents = names.map((name, index) =>
        fleet.launch(name, index === 1 ? { shell: ['busybox', 'sh'] } : {}),
      );
      await fleet.run(names, agentVersion);
      const before = await Promise.all(names.map((name) => fleet.node(name)));

      const { plan, action: none } = await fleet.client.control.upgradeNodes({
        options: { dryRun: true },
      });
      expect(none).toBeUndefined();
      expect(plan?.steps).toMatchObject([
        { kind: PlanStepKind.UPGRADE, node: 'host-1', reason: '0.1.0 to 9.9.9: first, alone' },
        { kind: PlanStepKind.UPGRADE, node: 'host-2', reason: '0.1.0 to 9.9.9: then, 3 at a time' },
        { kind: PlanStepKind.UPGRADE, node: 'host-3', reason: '0.1.0 to 9.9.9: then, 3 at a time' },
      ]);

      const action = await fleet.upgrade();
      expect(action).toMatchObject({
        ...{ state: ActionState.SUCCEEDED, method: 'UpgradeNodes', message: '' },
        ...{ targetKind: 'fleet', targetName: '3 nodes' },
      });
      const lines = linesOf(action);
      expect(lines.slice(0, 4)).toEqual([
        told('host-1'),
        'host-1: runs 9.9.9',
        told('host-2'),
        told('host-3'),
      ]);
      expect(lines.slice(4).toSorted()).toEqual(['host-2: runs 9.9.9', 'host-3: runs 9.9.9']);
      await fleet.run(names, newer);
      const after = await Promise.all(names.map((name) => fleet.node(name)));
      expect(after.map(({ id }) => id)).toEqual(before.map(({ id }) => id));
      for (const name of names) {
        const stateDir = fleet.stateDir(name);
        expect(statSync(`${stateDir}/versions`).mode & 0o777).toBe(0o700);
        expect(versionsIn(stateDir)).toHaveLength(1);
      }

      // Again: nothing is left to do.
      expect(linesOf(await fleet.upgrade(['host-2']))).toEqual(['host-2: has 9.9.9 already']);

      // A crash is for the supervisor, which starts the same again.
      process.kill(agents[0]!.agentPid(), 'SIGKILL');
      expect(await agents[0]!.ended()).toBe(137);
      fleet.launch('host-1');
      await fleet.run(['host-1'], newer);

      // Being stopped is a success. What is installed anew by hand is what runs then.
      expect(await agents[1]!.stop()).toBe(0);
      fleet.launch('host-2', { installation: installedLater });
      await fleet.run(['host-2'], agentVersion);
      expect(versionsIn(fleet.stateDir('host-2'))).toEqual([]);

      // Also if it is the version that was installed before: who installs it removes what was noted of that.
      expect(await agents[2]!.stop()).toBe(0);
      rmSync(`${fleet.stateDir('host-3')}/versions/installed`);
      fleet.launch('host-3');
      await fleet.run(['host-3'], agentVersion);
      expect(versionsIn(fleet.stateDir('host-3'))).toEqual([]);
    },
  );

  test('is taken although the coordinator restarts meanwhile', { timeout: 120_000 }, async () => {
    await using fleet = await Fleet.start(good);
    const names = ['host-1', 'host-2'];
    for (const name of names) fleet.launch(name);
    await fleet.run(names, agentVersion);
    const { action } = await fleet.client.control.upgradeNodes({});
    await fleet.stopCoordinator();
    await fleet.startCoordinator();
    await fleet.client.ready(AbortSignal.timeout(patience.timeoutMs));
    const ended = await fleet.ended(action!.id);
    expect(ended).toMatchObject({ state: ActionState.SUCCEEDED, message: '' });
    await fleet.run(names, newer);
  });

  test(
    'is not taken further when the coordinator serves another',
    { timeout: 120_000 },
    async () => {
      await using fleet = await Fleet.start(only('process.exit(3)'));
      fleet.launch('host-1');
      await fleet.run(['host-1'], agentVersion);
      const { action } = await fleet.client.control.upgradeNodes({});
      await fleet.stopCoordinator();
      fleet.serve('9.9.10', good);
      await fleet.startCoordinator();
      await fleet.client.ready(AbortSignal.timeout(patience.timeoutMs));
      expect(await fleet.ended(action!.id)).toMatchObject({
        state: ActionState.FAILED,
        message: 'the coordinator serves 9.9.10 now, not 9.9.9; start the upgrade again',
      });
    },
  );
});

describe('a version that does not work', () => {
  test.each([
    ['is not what was said', only(''), 'is not what the coordinator said (SHA-256 '],
    ['does not run', `throw new Error('no such library')`, 'it does not run on this host: '],
    ['is another', `console.log('9.9.8')`, 'it says that it is version 9.9.8, not 9.9.9'],
  ])('is not even tried if it %s', { timeout: 120_000 }, async (what, content, reason) => {
    const hash = what === 'is not what was said' ? '0'.repeat(64) : undefined;
    await using fleet = await Fleet.start(content, hash);
    const agent = fleet.launch('host-1');
    await fleet.run(['host-1'], agentVersion);
    const pid = agent.agentPid();
    const action = await fleet.upgrade();
    expect(action.state).toBe(ActionState.FAILED);
    expect(action.message).toContain(reason);
    expect(agent.agentPid()).toBe(pid);
    expect(versionsIn(fleet.stateDir('host-1'))).toEqual([]);
  });

  test.each([
    ['ends at once', only('process.exit(3)'), 'it ended 3 times before its session'],
    ['hangs', only('setTimeout(() => {}, 1e9)'), 'did not stand within 4 seconds'],
  ])(
    'gives way to the one before, and stops the roll, if it %s',
    { timeout: 120_000 },
    async (_, content, reason) => {
      await using fleet = await Fleet.start(content);
      const first = fleet.launch('host-1', { trialSeconds: '4' });
      const second = fleet.launch('host-2', { trialSeconds: '4', shell: ['busybox', 'sh'] });
      await fleet.run(['host-1', 'host-2'], agentVersion);
      const action = await fleet.upgrade();
      expect(action.state).toBe(ActionState.FAILED);
      expect(action.message).toContain(`host-1 did not take 9.9.9: `);
      expect(action.message).toContain(reason);
      expect(action.message).toContain('0.1.0 runs there; not begun: host-2');
      expect(linesOf(action)).toHaveLength(2);
      await fleet.run(['host-1', 'host-2'], agentVersion);
      // People are told, for as long as it is so.
      await eventually(async () => {
        const { message } = await fleet.node('host-1');
        expect(message).toContain('its agent was not upgraded to 9.9.9: ');
      }, patience);
      expect(versionsIn(fleet.stateDir('host-1'))).toEqual([]);
      expect(first.log()).toContain('gives up version 9.9.9');

      // The other kind of shell does the same; and a version that works is taken afterwards.
      expect((await fleet.upgrade(['host-2'])).message).toContain(reason);
      expect(second.log()).toContain('gives up version 9.9.9');
      await fleet.stopCoordinator();
      fleet.serve(newer, good);
      await fleet.startCoordinator();
      await fleet.client.ready(AbortSignal.timeout(patience.timeoutMs));
      await fleet.run(['host-1'], agentVersion);
      // Four seconds may be too few for one that works on a busy machine.
      await second.stop();
      fleet.launch('host-2');
      await fleet.run(['host-2'], agentVersion);
      const again = await fleet.upgrade(['host-2']);
      expect([again.state, again.message]).toEqual([ActionState.SUCCEEDED, '']);
      await eventually(async () => {
        const { message } = await fleet.node('host-2');
        expect(message).not.toContain('was not upgraded');
      }, patience);
    },
  );
});

describeWithMounts('a version that the disk has no room for', () => {
  test('is not tried, and costs nobody anything; with room, it is taken', async () => {
    await using disk = await SmallDisk.mount(4);
    const stateDir = disk.join('state');
    await using fleet = await Fleet.start(good);
    const agent = fleet.launch('host-1', { stateDir });
    await fleet.run(['host-1'], agentVersion);
    // All that it has to write down so far.
    await eventually(() => {
      expect(existsSync(`${stateDir}/connected`)).toBe(true);
    }, patience);
    const pid = agent.agentPid();
    const identity = readFileSync(`${stateDir}/node.json`, 'utf8');
    disk.fill();
    const refused = await fleet.upgrade();
    expect(refused.state).toBe(ActionState.FAILED);
    expect(refused.message).toContain(`there is no room for it in ${stateDir}/versions`);
    expect(agent.agentPid()).toBe(pid);
    expect(versionsIn(stateDir)).toEqual([]);
    expect(readFileSync(`${stateDir}/node.json`, 'utf8')).toBe(identity);
    disk.free();
    const { state, message } = await fleet.upgrade();
    expect([state, message]).toEqual([ActionState.SUCCEEDED, '']);
    await fleet.run(['host-1'], newer);
  }, 120_000);
});

describe('a version that opens a session', () => {
  test.concurrent.each([
    ['crashes', 'process.exit(3)', '60', 'it ended 3 times before its session'],
    [
      'hangs',
      'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)',
      // Time enough to get as far.
      '12',
      'did not stand within 12 seconds',
    ],
  ])(
    'and then %s gives way, and stops the roll',
    { timeout: 120_000 },
    async (_, end, trial, reason) => {
      await using fleet = await Fleet.start(
        Buffer.concat([Buffer.from(afterFirstSession(end)), good]),
      );
      // Longer than it lives.
      const options = { settleSeconds: '600' };
      const agent = fleet.launch('host-1', { ...options, trialSeconds: trial });
      fleet.launch('host-2', options);
      await fleet.run(['host-1', 'host-2'], agentVersion);
      const action = await fleet.upgrade();
      expect(action.state).toBe(ActionState.FAILED);
      expect(action.message).toContain('host-1 did not take 9.9.9: ');
      expect(action.message).toContain(reason);
      expect(action.message).toContain('0.1.0 runs there; not begun: host-2');
      // That it was there for a moment is no success.
      expect(linesOf(action)).toHaveLength(2);
      expect(agent.log()).toContain('its first session begins');
      await fleet.run(['host-1', 'host-2'], agentVersion);
      expect(versionsIn(fleet.stateDir('host-1'))).toEqual([]);
    },
  );
});

test('a host that cannot upgrade itself is left, and says why', { timeout: 60_000 }, async () => {
  await using fleet = await Fleet.start(good);
  fleet.runInProcess('by-hand');
  await fleet.run(['by-hand'], agentVersion);
  const action = await fleet.upgrade();
  expect(action.state).toBe(ActionState.FAILED);
  expect(action.message).toContain('by-hand is left: its agent was not started by the launcher');
  const { plan } = await fleet.client.control.upgradeNodes({ options: { dryRun: true } });
  expect(plan?.steps).toMatchObject([{ kind: PlanStepKind.LEAVE, node: 'by-hand' }]);
});
