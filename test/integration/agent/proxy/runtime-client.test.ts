import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { capabilitiesOf } from '../../../../agent/proxy/capabilities.ts';
import { renderConfig } from '../../../../agent/proxy/config-file.ts';
import { pausesMap } from '../../../../agent/proxy/pause-rules.ts';
import { HaproxyProcess } from '../../../../agent/proxy/haproxy-process.ts';
import { askMaster, RuntimeClient } from '../../../../agent/proxy/runtime-client.ts';
import { commandsOf } from '../../../../agent/proxy/server-commands.ts';
import {
  parseInfo,
  parseProcesses,
  parseServersState,
} from '../../../../agent/proxy/server-state.ts';
import { statePaths } from '../../../../agent/proxy/state-directory.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { createLogger } from '../../../../shared/logger.ts';
import { freePort, HaproxyDirectory, haproxyProgram } from '../../../support/haproxy.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const never = new AbortController().signal;

/** What starts a HAProxy with an empty backend `web`. */
async function haproxyOf(
  directory: HaproxyDirectory,
  binary = haproxyProgram,
): Promise<HaproxyProcess> {
  const paths = statePaths(directory.path);
  const port = await freePort();
  const config = renderConfig(
    {
      frontends: [{ name: 'http', port, protocol: 'http', defaultBackend: 'web', routes: [] }],
      backends: [{ name: 'web', protocol: 'http' }],
      targets: [],
      description: 'fairlead rev=0 ports=',
    },
    {
      maxConnections: 100,
      adminSocketPath: paths.adminSocket,
      serverStatePath: paths.serverState,
      handoffSocketPath: paths.handoffSocket,
      mapPath: (name) => join(paths.directory, name),
      statsPort: 0,
      statsAuth: undefined,
      ...{ metricsPort: 0, metricsAddress: '127.0.0.1', accessLog: false, pausePort: 1_053 },
      tls: { certificateList: '', clientCa: () => '' },
    },
  );
  writeFileSync(join(paths.directory, pausesMap), '');
  writeFileSync(paths.config, [...config].join(''));
  return new HaproxyProcess(
    paths,
    {
      binary,
      commandTimeoutMs: 2_000,
      startTimeoutMs: 10_000,
      sharesOutput: false,
      capabilitiesOf,
    },
    { clock: systemClock, log: createLogger({ level: 'silent', process: 'test' }) },
  );
}

async function startHaproxy(directory: HaproxyDirectory): Promise<HaproxyProcess> {
  const haproxy = await haproxyOf(directory);
  (await haproxy.start(never)).client.close();
  return haproxy;
}

test('answers many commands in one write in their order, refusals among them', async () => {
  await using directory = new HaproxyDirectory();
  await startHaproxy(directory);
  using client = await RuntimeClient.open(
    { socketPath: statePaths(directory.path).adminSocket, timeoutMs: 5_000 },
    never,
  );
  const replies = await client.sendAll([
    'add server web/a 127.0.0.1:1 check',
    'add server web/a 127.0.0.1:1 check',
    'add server nowhere/a 127.0.0.1:1',
    'set server web/a state ready',
    'del server web/a',
    'frobnicate',
    'show servers state',
  ]);
  expect(replies.map(({ refusal }) => refusal !== undefined)).toEqual([
    false,
    true,
    true,
    false,
    true,
    true,
    false,
  ]);
  expect(replies[1]?.refusal).toEqual({
    command: 'add server web/a 127.0.0.1:1 check',
    message: 'Already exists a server with the same name in backend.',
  });
  expect(parseServersState(replies[6]?.text ?? '')).toContainEqual(
    expect.objectContaining({ id: 'a', mode: 'ready' }),
  );
  await expect(client.query('del server web/a')).rejects.toThrow(
    'HAProxy refused "del server web/a": Only servers in maintenance mode can be deleted.',
  );
});

