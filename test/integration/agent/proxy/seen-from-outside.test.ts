import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { FrontendMode, FrontendTls } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { eventually } from '../../../support/eventually.ts';
import {
  aSnapshot,
  aTarget,
  FakeProxyCoordinator,
  proxyToken,
} from '../../../support/fake-proxy-coordinator.ts';
import {
  freePort,
  get,
  HaproxyDirectory,
  haproxyProgram,
  proxyConfig,
  RunningProxyAgent,
  TestBackend,
} from '../../../support/haproxy.ts';
import { aProtoRoute } from '../../../support/routes.ts';
import { SiteAuthority } from '../../../support/site-certificates.ts';

const root = fileURLToPath(new URL('../../../..', import.meta.url));

test('gives metrics of routes and servers, by names that hold the container, at its one address', async () => {
  const [port, metricsPort] = [await freePort(), await freePort()];
  const statsPort = await freePort();
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [aTarget({ id: 'web-1.a.80', port: backend.port })] }),
  );
  const config = proxyConfig({
    ...{ coordinator: coordinator.address, stateDir: directory.path, metricsPort, statsPort },
  });
  await using _agent = new RunningProxyAgent(config);
  await eventually(() => {
    expect(coordinator.appliedVersion).toBe(1);
  });
  for (let i = 0; i < 3; i++) await get(port);
  const { body } = await get(metricsPort, '/metrics');
  expect(body).toContain(
    'haproxy_server_http_responses_total{proxy="web",server="web-1.a.80",code="2xx"} 3',
  );
  expect(body).toContain('haproxy_frontend_http_requests_total{proxy="http"} 3');
  expect((await get(metricsPort, '/')).status).toBe(404);
  expect(directory.read('haproxy.cfg')).toContain(`bind 127.0.0.1:${metricsPort}`);
  // Without a password of somebody's own there is no statistics page.
  await expect(get(statsPort)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('counts what is done by each route, also where two lead to the same servers, and what is refused', async () => {
  const [port, tcpPort, metricsPort] = [await freePort(), await freePort(), await freePort()];
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  const routes = [
    { id: 'web.shop', backend: 'web', split: [], route: aProtoRoute({ hosts: ['shop.test'] }) },
    {
      ...{ id: 'web.admin', backend: 'web', split: [] },
      route: aProtoRoute({ hosts: ['admin.test'], deny: ['127.0.0.0/8'] }),
    },
    { id: 'web.idle', backend: 'web', split: [], route: aProtoRoute({ hosts: ['idle.test'] }) },
  ];
  const open = {
    id: 'db.open',
    backend: 'bytes',
    split: [],
    route: aProtoRoute({ kind: 20, port: tcpPort }),
  };
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, {
      frontends: [
        { name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'web', routes },
        {
          ...{ name: 'tcp', port: tcpPort, mode: FrontendMode.TCP, defaultBackend: 'bytes' },
          routes: [open],
        },
      ],
      backends: [
        { name: 'web', mode: FrontendMode.HTTP },
        { name: 'bytes', mode: FrontendMode.TCP },
      ],
      targets: [
        aTarget({ id: 'web-1.a.80', port: backend.port }),
        aTarget({ id: 'db-1.a.80', backend: 'bytes', port: backend.port }),
      ],
    }),
  );
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path, metricsPort }),
  );
  await eventually(() => {
    expect(coordinator.appliedVersion).toBe(1);
  });
  const statuses = [];
  for (const host of ['shop.test', 'shop.test', 'admin.test', 'elsewhere.test']) {
    statuses.push((await get(port, '/', { headers: { host } })).status);
  }
  expect(statuses).toEqual([200, 200, 403, 200]);
  expect((await get(tcpPort)).status).toBe(200);
  // What went by is counted when a request is over.
  await eventually(async () => {
    const { body } = await get(metricsPort, '/metrics/routes');
    const rows = body.split('\n').filter((line) => /^fairlead_route_(?!bytes)/.test(line));
    expect(rows).toEqual([
      'fairlead_route_requests_total{route="db.open"} 0',
      'fairlead_route_requests_total{route="web.admin"} 1',
      'fairlead_route_requests_total{route="web.shop"} 2',
      'fairlead_route_client_errors_total{route="db.open"} 0',
      'fairlead_route_client_errors_total{route="web.admin"} 1',
      'fairlead_route_client_errors_total{route="web.shop"} 0',
      'fairlead_route_server_errors_total{route="db.open"} 0',
      'fairlead_route_server_errors_total{route="web.admin"} 0',
      'fairlead_route_server_errors_total{route="web.shop"} 0',
      'fairlead_route_connections_total{route="db.open"} 1',
    ]);
    expect(body).toMatch(/fairlead_route_bytes_out_total\{route="web.shop"\} [1-9]/);
  });
  // HAProxy's own are where they were.
  expect((await get(metricsPort, '/metrics')).body).toContain(
    'haproxy_server_http_responses_total',
  );
});

