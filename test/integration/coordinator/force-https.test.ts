import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiRole, Role } from '../../../client/index.ts';
import { ServiceSpec, type DeepPartial } from '../../../shared/gen/fairlead/v1/service.ts';
import { SimulatedNode } from '../../bench/support/simulated-node.ts';
import { eventually } from '../../support/eventually.ts';
import {
  freePort,
  HaproxyDirectory,
  proxyConfig,
  RunningProxyAgent,
  TestBackend,
} from '../../support/haproxy.ts';
import { Installation } from '../../support/installation.ts';
import { SiteAuthority } from '../../support/site-certificates.ts';
import { askTls } from '../../support/tls-client.ts';

// From the API through a coordinator, a proxy agent and HAProxy to clients, who follow where they are led.

/** An address that a client may have, and the one of the upstream that is trusted. */
const [anybody, upstream] = ['127.0.0.2', '127.0.0.3'];
const strict = 'max-age=31536000; includeSubDomains';
const owned: AsyncDisposable[] = [];
const stop = new AbortController();
let installation: Installation;
let backend: TestBackend;
/** Where clients find http, and https. */
let httpPort: number;
let httpsPort: number;

function own<T extends AsyncDisposable>(each: T): T {
  owned.push(each);
  return each;
}

interface Asking {
  readonly from?: string;
  readonly headers?: Record<string, string>;
  readonly path?: string;
}