test('takes a thousand servers in one write', async () => {
  await using directory = new HaproxyDirectory();
  await startHaproxy(directory);
  using client = await RuntimeClient.open(
    { socketPath: statePaths(directory.path).adminSocket, timeoutMs: 5_000 },
    never,
  );
  const commands = Array.from({ length: 1_000 }, (_, index) =>
    commandsOf({
      kind: 'add',
      target: {
        id: `web-${index}.1f0c9a2b.80`,
        backend: 'web',
        address: '127.0.0.1',
        port: 1,
        mode: 'ready',
        drainTimeoutMs: 0,
        container: '',
        containerId: '',
      },
    }),
  ).flat();
  const lines: string[] = [];
  const [replies, state, , info] = await Promise.all([
    client.sendAll(commands),
    client.query('show servers state'),
    client.readLines('show servers state', (line) => lines.push(line)),
    client.query('show info'),
  ]);
  expect(replies.filter(({ refusal }) => refusal !== undefined)).toEqual([]);
  expect(parseServersState(state).filter(({ backend }) => backend === 'web').length).toBe(1_000);
  // Line by line it is the same, and what was asked after it has its own answer.
  expect(parseServersState(lines.join('\n'))).toEqual(parseServersState(state));
  expect(parseInfo(info).pid).toBeGreaterThan(0);
});

test('throws what is wrong with an answer that is read line by line, and goes on', async () => {
  await using directory = new HaproxyDirectory();
  await startHaproxy(directory);
  using client = await RuntimeClient.open(
    { socketPath: statePaths(directory.path).adminSocket, timeoutMs: 5_000 },
    never,
  );
  const read: string[] = [];
  const take = (line: string) => read.push(line);
  await expect(client.readLines('frobnicate', take)).rejects.toThrow(
    'HAProxy refused "frobnicate": Unknown command',
  );
  await expect(client.readLines('del server web/none', take)).rejects.toThrow('No such server');
  expect(read).toEqual([]);
  const failing = client.readLines('show info', () => {
    throw new Error('cannot be read');
  });
  await expect(failing).rejects.toThrow('cannot be read');
  await client.readLines('set severity-output number', take);
  expect(read).toEqual([]);
  await client.readLines('show backend', take);
  expect(read).toContain('web');
});

test('tells when HAProxy dies, and fails what waits for an answer', async () => {
  await using directory = new HaproxyDirectory();
  const haproxy = await startHaproxy(directory);
  const { client, info } = await haproxy.connect(never);
  const closed = new Promise<void>((resolve) => {
    client.onClose(resolve);
  });
  process.kill(info.pid, 'SIGKILL');
  await closed;
  await expect(client.query('show info')).rejects.toThrow();
  expect(await haproxy.gone(5_000, never)).toBe(true);
});

test('asks the master, which names its worker', async () => {
  await using directory = new HaproxyDirectory();
  const haproxy = await startHaproxy(directory);
  const { pid } = await directory.info();
  expect((await haproxy.processesOnceLoaded(never)).workers).toEqual([pid]);
  const options = { socketPath: statePaths(directory.path).masterSocket, timeoutMs: 2_000 };
  expect(parseProcesses(await askMaster('show proc', options, never)).oldWorkers).toEqual([]);
  expect(await askMaster(`@!${pid} show info`, options, never)).toContain(`Pid: ${pid}`);
});

test('says what HAProxy has against a configuration, on a check and on a start', async () => {
  await using directory = new HaproxyDirectory();
  const haproxy = await startHaproxy(directory);
  const paths = statePaths(directory.path);
  writeFileSync(paths.candidate, 'global\n  nonsense 1\n');
  expect(await haproxy.check(paths.candidate, never)).toContain("unknown keyword 'nonsense'");
  expect(await haproxy.check(paths.config, never)).toBeUndefined();

  await haproxy.stop(5_000);
  writeFileSync(paths.config, 'global\n  nonsense 1\n');
  await expect(haproxy.start(never)).rejects.toThrow("unknown keyword 'nonsense'");
});

test('a program that cannot be started is said, and started once it can', async () => {
  await using directory = new HaproxyDirectory();
  const program = join(directory.path, 'program');
  const haproxy = await haproxyOf(directory, program);
  await expect(haproxy.start(never)).rejects.toThrow(`could not be started: spawn ${program}`);
  // As while a package is replaced.
  writeFileSync(program, '', { mode: 0o600 });
  await expect(haproxy.start(never)).rejects.toThrow('EACCES');
  writeFileSync(program, '#!/bin/sh\nexit 3\n');
  chmodSync(program, 0o700);
  await expect(haproxy.start(never)).rejects.toThrow('HAProxy ended with status 3');
  writeFileSync(program, `#!/bin/sh\nexec ${haproxyProgram} "$@"\n`);
  (await haproxy.start(never)).client.close();
});

