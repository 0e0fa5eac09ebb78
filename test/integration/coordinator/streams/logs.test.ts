import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DockerodeEngine } from '../../../../agent/node/docker/dockerode-engine.ts';
import {
  Availability,
  connect,
  LogSourceState,
  LogStream,
  PlacementStrategy,
  RestartPolicy,
  Role,
  ServiceState,
  type FairleadClient,
  type LogEntry,
  type LogMessage,
  type LogSource,
} from '../../../../client/index.ts';
import { ChildController } from '../../../../shared/abort.ts';
import { systemClock } from '../../../../shared/clock.ts';
import type { NodeId } from '../../../../shared/ids.ts';
import { CoordinatorInProcess } from '../../../support/coordinator-in-process.ts';
import { eventually } from '../../../support/eventually.ts';
import { prepareImages } from '../../../support/lab/images.ts';
import { Lab } from '../../../support/lab/lab.ts';
import { describeWithLab } from '../../../support/needs.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { AgentInProcess } from '../../agent/node/agent-in-process.ts';
import { environmentOf, removeBuild, runCli, startCli } from '../../client/cli-process.ts';

const { signal } = new AbortController();

/** What a reader has received, and how it ended. */
class Reading implements AsyncDisposable {
  readonly entries: LogEntry[] = [];
  readonly sources: LogSource[] = [];
  /** Settles when the log ends. */
  readonly ended: Promise<void>;
  hasEnded = false;
  readonly #stop: ChildController;

  constructor(open: (signal: AbortSignal) => AsyncIterable<LogMessage>) {
    this.#stop = new ChildController(signal);
    this.ended = this.#read(open(this.#stop.signal));
    this.ended.catch(() => undefined);
  }

  get texts(): string[] {
    return this.entries.map(({ text }) => text);
  }

  async #read(messages: AsyncIterable<LogMessage>): Promise<void> {
    for await (const { entries, sources } of messages) {
      this.entries.push(...entries);
      this.sources.push(...sources);
    }
    this.hasEnded = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.ended.catch(() => undefined);
  }
}

