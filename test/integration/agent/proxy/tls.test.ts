import { readdirSync, readFileSync, statSync } from 'node:fs';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import type { Route } from '../../../../shared/gen/fairlead/v1/route.ts';
import { ClientCertificates, TlsPolicy } from '../../../../shared/gen/fairlead/v1/tls.ts';
import {
  FrontendMode,
  type BackendSnapshot,
  type FrontendTls,
} from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { DrivenProxy } from '../../../support/driven-proxy.ts';
import { eventually } from '../../../support/eventually.ts';
import {
  aSnapshot,
  aTarget,
  FakeProxyCoordinator,
} from '../../../support/fake-proxy-coordinator.ts';
import {
  freePort,
  HaproxyDirectory,
  proxyConfig,
  RunningProxyAgent,
  TestBackend,
} from '../../../support/haproxy.ts';
import { aProtoRoute } from '../../../support/routes.ts';
import { SiteAuthority, type Site } from '../../../support/site-certificates.ts';
import { askTls, getHttp2, getTls, shownFor, untilShown } from '../../../support/tls-client.ts';

let authority: SiteAuthority;
let a: Site;
let nextA: Site;
let b: Site;

beforeAll(async () => {
  authority = await SiteAuthority.make();
  a = await authority.site('a.example.com');
  nextA = await authority.site('a.example.com');
  b = await authority.site(['b.example.com', '*.b.example.com'], { key: 'RSA 2048' });
});

const plain: FrontendTls = {
  policy: TlsPolicy.INTERMEDIATE,
  clientCertificates: ClientCertificates.NONE,
  clientCaPem: '',
};

/** A list with one port for TLS, and a target behind it. */
function secured(
  port: number,
  target: number,
  tls: Partial<FrontendTls> = {},
  route?: Partial<Route>,
): BackendSnapshot {
  const placed = { id: 'web.1', backend: 'web', split: [], route: aProtoRoute(route) };
  const frontend = {
    ...{ name: 'https', port, mode: FrontendMode.HTTP, defaultBackend: 'web' },
    ...{ tls: { ...plain, ...tls }, routes: route === undefined ? [] : [placed] },
  };
  return aSnapshot(port, {
    frontends: [frontend],
    targets: [aTarget({ id: 'web-1.a.80', port: target })],
  });
}

function serving(coordinator: FakeProxyCoordinator, sites: Record<string, Site>): Promise<void> {
  const serials = Object.entries(sites).map(([id, { serialNumber }]) => [id, serialNumber]);
  return eventually(() => {
    expect(coordinator.serving).toEqual(Object.fromEntries(serials));
  });
}

function filesOf(directory: HaproxyDirectory): string[] {
  return readdirSync(join(directory.path, 'certificates'))
    .filter((name) => name.endsWith('.pem'))
    .sort();
}