test('serves without metrics, and says so, where HAProxy was built without them', async () => {
  const [port, metricsPort] = [await freePort(), await freePort()];
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  const plain = join(directory.path, 'haproxy-without-exporter');
  const lines = [
    '#!/bin/sh',
    `case "$*" in -vv) ${haproxyProgram} -vv | grep -v prometheus ;; *) exec ${haproxyProgram} "$@" ;; esac`,
  ];
  writeFileSync(plain, `${lines.join('\n')}\n`, { mode: 0o700 });
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, { targets: [aTarget({ id: 'web-1.a.80', port: backend.port })] }),
  );
  const config = proxyConfig({
    ...{ coordinator: coordinator.address, stateDir: directory.path, metricsPort, haproxy: plain },
  });
  await using _agent = new RunningProxyAgent(config);
  await eventually(() => {
    expect(coordinator.appliedVersion).toBe(1);
    expect(coordinator.status?.message).toContain(`no metrics at port ${metricsPort}`);
  });
  expect((await get(port)).status).toBe(200);
  expect(directory.read('haproxy.cfg')).not.toContain('prometheus');
});

test('writes a line of JSON for every request, whatever its client says, and goes on without the agent', async () => {
  const [port, tcpPort] = [await freePort(), await freePort()];
  // Takes requests and answers none.
  const broken = createServer((socket) => {
    socket.on('error', () => undefined).once('data', () => socket.destroy());
  }).listen(0, '127.0.0.1');
  await once(broken, 'listening');
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  const route = { ...aProtoRoute({ hosts: ['shop.example.com'] }) };
  const http = { name: 'http', port, mode: FrontendMode.HTTP, defaultBackend: 'web' };
  const tcp = { name: 'tcp', port: tcpPort, mode: FrontendMode.TCP, defaultBackend: 'bytes' };
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, {
      frontends: [
        { ...http, routes: [{ id: 'web.shop', backend: 'web', split: [], route }] },
        { ...tcp, routes: [] },
      ],
      backends: [
        { name: 'web', mode: FrontendMode.HTTP },
        { name: 'bytes', mode: FrontendMode.TCP },
      ],
      targets: [
        aTarget({ id: 'db-1.a.80', backend: 'bytes', port: backend.port }),
        aTarget({ id: 'web-1.a.80', port: backend.port }),
        aTarget({ id: 'web-2.b.80', port: (broken.address() as AddressInfo).port }),
      ],
    }),
  );
  const { address } = coordinator;
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'agent/proxy/entry.ts')], {
    cwd: root,
    env: {
      PATH: process.env['PATH'],
      ...{ FAIRLEAD_COORDINATOR: address, FAIRLEAD_TOKEN: proxyToken, FAIRLEAD_SERVICE: 'lb' },
      ...{ FAIRLEAD_STATE_DIR: directory.path, FAIRLEAD_STATS_PORT: '0' },
      ...{ FAIRLEAD_ACCESS_LOG: 'on', FAIRLEAD_LOG_LEVEL: 'silent' },
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const end = async () => {
    broken.close();
    child.stdout.destroy();
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  };
  await using _end = { [Symbol.asyncDispose]: end };
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  const lines = () =>
    output
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const timings = (...names: string[]) =>
    Object.fromEntries(names.map((name) => [name, expect.any(Number) as unknown]));
  const logged = (path: string) =>
    eventually(() => {
      const entry = lines().find((each) => each['path'] === path);
      expect(entry).toBeDefined();
      return entry!;
    });
  await eventually(() => {
    expect(coordinator.appliedVersion).toBe(1);
  });

  await get(port, '/plain?secret=1', { headers: { host: 'shop.example.com' } });
  expect(await logged('/plain')).toMatchObject({
    ...{ client: '127.0.0.1', frontend: 'http', backend: 'web', method: 'GET', status: 200 },
    ...{ host: 'shop.example.com', tls: '-', end: '----', route: 'web.shop', retries: '0' },
    ...timings('time', 'queueMs', 'connectMs', 'requestMs', 'responseMs', 'totalMs'),
    ...timings('bytesIn', 'bytesOut'),
    server: expect.stringMatching(/^web-\d\.[ab]\.80$/) as string,
  });
  expect(output).not.toContain('secret');
  // Of connections each is a line.
  await get(tcpPort, '/bytes');
  await eventually(() => {
    const [connection, ...others] = lines().filter(({ frontend }) => frontend === 'tcp');
    expect(connection).toMatchObject({
      ...{ client: '127.0.0.1', backend: 'bytes', server: 'db-1.a.80', retries: '0', end: '--' },
      ...timings('time', 'queueMs', 'connectMs', 'totalMs', 'bytesIn', 'bytesOut'),
    });
    expect(others).toEqual([]);
  });
  // Half of these meet the broken server first.
  for (let i = 0; i < 4; i++) await get(port, '/retried');
  await eventually(() => {
    const retried = lines().filter(({ retries }) => retries === '+1');
    expect(retried.map(({ server, status }) => `${String(server)} ${String(status)}`)).toContain(
      'web-1.a.80 200',
    );
  });

  // Words that would end the string, or the line, if nobody looked.
  const nasty = connect(port, '127.0.0.1');
  nasty.write(
    'GET /a"b\\c\'}{%[x] HTTP/1.1\r\nHost: "},{"x":"\\"\xff\r\nConnection: close\r\n\r\n',
    'latin1',
  );
  nasty.resume();
  await once(nasty, 'close');
  const bad = connect(port, '127.0.0.1');
  bad.write('N"OT http {at all\r\n\r\n');
  bad.resume();
  await once(bad, 'close');
  await get(port, '/after');
  await logged('/after');
  expect(lines().length).toBe(9);
  // As long as they may be, of what takes the most room: they are cut, and the line is whole.
  const long = '/"\\'.repeat(3_000);
  await get(port, long, { headers: { host: 'h'.repeat(1_000) } });
  const cut = await logged(long.slice(0, 800));
  expect(cut).toMatchObject({ host: 'h'.repeat(255), status: 200, end: '----', tls: '-' });
  const method = 'PROPFIND'.padEnd(1_000, 'X');
  await get(port, `/${'p'.repeat(900)}`, { method });
  expect(await logged(`/${'p'.repeat(799)}`)).toMatchObject({ method });
  const longest = output.split('\n').map((line) => line.length);
  expect(Math.max(...longest)).toBeLessThan(4_096);

  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
  await get(port, '/alone');
  await logged('/alone');
  child.stdout.destroy();
  // Nobody reads any more: HAProxy serves on.
  for (let i = 0; i < 20; i++) expect((await get(port)).status).toBe(200);
});

