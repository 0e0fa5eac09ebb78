import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { createConnection, createServer as createTcpServer, type AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testAuthority } from '../support/test-authority.ts';
import { eventually } from '../support/eventually.ts';
import { cgroupDirectories } from '../support/lab/cgroups.ts';
import { FaultyLink } from '../support/lab/faulty-link.ts';
import type { ImageSeed } from '../support/lab/image-seed.ts';
import { buildImages, prepareImages } from '../support/lab/images.ts';
import { installMissing } from '../support/lab/install.ts';
import type { LabHost } from '../support/lab/lab-host.ts';
import { Lab } from '../support/lab/lab.ts';
import { labsDirectory } from '../support/lab/plan.ts';
import { isStopped } from '../support/lab/proc.ts';
import { reasonsAgainst, requirements } from '../support/lab/requirements.ts';
import { describeWithLab } from '../support/needs.ts';
import { TemporaryDirectory } from '../support/temporary-directory.ts';

const { signal } = new AbortController();
const hello = 'fairlead-lab/hello:1';
const labProgram = new URL('../support/lab/main.ts', import.meta.url).pathname;

describeWithLab('a lab', () => {
  let images: ImageSeed;
  let lab: Lab;
  let host1: LabHost;
  let host2: LabHost;

  beforeAll(async () => {
    images = await prepareImages({ hello }, signal);
    lab = await Lab.start({ hosts: 2, images }, signal);
    [host1, host2] = lab.hosts as [LabHost, LabHost];
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
    expect(tracesOf(lab.id)).toEqual([]);
  });

  test('runs an engine of its own on each host, under the name of the host', async () => {
    const facts = await Promise.all(
      lab.hosts.map((host) => host.docker(['info', '--format', '{{.Name}} {{.ID}}'], signal)),
    );
    const names = facts.map((fact) => fact.split(' ')[0]);
    const ids = new Set(facts.map((fact) => fact.split(' ')[1]));
    expect(names).toEqual(['host-1', 'host-2']);
    expect(ids.size).toBe(2);
  });

  test('lets containers reach the gateway and ports published on other hosts', async () => {
    await using server = await serveAt(lab.gateway);
    const url = await runHello(host2, 'neighbour', 8081);
    await eventually(() => fetchText(url));

    const wget = (address: string) =>
      host1.docker(['run', '--rm', images.base, 'wget', '-q', '-O-', address], signal);
    expect(await wget(server.url)).toBe('the gateway');
    expect(await wget(url)).toContain('My hostname is neighbour');
  });

  test('spawns processes on a host and in the root namespace', async () => {
    const serve = `require('http').createServer((q, r) => r.end(os.hostname() + process.env.WORD)).listen(8082)`;
    const onHost = await host1.spawn('node', ['-e', serve], { env: { WORD: ' speaks' } });
    expect(await eventually(() => fetchText(`http://${host1.address}:8082/`))).toBe(
      'host-1 speaks',
    );
    await onHost.stop(5000, signal);
    await eventually(() => {
      expect(onHost.exitStatus).toEqual({ code: null, signal: 'SIGTERM' });
    });

    const atRoot = await lab.spawn('sh', ['-c', 'echo done; exit 3'], { name: 'short' });
    await atRoot.exited(signal);
    await eventually(() => {
      expect(atRoot.exitStatus).toEqual({ code: 3, signal: null });
    });
    expect(atRoot.log()).toBe('done\n');
    await expect(lab.spawn('no-such-command', [])).rejects.toThrow('could not be started');
  });

  test('loses every packet of a cut link, and delivers again what was sent once it is healed', async () => {
    const url = await runHello(host2, 'cut-off', 8083);
    await eventually(() => fetchText(url));

    await host2.link.cut(signal);
    const answer = fetchText(url);
    expect(await outcomeWithin(1500, answer)).toBe('nothing');
    await host2.link.heal(signal);
    expect(await answer).toContain('My hostname is cut-off');
  });

  test('freezes every process of a host, in containers too, and thaws them', async () => {
    const url = await runHello(host2, 'frozen', 8084);
    await eventually(() => fetchText(url));

    await host2.freeze(signal);
    expect(host2.processes().every(isStopped)).toBe(true);
    const answers = [fetchText(url), host2.docker(['version'], signal)];
    expect(await outcomeWithin(1000, Promise.any(answers))).toBe('nothing');
    await host2.thaw(signal);
    expect((await Promise.all(answers))[0]).toContain('My hostname is frozen');
  });

  test('restarts an engine without losing its containers', async () => {
    const url = await runHello(host1, 'kept', 8085);
    await eventually(() => fetchText(url));
    await host1.stopEngine(signal);
    await expect(host1.docker(['version'], signal)).rejects.toThrow('docker.sock');
    await host1.startEngine(signal);
    expect(await stateOf(host1, 'kept')).toBe('exited');
    await host1.docker(['start', 'kept'], signal);
    await eventually(() => fetchText(url));
  });

  test('kills an engine and lets its containers go on', async () => {
    const url = await runHello(host1, 'orphan', 8086);
    await eventually(() => fetchText(url));
    await host1.killEngine(signal);
    expect(await fetchText(url)).toContain('My hostname is orphan');
    await host1.startEngine(signal);
    await eventually(async () => {
      expect(await stateOf(host1, 'orphan')).toBe('exited');
    });
  });

  test('cuts the power of a host so that nobody hears of it, and boots it again', async () => {
    const url = await runHello(host2, 'always', 8087, ['--restart', 'always']);
    await eventually(() => fetchText(url));
    const connection = createConnection({ host: host2.address, port: 8087 });
    await once(connection, 'connect');
    const goodbye = Promise.race([once(connection, 'close'), once(connection, 'end')]);

    await host2.kill(signal);
    expect(host2.processes()).toEqual([]);
    expect(await outcomeWithin(1000, Promise.any([goodbye, fetchText(url)]))).toBe('nothing');
    connection.destroy();

    await host2.startEngine(signal);
    expect(await eventually(() => fetchText(url))).toContain('My hostname is always');
  });

  test('builds images on running engines', async () => {
    const engines = [host1.dockerSocket, host2.dockerSocket] as const;
    await buildImages(engines, { hello: 'fairlead-lab/hello:2' }, signal);
    const ids = lab.hosts.map((host) =>
      host.docker(['image', 'inspect', '--format', '{{.Id}}', 'fairlead-lab/hello:2'], signal),
    );
    expect(await ids[0]).toBe(await ids[1]);
  });

  test('keeps containers running while an engine with live-restore is away', async () => {
    await using live = await Lab.start({ hosts: 1, images, engine: { liveRestore: true } }, signal);
    const host = live.hosts[0]!;
    const url = await runHello(host, 'live', 8088);
    await eventually(() => fetchText(url));
    await host.stopEngine(signal);
    expect(await fetchText(url)).toContain('My hostname is live');
    await host.startEngine(signal);
    expect(await stateOf(host, 'live')).toBe('running');
  });

  test('outlives its owner when it is kept, and is removed by another process', async () => {
    await using owner = await startElsewhere(['--keep']);
    await owner.ended;
    expect(Lab.list()).toContainEqual(
      expect.objectContaining({ id: owner.labId, kept: true, orphaned: false }),
    );

    const attached = Lab.attach(owner.labId);
    expect(await attached.hosts[0]!.docker(['ps', '--quiet'], signal)).toBe('');
    await attached.hosts[0]!.kill(signal);
    await attached.hosts[0]!.startEngine(signal);
    await attached[Symbol.asyncDispose]();
    expect(await Lab.sweep(signal)).not.toContain(owner.labId);

    await Lab.remove(owner.labId, signal);
    expect(tracesOf(owner.labId)).toEqual([]);
    expect(() => Lab.attach(owner.labId)).toThrow('there is no lab');
  });

  test('is swept when its owner was killed', async () => {
    await using owner = await startElsewhere([]);
    expect(Lab.list()).toContainEqual(
      expect.objectContaining({ id: owner.labId, orphaned: false }),
    );
    owner.kill();
    await owner.ended;
    const sweeps = await Promise.all([Lab.sweep(signal), Lab.sweep(signal)]);
    expect(sweeps.flat()).toContain(owner.labId);
    expect(tracesOf(owner.labId)).toEqual([]);
  });

  test('never kills a process that was given the pid of one of its own', async () => {
    const stranger = spawn('sleep', ['60']);
    const short = await Lab.start({ hosts: 1 }, signal);
    const record = { pid: stranger.pid, startTime: 1, name: 'agent', logPath: '/dev/null' };
    writeFileSync(`${short.directory}/processes/reused.json`, JSON.stringify(record));
    await short[Symbol.asyncDispose]();
    expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
    stranger.kill();
    await once(stranger, 'exit');
  });

  test('has a subnet of its own however many start at once', async () => {
    const labs = await Promise.all([1, 2, 3].map(() => Lab.start({ hosts: 1 }, signal)));
    expect(new Set([lab, ...labs].map(({ gateway }) => gateway)).size).toBe(4);
    await Promise.all(labs.map((other) => other[Symbol.asyncDispose]()));
    expect(labs.flatMap(({ id }) => tracesOf(id))).toEqual([]);
  });

  test('leaves no trace when its start is given up', async () => {
    const before = Lab.list().map(({ id }) => id);
    const giveUp = new AbortController();
    const start = Lab.start({ hosts: 2 }, giveUp.signal);
    const id = await eventually(() => {
      const added = Lab.list().find((candidate) => !before.includes(candidate.id));
      expect(added).toBeDefined();
      expect(readdirSync(`${labsDirectory()}/${added!.id}/processes`)).not.toEqual([]);
      return added!.id;
    });
    giveUp.abort();
    await expect(start).rejects.toThrow('aborted');
    expect(tracesOf(id)).toEqual([]);
  });
});