test('shows the certificate of the host that is asked for, over HTTP/1.1 and HTTP/2', async () => {
  const port = await freePort();
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  // As a route of a service that is only for HTTPS.
  const route = {
    ...{ hosts: ['b.example.com'], forceHttps: true, deny: ['127.0.0.9'] },
    strictTransport: { maxAgeS: 60, includeSubdomains: true },
  };
  const list = secured(port, backend.port, {}, route);
  await using coordinator = await FakeProxyCoordinator.start(list);
  coordinator.hand({ a, b });
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await serving(coordinator, { a, b });
  expect(coordinator.hellos[0]?.verbs).toContain('tls');

  const offers = { protocol: 'TLSv1.3', application: 'h2', chainLength: 2 };
  expect(await shownFor(port, 'a.example.com')).toEqual({
    ...offers,
    serialNumber: a.serialNumber,
  });
  for (const name of ['b.example.com', 'x.b.example.com']) {
    expect(await shownFor(port, name)).toEqual({ ...offers, serialNumber: b.serialNumber });
  }
  for (const name of ['other.example.com', 'x.y.b.example.com', '']) {
    expect(await shownFor(port, name)).toEqual({ ...offers, serialNumber: a.serialNumber });
  }
  const ca = authority.root.pem;
  const verified = { ca, rejectUnauthorized: true };
  expect(await getTls(port, 'a.example.com', verified)).toEqual({ status: 200, body: 'one' });
  expect(await getTls(port, 'x.b.example.com', verified)).toEqual({ status: 200, body: 'one' });
  await expect(getTls(port, 'other.example.com', verified)).rejects.toThrow(/altnames/);
  expect(await getHttp2(port, 'a.example.com', 10)).toEqual(
    Array.from({ length: 10 }, () => 'one'),
  );
  expect(backend.headers.at(-1)).toMatchObject({
    'x-forwarded-proto': 'https',
    'x-forwarded-for': '127.0.0.1',
  });

  expect(await shownFor(port, 'a.example.com', { maxVersion: 'TLSv1.2' })).toMatchObject({
    protocol: 'TLSv1.2',
  });
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' } as const;
  await expect(shownFor(port, 'a.example.com', old)).rejects.toThrow();
  const weak = { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' } as const;
  await expect(shownFor(port, 'b.example.com', weak)).rejects.toThrow();

  // Whatever the client says of itself; also on an answer that HAProxy gives itself.
  const strict = { 'strict-transport-security': 'max-age=60; includeSubDomains' };
  const lie = { headers: { 'x-forwarded-proto': 'http' } };
  const passed = await askTls(port, 'b.example.com', lie);
  expect(passed).toMatchObject({ status: 200, headers: strict });
  expect(backend.headers.at(-1)).toMatchObject({ 'x-forwarded-proto': 'https' });
  const denied = await askTls(port, 'b.example.com', { localAddress: '127.0.0.9' } as object);
  expect(denied).toMatchObject({ status: 403, headers: strict });
  const other = await askTls(port, 'a.example.com');
  expect(other.headers).not.toHaveProperty('strict-transport-security');

  const { mode } = statSync(join(directory.path, 'certificates', 'a.pem'));
  expect(mode & 0o777).toBe(0o600);
  expect(statSync(join(directory.path, 'certificates')).mode & 0o777).toBe(0o700);
});

test('L14 is there with no certificate, and takes, replaces and withdraws them with no reload', async () => {
  const port = await freePort();
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(secured(port, backend.port));
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await eventually(async () => {
    expect(await getTls(port, 'a.example.com')).toEqual({ status: 200, body: 'one' });
  });
  const { pid } = await directory.info();
  const placeholder = await shownFor(port, 'a.example.com');
  expect(placeholder).toMatchObject({ application: 'h2', chainLength: 1 });

  coordinator.hand({ b });
  await untilShown(port, 'b.example.com', b.serialNumber);
  await untilShown(port, 'a.example.com', b.serialNumber);
  coordinator.hand({ a, b });
  await serving(coordinator, { a, b });
  expect(await shownFor(port, 'other.example.com')).toMatchObject({
    serialNumber: a.serialNumber,
    application: 'h2',
  });
  coordinator.hand({ a: nextA, b });
  await serving(coordinator, { a: nextA, b });
  for (const name of ['a.example.com', 'other.example.com']) {
    expect((await shownFor(port, name)).serialNumber).toBe(nextA.serialNumber);
  }
  expect(filesOf(directory)).toEqual(['a.pem', 'b.pem', 'default.pem']);

  coordinator.hand({ b });
  await serving(coordinator, { b });
  expect((await shownFor(port, 'a.example.com')).serialNumber).toBe(b.serialNumber);
  await eventually(
    () => {
      expect(filesOf(directory)).toEqual(['b.pem', 'default.pem']);
    },
    { timeoutMs: 15_000 },
  );
  const contents = filesOf(directory).map((name) =>
    readFileSync(join(directory.path, 'certificates', name), 'utf8'),
  );
  expect(contents.join('')).not.toContain(nextA.key.split('\n')[2]);

  coordinator.hand({});
  await serving(coordinator, {});
  const last = await shownFor(port, 'b.example.com');
  expect([a, nextA, b].map(({ serialNumber }) => serialNumber)).not.toContain(last.serialNumber);
  expect((await directory.info()).pid).toBe(pid);
});

test('of two for one host shows the one that is listed first, whichever was replaced', async () => {
  const port = await freePort();
  await using backend = await TestBackend.start('one');
  await using driven = await DrivenProxy.start(secured(port, backend.port));
  const { coordinator } = driven;
  const { pid } = await driven.directory.info();
  const names = ['a.example.com', '*.w.example.com'];
  const named = await authority.site('a.example.com');
  const [older, renewed] = [await authority.site(names), await authority.site(names)];
  const newer = await authority.site(['only.example.com', ...names]);
  const rsa = await authority.site(names, { key: 'RSA 2048' });
  const shown = async (host: string, options = {}) =>
    (await shownFor(port, host, options)).serialNumber;
  const expectShown = async (site: Site) => {
    expect(await shown('a.example.com')).toBe(site.serialNumber);
    expect(await shown('x.w.example.com')).toBe(site.serialNumber);
    expect(await shown('only.example.com')).toBe(newer.serialNumber);
    // A pair of both kinds of keys: whoever knows RSA alone is shown that one.
    const old = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' };
    expect(await shown('a.example.com', old)).toBe(rsa.serialNumber);
  };
  const hand = async (sites: Record<string, Site>) => {
    coordinator.hand(sites);
    await serving(coordinator, sites);
  };
  await hand({ b, older, newer, rsa });
  await expectShown(older);

  const stop = new AbortController();
  const client = async () => {
    const seen = new Set<string>();
    while (!stop.signal.aborted) seen.add(await shown('a.example.com'));
    return seen;
  };
  // Nobody is ever shown another host's, or none.
  const clients = [client(), client()];
  const sites = [older, newer, renewed].map(({ serialNumber }) => serialNumber);
  for (const site of [renewed, older, renewed]) {
    await hand({ b, older: site, newer, rsa });
    await expectShown(site);
  }
  stop.abort();
  for (const seen of await Promise.all(clients)) {
    expect(sites).toEqual(expect.arrayContaining([...seen]));
  }

  await hand({ b, newer, rsa });
  await expectShown(newer);
  await hand({ b, older, newer, rsa });
  await expectShown(older);
  await hand({ b, named, newer, rsa });
  expect(await shown('a.example.com')).toBe(named.serialNumber);
  expect(await shown('x.w.example.com')).toBe(newer.serialNumber);
  expect((await driven.directory.info()).pid).toBe(pid);
});

test('shows the default of the last list, of lists that come in quick succession', async () => {
  const port = await freePort();
  await using backend = await TestBackend.start('one');
  await using driven = await DrivenProxy.start(secured(port, backend.port));
  const { coordinator } = driven;
  for (let round = 0; round < 20; round++) {
    coordinator.hand({ a, b });
    await serving(coordinator, { a, b });
    coordinator.hand({ b, a });
    // The second one comes while the first is written down, sooner or later.
    for (let turn = 0; turn < round; turn++) await setImmediate();
    coordinator.hand({ b });
    await serving(coordinator, { b });
    const { serialNumber } = await shownFor(port, 'nobody.example.com');
    expect(serialNumber, `round ${round}`).toBe(b.serialNumber);
  }
});

test('fails no request while certificates are replaced under load', async () => {
  const port = await freePort();
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(secured(port, backend.port));
  coordinator.hand({ a, b });
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await serving(coordinator, { a, b });

  const stop = new AbortController();
  const failures: string[] = [];
  let requests = 0;
  const client = async (keepAlive: boolean) => {
    const agent = new Agent({ keepAlive, maxSockets: 1, rejectUnauthorized: false });
    while (!stop.signal.aborted) {
      try {
        const name = requests % 2 === 0 ? 'a.example.com' : 'b.example.com';
        const { status } = await getTls(port, name, { agent } as object);
        if (status !== 200) failures.push(`status ${status}`);
      } catch (error) {
        failures.push(String(error));
      }
      requests++;
    }
    agent.destroy();
  };
  const load = [true, true, false, false].map(client);
  for (let round = 0; round < 6; round++) {
    const site = round % 2 === 0 ? nextA : a;
    const sites: Record<string, Site> = round % 3 === 0 ? { a: site } : { a: site, b };
    coordinator.hand(sites);
    await serving(coordinator, sites);
    const before = requests;
    await eventually(() => {
      expect(requests).toBeGreaterThan(before + 10);
    });
  }
  stop.abort();
  await Promise.all(load);
  expect(failures).toEqual([]);
  expect((await shownFor(port, 'a.example.com')).serialNumber).toBe(a.serialNumber);
});

test('serves on over restarts of HAProxy and of the agent while the coordinator is away', async () => {
  const port = await freePort();
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  await using coordinator = await FakeProxyCoordinator.start(secured(port, backend.port));
  coordinator.hand({ a, b });
  const config = proxyConfig({ coordinator: coordinator.address, stateDir: directory.path });
  {
    await using _agent = new RunningProxyAgent(config);
    await serving(coordinator, { a, b });
    coordinator.shutdown();
    const { masterPid } = directory;
    process.kill((await directory.info()).pid, 'SIGKILL');
    await eventually(async () => {
      expect(directory.masterPid).not.toBe(masterPid);
      expect((await shownFor(port, 'b.example.com')).serialNumber).toBe(b.serialNumber);
    });
  }
  // HAProxy ends while no agent runs: the next one starts it from its disk.
  process.kill((await directory.info()).pid, 'SIGKILL');
  await eventually(() => {
    expect(directory.masterPid).toBeUndefined();
  });
  await using _agent = new RunningProxyAgent(config);
  await untilShown(port, 'a.example.com', a.serialNumber);
  expect((await shownFor(port, 'b.example.com')).serialNumber).toBe(b.serialNumber);
  expect(await getTls(port, 'a.example.com')).toEqual({ status: 200, body: 'one' });

  await coordinator.listen();
  coordinator.hand({ a: nextA });
  await untilShown(port, 'a.example.com', nextA.serialNumber);
});

test('asks clients for certificates, and tells backends what they showed', async () => {
  const port = await freePort();
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  const asking = (clientCertificates: ClientCertificates) =>
    secured(port, backend.port, { clientCertificates, clientCaPem: authority.root.pem });
  await using coordinator = await FakeProxyCoordinator.start(asking(ClientCertificates.REQUIRED));
  coordinator.hand({ a });
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await serving(coordinator, { a });
  const person = await authority.site('ann', { usage: 'clients' });
  const stranger = await (await SiteAuthority.make()).site('eve', { usage: 'clients' });
  const shown = { cert: person.chain, key: person.key };
  const lies = {
    ...{ 'x-ssl-client-verify': '0', 'x-ssl-client-dn': '/CN=root' },
    // What goes by CGI reads it as the same.
    x_ssl_client_dn: '/CN=root',
  };

  expect(await getTls(port, 'a.example.com', { ...shown, headers: lies })).toMatchObject({
    status: 200,
  });
  const { headers } = backend;
  expect(headers.at(-1)).toMatchObject({
    'x-ssl-client-verify': '0',
    'x-ssl-client-dn': '/CN=ann',
  });
  expect(headers.at(-1)).not.toHaveProperty('x_ssl_client_dn');
  await expect(getTls(port, 'a.example.com')).rejects.toThrow();
  const strange = { cert: stranger.chain, key: stranger.key };
  await expect(getTls(port, 'a.example.com', strange)).rejects.toThrow();
  // Of the same authorities: not any more, not yet, and that of a site.
  const times = { expired: { fromDays: -9, toDays: -1 }, early: { fromDays: 1, toDays: 9 } };
  for (const time of [times.expired, times.early]) {
    const { chain, key } = await authority.site('old', { usage: 'clients', ...time });
    await expect(getTls(port, 'a.example.com', { cert: chain, key })).rejects.toThrow();
  }
  const site = { cert: a.chain, key: a.key };
  await expect(getTls(port, 'a.example.com', site)).rejects.toThrow();
  expect(backend.requests).toBe(1);

  coordinator.replace({ ...asking(ClientCertificates.OPTIONAL), version: 2 });
  await eventually(() => {
    expect(coordinator.appliedVersion).toBe(2);
  });
  expect(await getTls(port, 'a.example.com', { headers: lies })).toMatchObject({ status: 200 });
  expect(headers.at(-1)).not.toHaveProperty('x-ssl-client-verify');
  expect(headers.at(-1)).not.toHaveProperty('x-ssl-client-dn');
  expect(headers.at(-1)).not.toHaveProperty('x_ssl_client_dn');
  await expect(getTls(port, 'a.example.com', strange)).rejects.toThrow();
  // What was replaced at run time asks as well.
  coordinator.hand({ a: nextA });
  await untilShown(port, 'unknown.example.com', nextA.serialNumber);
  await expect(getTls(port, 'unknown.example.com', strange)).rejects.toThrow();
  await expect(getTls(port, 'a.example.com', strange)).rejects.toThrow();
});

test('with the modern policy speaks TLS 1.3 alone; ends TLS before bytes too', async () => {
  const port = await freePort();
  await using backend = await TestBackend.start('one');
  await using directory = new HaproxyDirectory();
  const list = secured(port, backend.port, { policy: TlsPolicy.MODERN });
  const [frontend] = list.frontends;
  await using coordinator = await FakeProxyCoordinator.start({
    ...list,
    frontends: [{ ...frontend!, mode: FrontendMode.TCP }],
    backends: list.backends.map((backend) => ({ ...backend, mode: FrontendMode.TCP })),
  });
  coordinator.hand({ a });
  await using _agent = new RunningProxyAgent(
    proxyConfig({ coordinator: coordinator.address, stateDir: directory.path }),
  );
  await serving(coordinator, { a });
  expect(await shownFor(port, 'a.example.com')).toMatchObject({
    protocol: 'TLSv1.3',
    application: null,
  });
  await expect(shownFor(port, 'a.example.com', { maxVersion: 'TLSv1.2' })).rejects.toThrow();
  expect(await getTls(port, 'a.example.com')).toEqual({ status: 200, body: 'one' });
});
