import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ApiRole, connect, Role, type FairleadClient } from '../../../../client/index.ts';
import { CoordinatorInProcess } from '../../../support/coordinator-in-process.ts';
import { eventually } from '../../../support/eventually.ts';
import {
  freePort,
  HaproxyDirectory,
  proxyConfig,
  RunningProxyAgent,
} from '../../../support/haproxy.ts';
import { SiteAuthority, type Site } from '../../../support/site-certificates.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { shownFor, untilShown } from '../../../support/tls-client.ts';
import { SessionInProcess } from '../../agent/proxy/session-in-process.ts';

const authority = await SiteAuthority.make();
const www = await authority.site('www.example.com');
const shop = await authority.site('shop.example.com');
const shopNext = await authority.site('shop.example.com');
const own = await authority.site('own.example.com');

interface Setting {
  readonly client: FairleadClient;
  readonly coordinator: CoordinatorInProcess;
}

/** A load balancer that ends TLS at a port of the host; links may be none. */
async function addLoadBalancer({ client }: Setting, name: string, links: string[]) {
  const port = await freePort();
  await client.control.createService({
    name,
    spec: {
      image: 'lb:1',
      apiRole: ApiRole.PROXY,
      ports: [{ containerPort: 443, published: true, hostPort: port }],
      links: links.map((service) => ({ service })),
    },
  });
  const made = await client.control.createToken({
    name: `of-${name}`,
    role: Role.PROXY,
    services: [name],
  });
  return { name, port, token: made.secret };
}

type LoadBalancer = Awaited<ReturnType<typeof addLoadBalancer>>;

/** A proxy of it on this host. */
function startProxy({ coordinator }: Setting, lb: LoadBalancer, directory: HaproxyDirectory) {
  return new RunningProxyAgent(
    proxyConfig({
      ...{ coordinator: coordinator.address, stateDir: directory.path },
      ...{ service: lb.name, token: lb.token, name: `${lb.name}-1` },
    }),
  );
}

async function put({ client }: Setting, name: string, site: Site, services: string[] = []) {
  const pems = { chainPem: site.chain, privateKeyPem: site.key };
  const { certificate } = await client.control.putCertificate({ name, ...pems, services });
  return certificate!.id;
}

/** Names of the certificates that are in effect in the proxy of a load balancer. */
async function inEffect({ client }: Setting, { name }: LoadBalancer): Promise<string[]> {
  const { proxies } = await client.control.listProxies({ services: [name] });
  const held = proxies.flatMap(({ certificates }) => certificates);
  return held.map(({ certificate, current }) => (current ? certificate : `${certificate}?`)).sort();
}

function idsOnDisk(directory: HaproxyDirectory): string[] {
  return readdirSync(join(directory.path, 'certificates'))
    .flatMap((name) => /^([0-9a-f]{32})\.pem$/.exec(name)?.[1] ?? [])
    .sort();
}

test('each proxy has the certificates that it serves, and no others, and follows them', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await CoordinatorInProcess.start(directory.join('state'));
  const token = readFileSync(directory.join('state/admin.token'), 'utf8').trim();
  await using client = await connect({ address: coordinator.address, token });
  const setting = { client, coordinator };
  const routes = [{ hosts: ['shop.example.com'] }];
  const spec = { image: 'web:1', ports: [{ containerPort: 80 }] };
  await client.control.createService({ name: 'shop', spec: { ...spec, routes } });
  const any = await addLoadBalancer(setting, 'any', []);
  const some = await addLoadBalancer(setting, 'some', ['shop']);
  const wwwId = await put(setting, 'www', www);
  const shopId = await put(setting, 'shop', shop);
  const ownId = await put(setting, 'own', own, ['some']);

  await using anyDirectory = new HaproxyDirectory();
  await using someDirectory = new HaproxyDirectory();
  await using anyProxy = startProxy(setting, any, anyDirectory);
  await using someProxy = startProxy(setting, some, someDirectory);
  await using second = new SessionInProcess({
    ...{ coordinator: coordinator.address, token: any.token, service: 'any' },
    trustFile: directory.join('second.json'),
  });

  await eventually(async () => {
    expect(await inEffect(setting, any)).toEqual(['shop', 'www']);
    expect(await inEffect(setting, some)).toEqual(['own', 'shop']);
  });
  expect([...second.certificates.keys()].sort()).toEqual([wwwId, shopId].sort());
  expect(idsOnDisk(anyDirectory)).toEqual([wwwId, shopId].sort());
  expect(idsOnDisk(someDirectory)).toEqual([ownId, shopId].sort());
  await untilShown(any.port, 'www.example.com', www.serialNumber);
  await untilShown(any.port, 'shop.example.com', shop.serialNumber);
  await untilShown(some.port, 'own.example.com', own.serialNumber);
  await untilShown(some.port, 'www.example.com', shop.serialNumber);
  const { pid } = await someDirectory.info();

  await put(setting, 'shop', shopNext);
  for (const { port } of [any, some]) {
    await untilShown(port, 'shop.example.com', shopNext.serialNumber);
  }
  await eventually(() => {
    expect(second.certificates.get(shopId)?.pem).toBe(shopNext.chain + shopNext.key);
  });
  expect((await someDirectory.info()).pid).toBe(pid);

  // Another service that any host is routed to: what else there is is served there too.
  await client.control.createService({ name: 'web', spec });
  await client.control.addLink({ service: 'some', link: { service: 'web' } });
  await untilShown(some.port, 'www.example.com', www.serialNumber);
  await client.control.removeLink({ service: 'some', alias: 'web' });
  await client.control.removeCertificate({ certificate: 'own' });
  await eventually(async () => {
    expect(await inEffect(setting, some)).toEqual(['shop']);
  });
  expect((await shownFor(some.port, 'own.example.com')).serialNumber).toBe(shopNext.serialNumber);
  await eventually(
    () => {
      expect(idsOnDisk(someDirectory)).toEqual([shopId]);
    },
    { timeoutMs: 15_000 },
  );

  const logs = [coordinator.log(), JSON.stringify(anyProxy.log), JSON.stringify(someProxy.log)];
  for (const { key } of [www, shop, shopNext, own]) {
    for (const log of logs) expect(log).not.toContain(key.split('\n')[2]);
  }
});