/** Something that accepts and answers as it likes. */
async function listen(path: string, onLine: (socket: Socket) => void): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket
      .on('error', () => undefined)
      .on('data', () => {
        onLine(socket);
      });
  }).listen(path);
  await once(server, 'listening');
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

test('gives up on a HAProxy that does not answer', async () => {
  await using directory = new TemporaryDirectory();
  const socketPath = directory.join('s');
  await using _silent = await listen(socketPath, () => undefined);
  await expect(RuntimeClient.open({ socketPath, timeoutMs: 50 }, never)).rejects.toThrow(
    'HAProxy did not answer "prompt" within 50 ms',
  );
  await expect(askMaster('show proc', { socketPath, timeoutMs: 50 }, never)).rejects.toThrow(
    'did not answer "show proc" in time',
  );
});

test('an answer of the master that breaks off is none', async () => {
  await using directory = new TemporaryDirectory();
  const socketPath = directory.join('s');
  let answer = '';
  await using _master = await listen(socketPath, (socket) => socket.end(answer));
  const ask = async (said: string) => {
    answer = said;
    return await askMaster('show proc', { socketPath, timeoutMs: 5_000 }, never);
  };
  const whole = ['\n', 'no such worker\n', '# head\nrow 1\nrow 2\n\n'];
  for (const each of whole) expect(await ask(each)).toBe(each);
  for (const part of ['no such wor', '# head', '# head\n', '# head\nrow', '# head\nrow 1\n']) {
    await expect(ask(part)).rejects.toThrow('broke off its answer to "show proc"');
  }
});

test('puts together answers that come in pieces', async () => {
  await using directory = new TemporaryDirectory();
  const socketPath = directory.join('s');
  const answers = ['\n> \n> ', '[6]: one\nmore\n\n> [3]: two\n\n> '];
  await using _slow = await listen(socketPath, (socket) => {
    const answer = answers.shift() ?? '';
    // Each byte in a packet of its own.
    let last = Promise.resolve();
    for (const byte of answer) {
      last = last.then(
        () =>
          new Promise((resolve) => {
            socket.write(byte, () => setImmediate(resolve));
          }),
      );
    }
  });
  using client = await RuntimeClient.open({ socketPath, timeoutMs: 5_000 }, never);
  const replies = client.sendAll(['first', 'second']);
  expect((await replies).map(({ text, refusal }) => [text, refusal?.message])).toEqual([
    ['one\nmore', undefined],
    ['two', 'two'],
  ]);
});

test('takes hundreds of answers that come one by one, and hears of an end in the middle of them', async () => {
  await using directory = new TemporaryDirectory();
  const socketPath = directory.join('s');
  const answer = async (socket: Socket, count: number) => {
    for (let i = 0; i < count; i++) {
      await new Promise((resolve) => socket.write(`${i}\n\n> `, resolve));
    }
  };
  const turns = [
    (socket: Socket) => socket.write('\n> \n> '),
    (socket: Socket) => answer(socket, 600),
    (socket: Socket) => answer(socket, 300).then(() => socket.end()),
  ];
  await using _eager = await listen(socketPath, (socket) => {
    void turns.shift()?.(socket);
  });
  using client = await RuntimeClient.open({ socketPath, timeoutMs: 5_000 }, never);
  const commands = Array.from({ length: 600 }, (_, index) => `command ${index}`);
  const resolved = await client.sendAll(commands);
  expect(resolved.map(({ text }) => text)).toEqual(commands.map((_, index) => String(index)));
  await expect(client.sendAll(commands)).rejects.toThrow('HAProxy closed the connection');
});

test('fails at once where nobody listens, and when it is stopped', async () => {
  await using directory = new TemporaryDirectory();
  const socketPath = directory.join('s');
  await expect(RuntimeClient.open({ socketPath, timeoutMs: 5_000 }, never)).rejects.toThrow(
    'ENOENT',
  );
  await expect(
    RuntimeClient.open({ socketPath, timeoutMs: 5_000 }, AbortSignal.abort()),
  ).rejects.toThrow('abort');
});