describeWithLab('the page that says which container answered', () => {
  let lab: Lab;
  let host: LabHost;

  beforeAll(async () => {
    lab = await Lab.start({ hosts: 1, images: await prepareImages({ hello }, signal) }, signal);
    host = lab.hosts[0]!;
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  test('shows links and API powers, and no other variable', async () => {
    const requests: (string | undefined)[] = [];
    const tls = await testAuthority.serverAt(lab.gateway);
    await using api = await serveAt(lab.gateway, {
      tls,
      onRequest: ({ headers }) => {
        requests.push(headers.authorization);
      },
    });
    const variables = {
      WEB_1_PORT_80_TCP: 'tcp://10.0.0.5:80',
      WEB_1_PORT: 'tcp://10.0.0.5:80',
      FAIRLEAD_AUTH: 'Bearer secret',
      FAIRLEAD_SERVICE_API_URL: api.url,
      FAIRLEAD_CA: testAuthority.bundle,
    };
    const env = Object.entries(variables).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
    const url = await runHello(host, 'web-1', 8081, env);
    const page = await eventually(() => fetchText(url));

    expect(page.split('\n')).toContain('My hostname is web-1');
    expect(page.split('\n')).toContain('WEB_1_PORT_80_TCP=tcp://10.0.0.5:80');
    expect(page.split('\n')).toContain('I have Fairlead API powers!');
    expect(page).not.toContain('WEB_1_PORT=');
    expect(page).not.toContain('secret');
    expect(requests).toEqual(['Bearer secret']);
    expect((await fetch(new URL('/env', url))).status).toBe(404);
  });

  test('is ready when it was told to be', async () => {
    const url = await runHello(host, 'web-2', 8082, ['-e', 'READY_AFTER_MS=1500']);
    const statusOf = async () => (await fetch(new URL('/healthz', url))).status;
    expect(await eventually(statusOf)).toBe(503);
    await eventually(async () => {
      expect(await statusOf()).toBe(200);
    });
  });

  test('finishes the requests it has when it is stopped, and ends at once after', async () => {
    const url = await runHello(host, 'web-3', 8083);
    await eventually(() => fetchText(url));
    const slow = fetchText(`${url}?delay=1500`);
    await eventually(() => fetchText(url));
    await host.docker(['stop', '--time', '9', 'web-3'], signal);
    expect(await slow).toContain('My hostname is web-3');
    expect(await exitCodeOf(host, 'web-3')).toBe('0');
  });

  test('crashes only when it may', async () => {
    const crash = (url: string) => fetch(new URL('/crash', url), { method: 'POST' });
    const careful = await runHello(host, 'web-4', 8084);
    expect((await eventually(() => crash(careful))).status).toBe(404);

    const reckless = await runHello(host, 'web-5', 8085, ['-e', 'ALLOW_CRASH=1']);
    await eventually(() => fetchText(reckless));
    await expect(crash(reckless)).rejects.toThrow();
    await eventually(async () => {
      expect(await exitCodeOf(host, 'web-5')).toBe('1');
    });
  });
});

describeWithLab('the image of the load balancer', () => {
  let lab: Lab;
  let host: LabHost;
  const tag = 'fairlead-lab/proxy:1';

  // Crashes at once the first time, leaving a child behind; then waits to be told to stop.
  const agent = `
    const { spawn } = require('node:child_process');
    const { existsSync, writeFileSync } = require('node:fs');
    process.on('SIGTERM', () => { console.log('told to stop'); process.exit(7); });
    if (existsSync('/tmp/crashed')) {
      console.log('second start', process.argv.slice(2).join(' '));
      setTimeout(() => {}, 1e9);
    } else {
      writeFileSync('/tmp/crashed', '');
      spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' }).unref();
      spawn('sleep', ['0'], { detached: true, stdio: 'ignore' }).unref();
      setTimeout(() => process.exit(3), 200);
    }`;

  beforeAll(async () => {
    await using directory = new TemporaryDirectory();
    const bundlePath = directory.join('agent.cjs');
    writeFileSync(bundlePath, agent);
    const images = await prepareImages({ proxy: { tag, bundlePath } }, signal);
    lab = await Lab.start({ hosts: 1, images }, signal);
    host = lab.hosts[0]!;
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  test.each([
    { shell: 'busybox', options: [], script: [] },
    {
      shell: 'dash',
      options: ['--volume', '/bin/dash:/bin/dash:ro', '--entrypoint', '/bin/dash'],
      script: ['/usr/local/lib/fairlead/proxy-entrypoint.sh'],
    },
  ])('starts a crashed agent again and passes on the order to stop ($shell)', async (variant) => {
    const name = `lb-${variant.shell}`;
    const command = [tag, ...variant.script, '--flag', 'value'];
    await host.docker(['run', '--detach', '--name', name, ...variant.options, ...command], signal);
    await eventually(async () => {
      expect(await host.docker(['logs', name], signal)).toContain('second start --flag value');
    });
    const processes = await host.docker(['top', name, '-o', 'pid,stat,args'], signal);
    expect(processes).toContain('sleep 1000');
    expect(processes).not.toContain('<defunct>');

    await host.docker(['stop', '--time', '30', name], signal);
    expect(await host.docker(['logs', name], signal)).toContain('told to stop');
    expect(await exitCodeOf(host, name)).toBe('7');
  });

  test('says where it listens and what it does when it is stopped', async () => {
    const format = '{{json .Config.ExposedPorts}} {{json .Config.Env}}';
    const config = await host.docker(['image', 'inspect', '--format', format, tag], signal);
    for (const part of ['"80/tcp"', '"443/tcp"', '"1936/tcp"', 'FAIRLEAD_PROXY_ON_STOP=stop']) {
      expect(config).toContain(part);
    }
    await host.docker(['run', '--rm', '--entrypoint', 'haproxy', tag, '-v'], signal);
  });
});

describe('a faulty link', () => {
  test('delays each direction, in order and without limiting the rate', async () => {
    await using echo = await startEcho();
    await using link = await FaultyLink.start({ target: echo }, signal);
    link.delay(150);
    const connection = await dial(link);
    const startedAt = performance.now();
    const payload = Buffer.alloc(8_000_000, 'abcdefg');
    connection.end(payload);
    const chunks: Buffer[] = [];
    for await (const chunk of connection) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).equals(payload)).toBe(true);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(300);
  });

  test('keeps what is sent into a cut until it is healed', async () => {
    await using echo = await startEcho();
    await using link = await FaultyLink.start({ target: echo }, signal);
    const before = await dial(link);
    link.cut();
    const during = await dial(link);
    before.write('before');
    during.write('during');
    const replies = [once(before, 'data'), once(during, 'data')];
    expect(await outcomeWithin(300, Promise.any(replies))).toBe('nothing');
    await link.heal();
    expect((await Promise.all(replies)).map(String)).toEqual(['before', 'during']);
    before.destroy();
    during.destroy();
  });

  test('refuses new connections and lets the old ones go on', async () => {
    await using echo = await startEcho();
    await using link = await FaultyLink.start({ target: echo }, signal);
    const old = await dial(link);
    link.refuse();
    await expect(dial(link)).rejects.toThrow('ECONNREFUSED');
    old.write('still here');
    expect(String(await once(old, 'data'))).toBe('still here');
    await link.heal();
    (await dial(link)).destroy();
    old.destroy();
  });

  test('resets what is connected', async () => {
    await using echo = await startEcho();
    await using link = await FaultyLink.start({ target: echo }, signal);
    const connection = await dial(link);
    connection.write('x');
    await once(connection, 'data');
    const failure = once(connection, 'close').catch(String);
    link.reset();
    expect(await failure).toContain('ECONNRESET');
    (await dial(link)).destroy();
  });
});

describe('the requirements of a lab', () => {
  test('name the package of every missing command, and say what cannot be mended', () => {
    const command = { command: 'dockerd', debianPackage: 'docker.io', why: 'engines' };
    expect(
      reasonsAgainst({ missing: [command], unsuitable: [{ what: 'not root', why: 'needed' }] }),
    ).toEqual(['not root: needed', 'no dockerd (package docker.io): engines']);
    expect(reasonsAgainst(requirements())).toEqual(expect.any(Array));
  });

  test('are left alone when nothing is missing', async () => {
    const log: string[] = [];
    await installMissing([], { log: (line) => log.push(line) }, signal);
    expect(log).toEqual([]);
  });
});

async function runHello(
  host: LabHost,
  name: string,
  port: number,
  args: readonly string[] = [],
): Promise<string> {
  const identity = ['--name', name, '--hostname', name, '--publish', `${port}:80`];
  await host.docker(['run', '--detach', ...identity, ...args, hello], signal);
  return `http://${host.address}:${port}/`;
}

async function stateOf(host: LabHost, name: string): Promise<string> {
  return await host.docker(['inspect', '--format', '{{.State.Status}}', name], signal);
}

async function exitCodeOf(host: LabHost, name: string): Promise<string> {
  return await host.docker(['inspect', '--format', '{{.State.ExitCode}}', name], signal);
}

/** A new connection for each request, which waits for an answer as long as it takes. */
async function fetchText(url: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => {
        resolve(body);
      });
      response.on('error', reject);
    }).on('error', reject);
  });
}

