import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  ActionState,
  connect,
  Role,
  Status,
  type ExecCommand,
  type ExecContainerRequest,
  type ExecInput,
  type FairleadClient,
} from '../../../../client/index.ts';
import { ChildController } from '../../../../shared/abort.ts';
import { Wakeup } from '../../../../shared/wakeup.ts';
import { CoordinatorInProcess } from '../../../support/coordinator-in-process.ts';
import { eventually } from '../../../support/eventually.ts';
import { prepareImages } from '../../../support/lab/images.ts';
import { Lab } from '../../../support/lab/lab.ts';
import { describeWithLab } from '../../../support/needs.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { AgentInProcess } from '../../agent/node/agent-in-process.ts';
import {
  buildCli,
  environmentOf,
  removeBuild,
  runCli,
  startCli,
} from '../../client/cli-process.ts';

const { signal } = new AbortController();
const secret = 'planted-in-an-environment-77a1';

/** A command that runs, and what came of it so far. */
class Execution implements AsyncDisposable {
  stdout = Buffer.alloc(0);
  stderr = Buffer.alloc(0);
  action = '';
  code: number | undefined;
  /** Settles when it ends, with the failure if it failed. */
  readonly ended: Promise<void>;
  readonly #inputs: ExecInput['input'][] = [];
  readonly #wakeup = new Wakeup();
  readonly #life = new ChildController(signal);
  #isClosed = false;

  constructor(client: FairleadClient, container: string, command: Partial<ExecCommand>) {
    this.ended = this.#run(client, container, command);
    this.ended.catch(() => undefined);
  }

  send(input: ExecInput['input']): void {
    this.#inputs.push(input);
    this.#wakeup.notify();
  }

  /** Sends nothing more. */
  close(): void {
    this.#isClosed = true;
    this.#wakeup.notify();
  }

  /** Goes away. */
  abandon(): void {
    this.#life.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abandon();
    await this.ended.catch(() => undefined);
  }

  async #run(client: FairleadClient, container: string, command: Partial<ExecCommand>) {
    const requests = this.#requests(container, command);
    const { signal: until } = this.#life;
    for await (const { message } of client.control.execContainer(requests, { signal: until })) {
      if (message?.$case === 'started') this.action = message.value.action;
      const output = message?.$case === 'output' ? message.value.output : undefined;
      if (output?.$case === 'stdout') this.stdout = Buffer.concat([this.stdout, output.value]);
      if (output?.$case === 'stderr') this.stderr = Buffer.concat([this.stderr, output.value]);
      if (output?.$case === 'exit') this.code = output.value.code;
    }
  }

  async *#requests(
    container: string,
    command: Partial<ExecCommand>,
  ): AsyncGenerator<ExecContainerRequest> {
    const whole: ExecCommand = {
      ...{ command: [], terminal: false, interactive: false, user: '', workingDir: '' },
      ...{ environment: {}, size: undefined },
      ...command,
    };
    yield { message: { $case: 'start', value: { container, command: whole } } };
    while (!this.#life.signal.aborted) {
      const input = this.#inputs.shift();
      if (input !== undefined) yield { message: { $case: 'input', value: { input } } };
      else if (this.#isClosed) return;
      else await this.#wakeup.wait(this.#life.signal);
    }
  }
}