describeWithLab('logs of containers on real engines', () => {
  const directory = new TemporaryDirectory();
  let lab: Lab;
  let base: string;
  let coordinator: CoordinatorInProcess;
  let client: FairleadClient;
  let agents: AgentInProcess[];
  let services = 0;

  beforeAll(async () => {
    const images = await prepareImages({}, signal);
    base = images.base;
    lab = await Lab.start({ hosts: 2, images, label: 'logs' }, signal);
    coordinator = await CoordinatorInProcess.start(directory.join('state'));
    client = await connect({ address: coordinator.address, token: adminToken() });
    const { secret } = await client.control.createToken({ name: 'join', role: Role.NODE });
    agents = [1, 2].map((number) => startAgent(number, secret));
  });
  afterAll(async () => {
    await client[Symbol.asyncDispose]();
    for (const agent of agents) await agent[Symbol.asyncDispose]();
    await coordinator[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
    await removeBuild();
  });
  beforeEach(({ onTestFailed }) => {
    onTestFailed(() => {
      console.log(coordinator.log().slice(-1_500));
      for (const agent of agents) console.log(agent.log().slice(-1_500));
    });
  });
  afterEach(async () => {
    const { services: left } = await client.control.listServices({});
    for (const { name, state } of left) {
      if (state === ServiceState.TERMINATING) continue;
      await client.control.removeService({ service: name });
    }
  });

  function adminToken(): string {
    return readFileSync(directory.join('state/admin.token'), 'utf8').trim();
  }

  function startAgent(number: number, token?: string): AgentInProcess {
    const host = lab.hosts[number - 1]!;
    return new AgentInProcess({
      coordinator: coordinator.address,
      ...(token !== undefined && { token }),
      name: host.name,
      advertiseAddress: host.address,
      stateDir: `${host.directory}/agent`,
      dockerSocket: host.dockerSocket,
    });
  }

  /** Stops the coordinator, and starts it again at the same address. */
  async function restartCoordinator(): Promise<void> {
    const { address, httpPort } = coordinator;
    await coordinator[Symbol.asyncDispose]();
    coordinator = await CoordinatorInProcess.start(directory.join('state'), {
      listen: address,
      httpListen: `127.0.0.1:${httpPort}`,
    });
  }

  function specOf(script: string, replicas = 1) {
    return {
      image: base,
      replicas,
      strategy: PlacementStrategy.HIGH_AVAILABILITY,
      entrypoint: ['busybox', 'sh', '-c'],
      command: [script],
      readiness: { check: { $case: 'none' as const, value: {} } },
      stopGraceMs: 100,
    };
  }

  /** Starts a service of busybox containers that run a script; resolves when all run. */
  async function run(script: string, replicas = 1): Promise<string> {
    const name = `svc${++services}`;
    const { action } = await client.control.createService({
      name,
      spec: specOf(script, replicas),
      start: true,
    });
    await client.waitForAction(action!.id, { timeoutMs: 60_000 });
    return name;
  }

  async function settled(action: { readonly id: string } | undefined): Promise<void> {
    await client.waitForAction(action!.id, { timeoutMs: 60_000 });
  }

  async function whole(open: () => AsyncIterable<LogMessage>, lines: number): Promise<Reading> {
    return await eventually(async () => {
      const reading = new Reading(open);
      await reading.ended;
      expect(reading.entries.length).toBeGreaterThanOrEqual(lines);
      return reading;
    });
  }

  const ticking = 'i=0; while true; do i=$((i+1)); echo tick $i; sleep 0.05; done';
  const numbersOf = (texts: readonly string[]) => texts.map((text) => Number(text.split(' ')[1]));
  const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

  describe('of one container', () => {
    test('A4: come whole, output and errors apart, with their times', async () => {
      const name = await run(
        'for i in 1 2 3; do echo out $i; echo err $i >&2; done; exec sleep 600',
      );
      const container = `${name}-1`;
      const { entries, sources } = await whole(() => client.containerLogs({ container }), 6);
      const of = (stream: LogStream) =>
        entries.filter((entry) => entry.stream === stream).map(({ text }) => text);
      expect(of(LogStream.STDOUT)).toEqual(['out 1', 'out 2', 'out 3']);
      expect(of(LogStream.STDERR)).toEqual(['err 1', 'err 2', 'err 3']);
      expect(entries.every(({ time }) => /^\d{4}-.*T.*\.\d{9}Z$/.test(time))).toBe(true);
      const [first] = sources;
      expect(first).toMatchObject({ container, state: LogSourceState.READING });
      expect(sources.map(({ state }) => state)).toEqual([
        LogSourceState.READING,
        LogSourceState.ENDED,
      ]);
    });

    test('long lines come in parts', async () => {
      const name = await run(
        `head -c 40000 /dev/zero | tr '\\0' x; echo; echo next; exec sleep 600`,
      );
      const read = () => client.containerLogs({ container: `${name}-1` });
      const { entries } = await whole(read, 4);
      expect(entries.map(({ text, continued }) => [text.length, continued])).toEqual([
        [16_384, true],
        [16_384, true],
        [7_232, false],
        [4, false],
      ]);
    });

    test('A4: only the newest, only those of a time', async () => {
      const name = await run(
        'for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done; exec sleep 600',
      );
      const container = `${name}-1`;
      const { entries } = await whole(() => client.containerLogs({ container }), 5);
      const texts = async (range: object) => {
        const reading = new Reading(() => client.containerLogs({ container, ...range }));
        await reading.ended;
        return numbersOf(reading.texts);
      };
      expect(await texts({ tail: 2 })).toEqual([4, 5]);
      expect(await texts({ tail: 0 })).toEqual([]);
      // The API's times have milliseconds: one between two lines.
      const between = new Date(Date.parse(entries[2]!.time) - 20);
      expect(await texts({ since: between })).toEqual([3, 4, 5]);
      expect(await texts({ until: between })).toEqual([1, 2]);
      expect(
        await texts({ since: between, until: new Date(Date.parse(entries[4]!.time) - 20) }),
      ).toEqual([3, 4]);
      const ended = new Reading(() =>
        client.containerLogs({ container, follow: true, until: new Date(Date.now() + 300) }),
      );
      await ended.ended;
      expect(numbersOf(ended.texts)).toEqual([1, 2, 3, 4, 5]);
      await expect(texts({ since: between, until: between })).rejects.toThrow('later than since');
      await expect(texts({ tail: 100_001 })).rejects.toThrow('tail');
    });

    test('A4: follow what is written, over restarts of the process, and end with the container', async () => {
      const name = await run('echo begin; sleep 1; echo end');
      const container = `${name}-1`;
      await using reading = new Reading((until) =>
        client.containerLogs({ container, follow: true }, until),
      );
      // Its engine starts it again each time that it ends.
      await eventually(() => {
        expect(reading.texts.filter((text) => text === 'begin').length).toBeGreaterThanOrEqual(3);
      });
      expect(reading.hasEnded).toBe(false);
      await settled((await client.control.removeService({ service: name })).action);
      await reading.ended;
      const pairs = reading.texts.join(' ').replace(/ begin$/, '');
      expect(pairs).toMatch(/^(begin end ?)+$/);
    });

    test('of one that has not begun are refused, and waited for if they are followed', async () => {
      const setAll = async (availability: Availability) => {
        for (const node of ['host-1', 'host-2']) {
          await client.control.updateNode({ node, availability, updateMask: ['availability'] });
        }
      };
      await setAll(Availability.PAUSED);
      const name = `svc${++services}`;
      const container = `${name}-1`;
      await client.control.createService({
        name,
        spec: specOf('echo hello; sleep 600'),
        start: true,
      });
      await eventually(async () => {
        await expect(
          new Reading(() => client.containerLogs({ container })).ended,
        ).rejects.toMatchObject({ reason: 'CONTAINER_NOT_BEGUN' });
      });
      await using reading = new Reading((until) =>
        client.containerLogs({ container, follow: true }, until),
      );
      await eventually(() => {
        expect(reading.sources.at(-1)).toMatchObject({
          state: LogSourceState.WAITING,
          message: 'it waits for a node',
        });
      });
      await setAll(Availability.ACTIVE);
      await eventually(() => {
        expect(reading.texts).toEqual(['hello']);
      });
      expect(reading.sources.at(-1)?.state).toBe(LogSourceState.READING);
    });
  });

  describe('of a service', () => {
    test('are merged by time over hosts; the newest of all together', async () => {
      const name = await run(
        'for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done; exec sleep 600',
        4,
      );
      const { entries } = await whole(() => client.serviceLogs({ service: name }), 20);
      const times = entries.map(({ time }) => time);
      expect(times).toEqual([...times].sort());
      expect(new Set(entries.map(({ container }) => container)).size).toBe(4);
      const tail = new Reading(() => client.serviceLogs({ service: name, tail: 7 }));
      await tail.ended;
      expect(tail.entries).toEqual(entries.slice(-7));
      const none = new Reading(() => client.serviceLogs({ service: name, tail: 0 }));
      await none.ended;
      expect(none.entries).toEqual([]);
    });

    test('A4: are followed over scaling and a redeploy, until the service is gone', async () => {
      const name = await run(ticking, 2);
      await using reading = new Reading((until) =>
        client.serviceLogs({ service: name, follow: true, tail: 1 }, until),
      );
      const ids = () => new Set(reading.entries.map(({ containerId }) => containerId));
      await eventually(() => {
        expect(ids().size).toBe(2);
      });
      await settled((await client.control.scaleService({ service: name, replicas: 3 })).action);
      await settled((await client.control.redeployService({ service: name })).action);
      await eventually(() => {
        expect(ids().size).toBe(6);
      });
      await settled((await client.control.removeService({ service: name })).action);
      await reading.ended;
      for (const id of [...ids()].slice(2)) {
        const numbers = numbersOf(
          reading.entries.filter(({ containerId }) => containerId === id).map(({ text }) => text),
        );
        expect(numbers, 'from its first line to its last').toEqual(upTo(numbers.length));
      }
      const ended = reading.sources.filter(({ state }) => state === LogSourceState.ENDED);
      expect(new Set(ended.map(({ containerId }) => containerId))).toEqual(ids());
    });
  });

  describe('go on with no line lost or doubled', { timeout: 60_000 }, () => {
    test.each([
      ['the coordinator restarts', () => restartCoordinator()],
      [
        'the agents restart',
        async () => {
          for (const agent of agents) await agent[Symbol.asyncDispose]();
          agents = [1, 2].map((number) => startAgent(number));
        },
      ],
    ])('when %s', async (_what, interrupt) => {
      const name = await run(ticking, 2);
      await using reading = new Reading((until) =>
        client.serviceLogs({ service: name, follow: true }, until),
      );
      const perContainer = () => {
        const texts = new Map<string, string[]>();
        for (const { containerId, text } of reading.entries) {
          texts.set(containerId, [...(texts.get(containerId) ?? []), text]);
        }
        return [...texts.values()].map(numbersOf);
      };
      const each = async (more: number) => {
        const counts = perContainer().map(({ length }) => length);
        await eventually(
          () => {
            const now = perContainer();
            expect(now).toHaveLength(2);
            for (const [i, { length }] of now.entries()) {
              expect(length).toBeGreaterThan((counts[i] ?? 0) + more);
            }
          },
          { timeoutMs: 30_000 },
        );
      };
      await each(20);
      await interrupt();
      await each(20);
      await interrupt();
      await each(20);
      for (const numbers of perContainer()) expect(numbers).toEqual(upTo(numbers.length));
    });
  });

  describe('of what failed', { timeout: 60_000 }, () => {
    const planted = 'planted-in-an-environment-19d2';

    /** Begins a service that does not come up; the id of the action. */
    async function begin(script: string, spec: object): Promise<[name: string, action: string]> {
      const name = `svc${++services}`;
      const environment = { DATABASE_PASSWORD: planted };
      const { action } = await client.control.createService({
        ...{ name, start: true },
        spec: { ...specOf(script), environment, ...spec },
      });
      return [name, action!.id];
    }

    async function toldIn(action: string) {
      const { timeline } = (await client.control.getAction({ action })).action!;
      return timeline.filter(({ lines }) => lines.length > 0);
    }

    test('the last lines are in the action and with the container, without secrets', async () => {
      // By one pipe: the engine reads two of them in no order.
      const script =
        'exec >&2; for i in 1 2 3 4 5 6 7 8 9; do echo step $i; done; ' +
        'echo "no access with $DATABASE_PASSWORD"; exit 3';
      const [name, action] = await begin(script, { restart: RestartPolicy.ALWAYS });
      const lines = [
        ...[3, 4, 5, 6, 7, 8, 9].map((step) => `step ${step}`),
        'no access with [DATABASE_PASSWORD]',
      ];
      await eventually(
        async () => {
          expect(await toldIn(action)).toContainEqual(
            expect.objectContaining({
              ...{ container: `${name}-1`, lines },
              message: 'ended with status 3; it wrote last:',
            }),
          );
        },
        { timeoutMs: 30_000 },
      );
      const { container } = await client.control.getContainer({ container: `${name}-1` });
      expect(container?.failure).toMatchObject({ exitCode: 3, lines });
      const env = environmentOf(coordinator, adminToken());
      const { stdout } = await runCli(['explain', `${name}-1`], { env });
      expect(stdout).toContain('it failed with status 3');
      expect(stdout).toContain('| no access with [DATABASE_PASSWORD]');
      const { actions } = await client.control.listActions({});
      const { events } = await client.control.listEvents({ limit: 1_000 });
      const logs = coordinator.log() + agents.map((agent) => agent.log()).join('');
      expect(JSON.stringify([actions, events]) + stdout + logs).not.toContain(planted);
    });

    test('also of one that ran and was given up because it never was ready', async () => {
      const name = await run('exec sleep 600');
      const { action } = await client.control.updateService({
        service: name,
        spec: {
          command: ['echo waiting for the database; exec sleep 600'],
          readiness: { check: { $case: 'command', value: { command: ['false'] } } },
          update: { deadlineMs: 5_000 },
        },
        updateMask: ['command', 'readiness', 'update'],
      });
      await eventually(
        async () => {
          expect(await toldIn(action!.id)).toContainEqual(
            expect.objectContaining({
              ...{ container: `${name}-1`, lines: ['waiting for the database'] },
              message: 'was never ready; it wrote last:',
            }),
          );
        },
        { timeoutMs: 30_000 },
      );
    });
  });

  test('a reader that does not read slows the engine down, and one that goes away ends it all', async () => {
    const line = 'x'.repeat(100);
    const total = 100_000;
    const name = await run(`yes ${line} | head -n ${total}; echo done; exec sleep 600`);
    const container = `${name}-1`;
    await eventually(
      async () => {
        const end = new Reading(() => client.containerLogs({ container, tail: 1 }));
        await end.ended;
        expect(end.texts).toEqual(['done']);
      },
      { timeoutMs: 60_000 },
    );
    /** How many messages each stream had when it ended. */
    const messages = () =>
      agents
        .flatMap((agent) => [
          ...agent.logged('stream ended'),
          ...agent.logged('stream ended early'),
        ])
        .map(({ messages: count }) => Number(count));
    const reader = client.containerLogs({ container })[Symbol.asyncIterator]();
    await reader.next();
    await reader.next();
    // Another one is not held up by it, and takes as long as it takes to read all.
    const all = new Reading(() => client.containerLogs({ container }));
    await all.ended;
    expect(all.entries).toHaveLength(total + 1);
    await eventually(() => {
      expect(Math.max(...messages())).toBeGreaterThan(700);
    });
    const before = messages().length;
    await reader.return?.();
    await eventually(() => {
      expect(messages()).toHaveLength(before + 1);
    });
    // The one that did not read had what fills the buffers on the way.
    const [, ...others] = messages().sort((a, b) => b - a);
    expect(Math.max(...others)).toBeLessThan(300);
  });

  test('A4: of a container with a terminal are lines as well', async () => {
    const host = lab.hosts[0]!;
    const script = 'for i in 1 2 3; do echo line $i; done; head -c 20000 /dev/zero | tr "\\0" x';
    const command = [base, 'busybox', 'sh', '-c', script];
    const engineId = await host.docker(['run', '--detach', '--tty', ...command], signal);
    await host.docker(['wait', engineId], signal);
    const engine = new DockerodeEngine(
      { clock: systemClock },
      { socketPath: host.dockerSocket, nodeId: 'n' as NodeId },
    );
    await engine.connect(signal);
    const query = { follow: false, tail: undefined, since: undefined, until: undefined };
    const lines = [];
    for await (const batch of engine.logs(engineId, query, signal)) lines.push(...batch);
    expect(lines.map(({ data }) => data.toString()).slice(0, 3)).toEqual([
      ...['line 1', 'line 2', 'line 3'],
    ]);
    expect(Buffer.concat(lines.slice(3).map(({ data }) => data)).toString()).toBe(
      'x'.repeat(20_000),
    );
    await host.docker(['rm', engineId], signal);
  });

  test('over HTTPS come as lines of JSON', async () => {
    const name = await run('echo hello; exec sleep 600');
    await whole(() => client.containerLogs({ container: `${name}-1` }), 1);
    const answer = await coordinator.fetch('/fairlead.v1.ControlService/ServiceLogs', {
      method: 'POST',
      headers: {
        authorization: `Bearer ${adminToken()}`,
        'content-type': 'application/json',
        accept: 'application/x-ndjson',
      },
      body: JSON.stringify({ service: name }),
    });
    const documents = (await answer.text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { entries?: object[] });
    expect(documents.flatMap(({ entries = [] }) => entries)).toMatchObject([
      { container: `${name}-1`, stream: 'LOG_STREAM_STDOUT', text: 'hello' },
    ]);
  });

  test('on the command line: each line to its stream, with names and times if wanted', async () => {
    const name = await run(
      'echo out; sleep 0.1; echo err >&2; sleep 0.1; echo last; exec sleep 600',
    );
    await whole(() => client.containerLogs({ container: `${name}-1` }), 3);
    const env = environmentOf(coordinator, adminToken());
    const cli = (...args: string[]) => runCli(args, { env });
    expect(await cli('container', 'logs', `${name}-1`)).toEqual({
      ...{ status: 0, stdout: 'out\nlast\n', stderr: 'err\n' },
    });
    const tail = await cli('service', 'logs', name, '--tail', '1', '--timestamps');
    expect(tail.stdout).toMatch(new RegExp(`^${name}-1 \\| \\d{4}-\\S+Z last\\n$`));
    const json = await cli('service', 'logs', name, '--since', '1h', '--json');
    expect(json.stdout.split('\n').filter((line) => line !== '')).toHaveLength(3);
    expect(await cli('container', 'logs', 'nobody-1')).toMatchObject({ status: 3 });

    await using follower = await startCli(['service', 'logs', '--follow', '-n', '1', name], {
      env,
    });
    await eventually(() => {
      expect(follower.stdout).toBe(`${name}-1 | last\n`);
    });
    await settled((await client.control.redeployService({ service: name })).action);
    await eventually(() => {
      expect(follower.stdout).toBe(`${name}-1 | last\n${name}-1 | out\n${name}-1 | last\n`);
      expect(follower.stderr).toBe(`${name}-1 | err\n`);
    });
    follower.signal('SIGINT');
    expect(await follower.ended()).toBe(130);
  });

  test('of a node that is away: refused, or waited for', { timeout: 60_000 }, async () => {
    const name = await run(ticking, 2);
    const { containers } = await client.control.listContainers({
      services: [name],
      nodes: ['host-2'],
    });
    const container = containers[0]!.name;
    await agents[1]![Symbol.asyncDispose]();
    await eventually(
      async () => {
        await expect(
          new Reading(() => client.containerLogs({ container })).ended,
        ).rejects.toMatchObject({ reason: 'NODE_NOT_CONNECTED' });
      },
      { timeoutMs: 20_000 },
    );
    await using reading = new Reading((until) =>
      client.containerLogs({ container, follow: true }, until),
    );
    await eventually(() => {
      expect(reading.sources.map(({ state }) => state)).toContain(LogSourceState.WAITING);
    });
    agents[1] = startAgent(2);
    await eventually(() => {
      expect(reading.entries.length).toBeGreaterThan(10);
    });
    expect(numbersOf(reading.texts)).toEqual(upTo(reading.entries.length));
  });
});