/** Over IPv6, if `from` is of it. */
async function ask(host: string, { from = anybody, headers = {}, path = '/' }: Asking = {}) {
  const to = from.includes(':') ? '::1' : '127.0.0.1';
  const sent = request({
    ...{ host: to, port: httpPort, localAddress: from, path, agent: false },
    headers: { host, ...headers },
  }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const { statusCode = 0, headers: said } = response;
  const { location } = said;
  const hsts = said['strict-transport-security'];
  return { status: statusCode, location, hsts, body: await text(response) };
}

async function update(spec: DeepPartial<ServiceSpec>, service: string, ...updateMask: string[]) {
  await installation.client.control.updateService({ service, spec, updateMask });
}

beforeAll(async () => {
  installation = own(await Installation.start());
  const directory = own(new HaproxyDirectory());
  [httpPort, httpsPort] = [await freePort(), await freePort()];
  backend = own(await TestBackend.start('shop'));
  const { control } = installation.client;
  const { address } = installation.coordinator;
  const joinToken = await installation.joinToken();
  const node = { coordinator: address, joinToken, name: 'node', tags: [] };
  own(
    await SimulatedNode.start({ ...node, address: '127.0.0.1', port: backend.port }, stop.signal),
  );
  const site = await (await SiteAuthority.make()).site('shop.test');
  const pems = { chainPem: site.chain, privateKeyPem: site.key };
  await control.putCertificate({ name: 'shop', ...pems });
  const strictTransport = { maxAgeS: 31_536_000, includeSubdomains: true };
  const spec = ServiceSpec.fromPartial({
    ...{ image: 'web:1', replicas: 1, ports: [{ containerPort: 80 }] },
    routes: [{ name: 'all', forceHttps: true, strictTransport }],
  });
  await control.createService({ name: 'shop', spec, start: true });
  const ports = [
    { containerPort: 80, published: true, hostPort: httpPort },
    { containerPort: 443, published: true, hostPort: httpsPort },
  ];
  const lb = { image: 'lb:1', apiRole: ApiRole.PROXY, ports, links: [{ service: 'shop' }] };
  const forwarding = { trustedUpstreams: [`${upstream}/32`] };
  await control.createService({ name: 'lb', spec: { ...lb, forwarding } });
  const { secret: token } = await control.createToken({
    ...{ name: 'of-lb', role: Role.PROXY, services: ['lb'] },
  });
  const where = { coordinator: address, stateDir: directory.path };
  own(new RunningProxyAgent(proxyConfig({ ...where, service: 'lb', token, name: 'lb-1' })));
  await eventually(
    async () => {
      expect(await askTls(httpsPort, 'shop.test')).toMatchObject({ status: 200, body: 'shop' });
    },
    { timeoutMs: 20_000 },
  );
});

afterAll(async () => {
  stop.abort();
  for (const each of owned.reverse()) await each[Symbol.asyncDispose]();
});

test('a client is led to the port at which TLS is published, and served there', async () => {
  const path = '/a//b?c=/d';
  const led = await ask(`shop.test:${httpPort}`, { path });
  const location = `https://shop.test:${httpsPort}${path}`;
  // Browsers must not believe it of a connection that anybody may have spoken on.
  expect(led).toMatchObject({ status: 308, location, hsts: undefined });
  const { hostname, port, pathname, search } = new URL(led.location ?? '');
  const served = await askTls(Number(port), hostname, { path: `${pathname}${search}` });
  expect(served).toMatchObject({ status: 200, body: 'shop' });
  expect(served.headers['strict-transport-security']).toBe(strict);
  expect(backend.urls.at(-1)).toBe(path);
  expect(backend.headers.at(-1)).toMatchObject({ 'x-forwarded-proto': 'https' });
});

test('a host may be an address, of IPv6 too, and be written without the port', async () => {
  const at = `:${httpsPort}/`;
  const led = async (host: string, asking?: Asking) => (await ask(host, asking)).location;
  expect(await led(`[::1]:${httpPort}`, { from: '::1' })).toBe(`https://[::1]${at}`);
  expect(await led(`[2001:DB8::1]:${httpPort}`)).toBe(`https://[2001:DB8::1]${at}`);
  expect(await led(`192.0.2.1:${httpPort}`)).toBe(`https://192.0.2.1${at}`);
  expect(await led(`SHOP.test.:${httpPort}`)).toBe(`https://SHOP.test.${at}`);
  // A mapping of ports stands before it: where that has https is not known.
  expect(await led('[::1]')).toBe('https://[::1]/');
  expect(await led('[::1]:8080')).toBe('https://[::1]/');
  expect(await led('shop.test')).toBe('https://shop.test/');
});

test('what an upstream says of the protocol counts if it is trusted, and leads to its own ports', async () => {
  const host = `shop.test:${httpPort}`;
  const said = (proto: string) => ({ 'x-forwarded-proto': proto });
  const served = await ask(host, { from: upstream, headers: said('https') });
  expect(served).toMatchObject({ status: 200, body: 'shop', location: undefined, hsts: strict });
  expect(backend.headers.at(-1)).toMatchObject({ 'x-forwarded-proto': 'https' });
  const elsewhere = { status: 308, location: 'https://shop.test/', hsts: undefined };
  expect(await ask(host, { from: upstream, headers: said('http') })).toMatchObject(elsewhere);
  expect(await ask(host, { from: upstream })).toMatchObject(elsewhere);
  const location = `https://shop.test:${httpsPort}/`;
  const pretended = await ask(host, { headers: said('https') });
  expect(pretended).toMatchObject({ status: 308, location, hsts: undefined });
  const overTls = await askTls(httpsPort, 'shop.test', { headers: said('http') });
  expect(overTls.status).toBe(200);
});

test('another port for https, and none any more, is where the next client is led', async () => {
  const host = `shop.test:${httpPort}`;
  const ports = (https: number) => [
    { containerPort: 80, published: true, hostPort: httpPort },
    { containerPort: 443, published: true, hostPort: https },
  ];
  const leads = async (location: string | undefined, status = 308) => {
    await eventually(
      async () => {
        expect(await ask(host)).toMatchObject({ status, location });
      },
      { timeoutMs: 20_000 },
    );
  };
  const other = await freePort();
  await update({ ports: ports(other) }, 'lb', 'ports');
  await leads(`https://shop.test:${other}/`);
  await update({ ports: ports(other).slice(0, 1) }, 'lb', 'ports');
  await leads('https://shop.test/');
  await update({ routes: [{ name: 'all' }] }, 'shop', 'routes');
  await leads(undefined, 200);
});