test('shows no secret in what everybody on its host sees of its HAProxy, nor in its own words', async () => {
  const site = await (await SiteAuthority.make()).site('www.example.com');
  const [port, statsPort] = [await freePort(), await freePort()];
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  const frontend = { name: 'https', port, mode: FrontendMode.HTTP, defaultBackend: 'web' };
  const targets = [aTarget({ id: 'web-1.a.80', port: backend.port })];
  await using coordinator = await FakeProxyCoordinator.start(
    aSnapshot(port, {
      frontends: [{ ...frontend, routes: [], tls: FrontendTls.fromPartial({}) }],
      targets,
    }),
  );
  coordinator.hand({ a: site });
  const password = 'planted-password-of-the-statistics';
  const config = proxyConfig({
    ...{ coordinator: coordinator.address, stateDir: directory.path },
    ...{ statsPort, statsAuth: `joe:${password}` },
  });
  await using agent = new RunningProxyAgent(config);
  await eventually(() => {
    expect(coordinator.serving).toEqual({ a: site.serialNumber });
  });
  // It has what is not to be seen.
  expect(directory.read('haproxy.cfg')).toContain(password);
  const processes = readdirSync('/proc').flatMap((pid) => {
    const cmdline = readOrNothing(`/proc/${pid}/cmdline`);
    if (!cmdline.includes(join(directory.path, 'haproxy.cfg'))) return [];
    return [{ cmdline, environment: readOrNothing(`/proc/${pid}/environ`) }];
  });
  // The one that was started, and the one that serves.
  expect(processes.length).toBeGreaterThan(1);
  const secrets = [proxyToken.split('_')[2]!.slice(0, 43), password, site.key.split('\n')[2]!];
  for (const { cmdline, environment } of processes) {
    for (const secret of secrets) expect(cmdline + environment).not.toContain(secret);
    // What its master tells it, and where programs are.
    const names = environment.split('\0').flatMap((text) => text.split('=')[0] || []);
    expect(names.filter((name) => !/^(PATH|HAPROXY_[A-Z_]+)$/.test(name))).toEqual([]);
  }
  for (const secret of secrets) expect(JSON.stringify(agent.log)).not.toContain(secret);
});

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It has ended, or is no process.
    return '';
  }
}