async function outcomeWithin(ms: number, promise: Promise<unknown>): Promise<string> {
  const settled = promise.then(
    (value) => `value: ${String(value)}`,
    (error: unknown) => `failure: ${String(error)}`,
  );
  let timer: NodeJS.Timeout | undefined;
  const nothing = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, ms, 'nothing');
  });
  const outcome = await Promise.race([settled, nothing]);
  clearTimeout(timer);
  return outcome;
}

async function serveAt(
  host: string,
  {
    tls,
    onRequest,
  }: {
    readonly tls?: { readonly cert: string; readonly key: string };
    readonly onRequest?: (request: IncomingMessage) => void;
  } = {},
): Promise<AsyncDisposable & { url: string }> {
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    onRequest?.(request);
    response.end('the gateway');
  };
  const server = tls === undefined ? createServer(answer) : createSecureServer(tls, answer);
  server.listen(0, host);
  await once(server, 'listening');
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${host}:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function startEcho(): Promise<AsyncDisposable & { host: string; port: number }> {
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}

async function dial({ host, port }: { host: string; port: number }) {
  const connection = createConnection({ host, port });
  await once(connection, 'connect');
  return connection;
}

/** A lab of one host that another process owns; killed with its process if the test fails. */
async function startElsewhere(args: readonly string[]) {
  const program = ['--import', 'tsx', labProgram, 'up', '--hosts', '1', ...args];
  const child: ChildProcess = spawn(process.execPath, program, {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const [labId] = (await once(createInterface(child.stdout!), 'line')) as [string];
  return {
    labId,
    ended,
    kill: () => child.kill('SIGKILL'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
      if (Lab.list().some(({ id }) => id === labId)) await Lab.remove(labId, signal);
    },
  };
}

/** Everything on this machine that still speaks of a lab. */
function tracesOf(id: string): string[] {
  const read = (path: string) => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  };
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    // A zombie is nothing but a number until whoever is pid 1 here takes note of it.
    .filter((pid) => !/^State:\s+Z/m.test(read(`/proc/${pid}/status`)))
    .filter((pid) =>
      ['cmdline', 'environ', 'cgroup'].some((file) => read(`/proc/${pid}/${file}`).includes(id)),
    )
    .map((pid) => `process ${pid}: ${read(`/proc/${pid}/cmdline`)}`);
  const mounts = read('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => line.includes(id));
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  const named = [
    ...namespaces,
    ...readdirSync('/sys/class/net'),
    ...readdirSync(labsDirectory()),
  ].filter((name) => name.includes(id));
  return [...processes, ...mounts, ...named, ...cgroupDirectories(`/fairlead-lab-${id}`)];
}