describeWithLab('commands inside of containers on a real engine', () => {
  const directory = new TemporaryDirectory();
  let lab: Lab;
  let coordinator: CoordinatorInProcess;
  let client: FairleadClient;
  let agent: AgentInProcess;

  beforeAll(async () => {
    const images = await prepareImages({}, signal);
    lab = await Lab.start({ hosts: 1, images, label: 'exec' }, signal);
    coordinator = await CoordinatorInProcess.start(directory.join('state'));
    client = await connect({ address: coordinator.address, token: adminToken() });
    const { secret: token } = await client.control.createToken({ name: 'join', role: Role.NODE });
    agent = startAgent(token);
    const { action } = await client.control.createService({
      name: 'web',
      spec: {
        image: images.base,
        entrypoint: ['busybox', 'sh', '-c'],
        // What a shell finds in a real image.
        command: ['busybox --install -s /bin; echo installed; exec sleep 100000'],
        readiness: { check: { $case: 'none', value: {} } },
        stopGraceMs: 100,
      },
      start: true,
    });
    await client.waitForAction(action!.id, { timeoutMs: 60_000 });
    await eventually(async () => {
      const lines = [];
      for await (const { entries } of client.containerLogs({ container: 'web-1' })) {
        lines.push(...entries);
      }
      expect(lines).toHaveLength(1);
    });
  });
  afterAll(async () => {
    await client[Symbol.asyncDispose]();
    await agent[Symbol.asyncDispose]();
    await coordinator[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
    await removeBuild();
  });
  beforeEach(({ onTestFailed }) => {
    onTestFailed(() => {
      console.log(coordinator.log().slice(-1_500), agent.log().slice(-1_500));
    });
  });

  function startAgent(token?: string): AgentInProcess {
    const host = lab.hosts[0]!;
    return new AgentInProcess({
      ...{ coordinator: coordinator.address, name: host.name },
      ...(token !== undefined && { token }),
      ...{ advertiseAddress: host.address, stateDir: `${host.directory}/agent` },
      dockerSocket: host.dockerSocket,
    });
  }

  function adminToken(): string {
    return readFileSync(directory.join('state/admin.token'), 'utf8').trim();
  }

  /** Runs a command to its end. */
  async function run(...command: string[]): Promise<Execution> {
    return await finished({ command });
  }

  async function finished(command: Partial<ExecCommand>): Promise<Execution> {
    const execution = new Execution(client, 'web-1', command);
    execution.close();
    await execution.ended;
    return execution;
  }

  /** What runs in the container now, one line a process. */
  async function processes(): Promise<string> {
    const { stdout } = await run('ps', '-o', 'args');
    return stdout.toString();
  }

  async function actionOf(id: string) {
    return (await client.control.getAction({ action: id })).action!;
  }

  describe('the exit status', () => {
    test.each([
      ['of one that does well', ['true'], 0],
      ['of one that does not', ['sh', '-c', 'exit 42'], 42],
      ['of one that a signal ended', ['sh', '-c', 'kill -9 $$'], 137],
    ])('%s', async (_what, command, code) => {
      const execution = await run(...command);
      expect(execution.code).toBe(code);
      expect(await actionOf(execution.action)).toMatchObject({
        ...{ method: 'ExecContainer', targetName: 'web-1', principal: 'admin' },
        ...{ state: ActionState.SUCCEEDED, message: `exit status ${code}` },
      });
    });

    test('of one that is not there, with the words of the engine', async () => {
      const { code, stdout, stderr } = await run('no-such-program');
      expect([126, 127]).toContain(code);
      expect(stdout.toString() + stderr.toString()).toContain('no-such-program');
    });

    test('of one that cannot be run, such as for a user who is not there', async () => {
      const { code, stdout, stderr } = await finished({ command: ['true'], user: 'nobody-here' });
      expect(code).toBe(126);
      expect(stdout.toString() + stderr.toString()).toContain('nobody-here');
    });
  });

  test('output and errors come apart, all of them', async () => {
    const { stdout, stderr } = await run(
      ...['sh', '-c', 'yes out | head -n 200000; yes err | head -n 100000 >&2'],
    );
    expect(stdout.toString()).toBe('out\n'.repeat(200_000));
    expect(stderr.toString()).toBe('err\n'.repeat(100_000));
  });

  test('A14: input goes in as it is, and its end is told', async () => {
    const bytes = randomBytes(1_000_000);
    await using execution = new Execution(client, 'web-1', {
      ...{ command: ['sha256sum'], interactive: true },
    });
    for (let at = 0; at < bytes.length; at += 16_384) {
      execution.send({ $case: 'stdin', value: bytes.subarray(at, at + 16_384) });
    }
    execution.send({ $case: 'stdinEnd', value: {} });
    await execution.ended;
    const sum = createHash('sha256').update(bytes).digest('hex');
    expect(execution.stdout.toString()).toContain(sum);
  });

  test('runs as a user, in a directory, with variables that are told to nobody', async () => {
    const { stdout, action } = await finished({
      ...{ command: ['sh', '-c', 'id -u; pwd; echo $PLANTED'], user: '65534', workingDir: '/tmp' },
      environment: { PLANTED: secret },
    });
    expect(stdout.toString()).toBe(`65534\n/tmp\n${secret}\n`);
    const told = await actionOf(action);
    expect(told.timeline.map(({ message }) => message)).toEqual(['runs sh -c …']);
    expect(told.peer).toMatch(/^127\.0\.0\.1:/);
    const { events } = await client.control.listEvents({ limit: 1_000 });
    expect(events.filter(({ actionId }) => actionId === action).map(({ type }) => type)).toEqual([
      ...['container.exec', 'action.succeeded'],
    ]);
    expect(JSON.stringify([told, events]) + coordinator.log() + agent.log()).not.toContain(secret);
  });

  test('A14: has a terminal, of the size that is asked for', async () => {
    await using execution = new Execution(client, 'web-1', {
      command: ['sh', '-c', 'test -t 0 && echo terminal; while read -r x; do stty size; done'],
      ...{ terminal: true, interactive: true, size: { rows: 33, columns: 77 } },
    });
    const becomes = async (text: string) => {
      await eventually(() => {
        execution.send({ $case: 'stdin', value: Buffer.from('\n') });
        expect(execution.stdout.toString()).toContain(text);
      });
    };
    await becomes('terminal\r\n');
    await becomes('33 77\r\n');
    execution.send({ $case: 'resize', value: { rows: 40, columns: 100 } });
    await becomes('40 100\r\n');
    // Ctrl-D.
    execution.send({ $case: 'stdin', value: Buffer.from('\u0004') });
    await execution.ended;
    expect(execution.code).toBe(0);
  });

  test('gets signals', async () => {
    await using execution = new Execution(client, 'web-1', {
      command: [
        'sh',
        '-c',
        'trap "echo got it; exit 3" INT; echo set; while :; do sleep 0.1; done',
      ],
    });
    await eventually(() => {
      expect(execution.stdout.toString()).toBe('set\n');
    });
    execution.send({ $case: 'signal', value: 'INT' });
    await execution.ended;
    expect(execution.stdout.toString()).toBe('set\ngot it\n');
    expect(execution.code).toBe(3);
  });

  test.each([
    ['without a terminal', { terminal: false, user: '' }],
    ['with a terminal', { terminal: true, user: '' }],
    ['of another user', { terminal: false, user: '65534' }],
  ])('ends when its caller goes, %s, with what it started', async (_what, how) => {
    await using execution = new Execution(client, 'web-1', {
      ...{ command: ['sh', '-c', 'trap "" HUP TERM; echo on; sleep 4711; sleep 4712'], ...how },
    });
    await eventually(() => {
      expect(execution.stdout.toString()).toContain('on');
    });
    expect(await processes()).toContain('sleep 4711');
    execution.abandon();
    await eventually(async () => {
      expect(await processes()).not.toMatch(/sleep 471[12]/);
    });
    await eventually(async () => {
      expect(await actionOf(execution.action)).toMatchObject({
        ...{
          state: ActionState.FAILED,
          message: 'the caller went away, or the coordinator stopped',
        },
      });
    });
  });

  test('ends when the token of its caller is revoked', async () => {
    const made = await client.control.createToken({ name: 'mallory', role: Role.OPERATOR });
    await using operator = await connect({ address: coordinator.address, token: made.secret });
    await using execution = new Execution(operator, 'web-1', {
      command: ['sh', '-c', 'echo on; sleep 4714'],
    });
    await eventually(() => {
      expect(execution.stdout.toString()).toContain('on');
    });
    await client.control.revokeToken({ token: 'mallory' });
    await expect(execution.ended).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
    await eventually(async () => {
      expect(await processes()).not.toContain('sleep 4714');
      expect(await actionOf(execution.action)).toMatchObject({
        ...{ principal: 'mallory', state: ActionState.FAILED, message: 'its token was revoked' },
      });
    });
  });

  test('ends when the agent does, and its caller hears that it was lost', async () => {
    await using execution = new Execution(client, 'web-1', {
      command: ['sh', '-c', 'echo on; sleep 4715'],
    });
    await eventually(() => {
      expect(execution.stdout.toString()).toContain('on');
    });
    await agent[Symbol.asyncDispose]();
    await expect(execution.ended).rejects.toMatchObject({
      ...{ code: Status.UNAVAILABLE, reason: 'NODE_LOST' },
    });
    agent = startAgent();
    await eventually(
      async () => {
        expect(await processes()).not.toContain('sleep 4715');
      },
      { timeoutMs: 20_000 },
    );
    expect((await actionOf(execution.action)).state).toBe(ActionState.FAILED);
  });

  describe('goes no faster than the slower side', () => {
    /** Resolves when a count has grown and then stands still. */
    async function standsStill(count: () => Promise<number> | number): Promise<number> {
      let before = -1;
      return await eventually(
        async () => {
          const now = await count();
          const isStill = now > 0 && now === before;
          before = now;
          expect(isStill).toBe(true);
          return now;
        },
        { timeoutMs: 20_000, intervalMs: 500 },
      );
    }

    /** Reads to the end. */
    async function rest(answers: AsyncIterator<unknown>): Promise<void> {
      while ((await answers.next()).done !== true);
    }

    test('output waits for its reader', async () => {
      const life = new AbortController();
      const script =
        'i=0; while :; do i=$((i+1)); echo $i > /tmp/written; head -c 65536 /dev/zero; done';
      async function* requests() {
        const command = { command: ['sh', '-c', script] };
        yield { message: { $case: 'start' as const, value: { container: 'web-1', command } } };
        await new Promise((resolve) => {
          life.signal.addEventListener('abort', resolve);
        });
      }
      const answers = client.control
        .execContainer(requests(), { signal: life.signal })
        [Symbol.asyncIterator]();
      await answers.next();
      const written = await standsStill(async () => {
        const { stdout } = await run('cat', '/tmp/written');
        return Number(stdout.toString());
      });
      expect(written * 65_536, 'what fills the buffers on the way').toBeLessThan(16 * 1024 ** 2);
      life.abort();
      await expect(rest(answers)).rejects.toThrow();
    });

    test('input waits for the command, which ends with its caller all the same', async () => {
      const life = new AbortController();
      let sent = 0;
      async function* requests() {
        const command = { command: ['sleep', '4716'], interactive: true };
        yield { message: { $case: 'start' as const, value: { container: 'web-1', command } } };
        await Promise.resolve();
        while (!life.signal.aborted) {
          sent++;
          const input = { $case: 'stdin' as const, value: Buffer.alloc(16_384) };
          yield { message: { $case: 'input' as const, value: { input } } };
        }
      }
      const answers = client.control
        .execContainer(requests(), { signal: life.signal })
        [Symbol.asyncIterator]();
      await answers.next();
      expect(await standsStill(() => sent)).toBeLessThan(1_024);
      expect(await processes()).toContain('sleep 4716');
      life.abort();
      await expect(rest(answers)).rejects.toThrow();
      await eventually(async () => {
        expect(await processes()).not.toContain('sleep 4716');
      });
    });
  });

  test('is refused where nothing runs, and for what is no command', async () => {
    const failure = async (container: string, command: Partial<ExecCommand>) => {
      const execution = new Execution(client, container, command);
      execution.close();
      return await execution.ended.then(
        () => undefined,
        (error: unknown) => error as { reason: string; code: Status },
      );
    };
    expect(await failure('web-9', { command: ['true'] })).toMatchObject({
      reason: 'CONTAINER_NOT_FOUND',
    });
    expect(await failure('web-1', { command: [] })).toMatchObject({ reason: 'INVALID_REQUEST' });
  });

  test('over HTTPS is refused with the reason', async () => {
    const answer = await coordinator.fetch('/fairlead.v1.ControlService/ExecContainer', {
      method: 'POST',
      headers: { authorization: `Bearer ${adminToken()}`, 'content-type': 'application/json' },
      body: '{}',
    });
    expect(answer.status).toBe(501);
    expect(await answer.text()).toContain('make it over gRPC');
  });

  test('what a viewer tried is refused, and noted', async () => {
    const { secret: token } = await client.control.createToken({ name: 'eve', role: Role.VIEWER });
    await using viewer = await connect({ address: coordinator.address, token });
    const execution = new Execution(viewer, 'web-1', { command: ['true'] });
    await expect(execution.ended).rejects.toMatchObject({ reason: 'PERMISSION_DENIED' });
    const { events } = await client.control.listEvents({ limit: 1_000 });
    const refused = events.filter(({ type }) => type === 'access.refused');
    expect(refused.at(-1)).toMatchObject({ objectName: 'eve' });
    expect(refused.at(-1)?.message).toContain('ExecContainer');
  });

  describe('on the command line', () => {
    const env = () => environmentOf(coordinator, adminToken());

    test('A14: the exit status is that of the command, and output goes where it belongs', async () => {
      const script = 'echo out; echo err >&2; exit 9';
      const args = ['container', 'exec', 'web-1', '--', 'sh', '-c', script];
      expect(await runCli(args, { env: env() })).toEqual({
        ...{ status: 9, stdout: 'out\n', stderr: 'err\n' },
      });
    });

    test('what is piped in is its input', async () => {
      const input = 'line\n'.repeat(50_000);
      const args = ['container', 'exec', '-i', '-w', '/tmp', '-e', 'A=b', 'web-1', '--'];
      const counted = await runCli([...args, 'sh', '-c', 'wc -c; pwd; echo $A'], {
        ...{ env: env(), input },
      });
      expect(counted).toMatchObject({ status: 0, stderr: '' });
      expect(counted.stdout.split('\n').map((line) => line.trim())).toEqual([
        ...[String(input.length), '/tmp', 'b', ''],
      ]);
    });

    test('in a terminal it has one of the same size, and keys go to the command', async () => {
      const entry = await buildCli();
      // An engine may set the size a moment after the beginning.
      const inside =
        'until stty size 2>&1 | grep 33; do sleep 0.1; done; read -r line; echo "got $line"; exit 7';
      const words = [process.execPath, entry, 'container', 'exec', '-it', 'web-1', '--'];
      const line = `stty rows 33 cols 77; ${words.join(' ')} sh -c '${inside}'`;
      const { PATH = '' } = process.env;
      const terminal = spawn('script', ['-qec', line, '/dev/null'], {
        env: { PATH, TERM: 'xterm', ...env() },
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      let shown = '';
      terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
        shown += text;
      });
      const closed = once(terminal, 'close');
      await eventually(() => {
        expect(shown).toContain('33 77');
      });
      terminal.stdin.write('hello\r');
      expect(await closed).toEqual([7, null]);
      // What is typed is echoed once: by the terminal inside.
      expect(shown.match(/hello/g)).toHaveLength(2);
      expect(shown).toContain('got hello');
    });

    test('an interrupt goes to the command', async () => {
      const script = 'trap "echo cut; exit 5" INT; echo set; while :; do sleep 0.1; done';
      const args = ['container', 'exec', 'web-1', '--', 'sh', '-c', script];
      await using cli = await startCli(args, { env: env() });
      await eventually(() => {
        expect(cli.stdout).toBe('set\n');
      });
      cli.signal('SIGINT');
      expect(await cli.ended()).toBe(5);
      expect(cli.stdout).toBe('set\ncut\n');
    });

    test('what fails before it begins has the exit status that it always has', async () => {
      const args = ['container', 'exec', 'web-7', '--', 'true'];
      expect(await runCli(args, { env: env() })).toMatchObject({ status: 3 });
      const noTerminal = ['container', 'exec', '-it', 'web-1', '--', 'sh'];
      expect(await runCli(noTerminal, { env: env(), input: '' })).toMatchObject({ status: 2 });
    });
  });

  // Last: the others need the coordinator.
  test('ends when the coordinator does, which then says so', { timeout: 60_000 }, async () => {
    await using execution = new Execution(client, 'web-1', {
      command: ['sh', '-c', 'echo on; sleep 4713'],
    });
    await eventually(() => {
      expect(execution.stdout.toString()).toContain('on');
    });
    const { address, httpPort } = coordinator;
    await coordinator[Symbol.asyncDispose]();
    await expect(execution.ended).rejects.toMatchObject({ code: Status.UNAVAILABLE });
    coordinator = await CoordinatorInProcess.start(directory.join('state'), {
      ...{ listen: address, httpListen: `127.0.0.1:${httpPort}` },
    });
    await eventually(
      async () => {
        expect(await processes()).not.toContain('sleep 4713');
      },
      { timeoutMs: 30_000 },
    );
    const { state } = await actionOf(execution.action);
    expect(state).toBe(ActionState.FAILED);
  });
});
