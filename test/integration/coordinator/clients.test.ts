import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiRole, ContainerPhase, Role, type FairleadError } from '../../../client/index.ts';
import type { UpdateServiceRequest } from '../../../shared/gen/fairlead/v1/control_service.ts';
import { BalanceAlgorithm, type Route } from '../../../shared/gen/fairlead/v1/route.ts';
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

// All the way: what is asked of the API, through a coordinator, a proxy agent and HAProxy, to what clients see.
// The nodes alone are simulated, one a service; what listens there is real.

const owned: AsyncDisposable[] = [];
const stop = new AbortController();
let installation: Installation;
let frontPort: number;
let otherPort: number;
let directory: HaproxyDirectory;
const backends: Record<string, TestBackend> = {};

/** Has it end with the tests. */
function own<T extends AsyncDisposable>(each: T): T {
  owned.push(each);
  return each;
}

const control = () => installation.client.control;

/** A backend whose answers are its name, and a node whose containers lead there. */
async function addHost(name: string, ports: Readonly<Record<number, number>> = {}) {
  const backend = own(await TestBackend.start(name));
  backends[name] = backend;
  const joinToken = await installation.joinToken({ tags: [name] });
  const options = {
    ...{ coordinator: installation.coordinator.address, joinToken, name, tags: [name] },
    ...{ address: '127.0.0.1', port: backend.port, ports },
  };
  own(await SimulatedNode.start(options, stop.signal));
}

function specOf(name: string, changes: DeepPartial<ServiceSpec> = {}) {
  const spec = { image: 'web:1', replicas: 1, tags: [name], ports: [{ containerPort: 80 }] };
  return ServiceSpec.fromPartial({ ...spec, ...changes });
}

async function ask(host: string, { path = '/', port = frontPort } = {}) {
  const sent = request({ host: '127.0.0.1', port, path, agent: false, headers: { host } }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const { statusCode = 0, headers } = response;
  return { status: statusCode, headers, body: await text(response) };
}

/** The name of the backend that answers, or the status of what HAProxy answers itself. */
async function answer(...args: Parameters<typeof ask>): Promise<string | number> {
  const { status, body } = await ask(...args);
  return status === 200 ? body : status;
}

async function untilAnswers(wanted: string | number, ...args: Parameters<typeof ask>) {
  await eventually(
    async () => {
      expect(await answer(...args)).toBe(wanted);
    },
    { timeoutMs: 20_000 },
  );
}

beforeAll(async () => {
  installation = own(await Installation.start());
  directory = own(new HaproxyDirectory());
  frontPort = await freePort();
  otherPort = await freePort();
  const admin = own(await TestBackend.start('shop-admin'));
  await addHost('shop', { 9000: admin.port });
  await addHost('api');
  await addHost('green');
  const shop = specOf('shop', {
    ports: [{ containerPort: 80 }, { containerPort: 9000 }],
    routes: [
      { name: 'front', hosts: ['shop.test'] },
      { name: 'admin', port: 8443, hosts: ['shop.test'], targetPort: 9000, priority: 1 },
    ],
  });
  const api = specOf('api', {
    routes: [{ hosts: ['shop.test'], paths: ['/api/*'], replacePath: '/' }],
  });
  await control().createService({ name: 'shop', spec: shop, start: true });
  await control().createService({ name: 'api', spec: api, start: true });
  await control().createService({ name: 'green', spec: specOf('green'), start: true });
  const ports = [
    { containerPort: 80, published: true, hostPort: frontPort },
    { containerPort: 8443, published: true, hostPort: otherPort },
  ];
  const links = ['shop', 'api', 'green'].map((service) => ({ service }));
  const lb = { image: 'lb:1', apiRole: ApiRole.PROXY, ports, links };
  await control().createService({ name: 'lb', spec: lb });
  const { secret: token } = await control().createToken({
    ...{ name: 'of-lb', role: Role.PROXY, services: ['lb'] },
  });
  const { address } = installation.coordinator;
  const where = { coordinator: address, stateDir: directory.path };
  own(new RunningProxyAgent(proxyConfig({ ...where, service: 'lb', token, name: 'lb-1' })));
  await untilAnswers('shop', 'shop.test');
  await untilAnswers('api', 'shop.test', { path: '/api' });
  await untilAnswers('green', 'other.test');
  await untilAnswers('shop-admin', 'shop.test', { port: otherPort });
});

afterAll(async () => {
  stop.abort();
  for (const each of owned.reverse()) await each[Symbol.asyncDispose]();
});

test('requests go by host, path and port of the load balancer, to each port of a container, and else to the default', async () => {
  expect(await answer('shop.test', { path: '/api/x?y' })).toBe('api');
  expect(backends['api']?.urls.at(-1)).toBe('/x?y');
  expect(await answer('shop.test', { path: '/apix' })).toBe('shop');
  expect(await answer('shop.test', { port: otherPort })).toBe('shop-admin');
  expect(await answer('other.test', { port: otherPort })).toBe('green');
  const { services } = await control().listServices({});
  expect(services.filter(({ message }) => message !== '')).toEqual([]);
});

test('what is changed by one call is what clients see next, blue and green too', async () => {
  const [front, admin] = (await shopNow()).spec!.routes;
  const withFront = async (changes: Partial<Route>) => {
    const routes = [{ ...front!, ...changes }, admin!];
    await control().updateService({ service: 'shop', spec: { routes }, updateMask: ['routes'] });
  };
  const split = (percent: number) => [{ service: 'green', percent, targetPort: 0 }];
  await withFront({ split: split(100) });
  await untilAnswers('green', 'shop.test');
  expect(await answer('shop.test', { port: otherPort })).toBe('shop-admin');
  // It has a pool of its own by now: nothing of the following takes a reload.
  const { pid } = await directory.info();
  await withFront({ split: split(0) });
  await untilAnswers('shop', 'shop.test');
  await withFront({ split: split(100), hosts: ['new.test'] });
  await untilAnswers('green', 'new.test');
  await withFront({ split: split(0), hosts: ['new.test'] });
  await untilAnswers('shop', 'new.test');
  await untilAnswers('green', 'shop.test');
  expect((await directory.info()).pid).toBe(pid);
  const maintenance = { body: 'soon', contentType: 'text/plain', retryAfterS: 7 };
  await withFront({ maintenance });
  await untilAnswers(503, 'shop.test');
  expect(await ask('shop.test')).toMatchObject({ body: 'soon', headers: { 'retry-after': '7' } });
  await withFront({});
  await untilAnswers('shop', 'shop.test');
});

test('a backup takes over while a service has nothing that serves, and gives back', async () => {
  const set = async (spec: DeepPartial<ServiceSpec>, ...updateMask: string[]) => {
    await control().updateService({ service: 'shop', spec, updateMask });
  };
  await set({ balancing: { backups: ['green'] } }, 'balancing.backups');
  expect(await answer('shop.test')).toBe('shop');
  await set({ replicas: 0 }, 'replicas');
  await untilAnswers('green', 'shop.test');
  await set({ replicas: 1 }, 'replicas');
  await untilAnswers('shop', 'shop.test');
  await set({ balancing: { backups: [] } }, 'balancing.backups');
  // It shares the pool of services without routes again.
  await untilAnswers('green', 'other.test');
});

async function shopNow() {
  return (await control().getService({ service: 'shop' })).service!;
}

const violationsOf = (call: Promise<unknown>) =>
  call.then(
    () => 'taken',
    (error: unknown) => {
      const { reason, violations } = error as FairleadError;
      return [reason, ...violations.map(({ field }) => field)];
    },
  );

test('a definition that could not be served as it says is refused with its field, and nothing changes', async () => {
  const { spec, revision } = await shopNow();
  const { pid } = await directory.info();
  const routes = (...all: DeepPartial<Route>[]) => ({
    spec: { routes: all },
    updateMask: ['routes'],
  });
  const update = (service: string, change: Omit<DeepPartial<UpdateServiceRequest>, 'service'>) =>
    violationsOf(control().updateService({ ...change, service }));
  const invalid = (...fields: string[]) => ['INVALID_REQUEST', ...fields];

  // One host, two services, and nothing says which.
  expect(await update('green', routes({ hosts: ['a.test'] }, { hosts: ['shop.test'] }))).toEqual([
    ...['ROUTE_CONFLICT', 'spec.routes[1]'],
  ]);
  const rival = specOf('green', { routes: [{ hosts: ['SHOP.test'] }] });
  await control().createService({ name: 'rival', spec: rival, start: true });
  const link = { service: 'rival' };
  expect(await violationsOf(control().addLink({ service: 'lb', link }))).toEqual([
    ...['ROUTE_CONFLICT', 'link'],
  ]);
  const links = [...['shop', 'api', 'green'].map((service) => ({ service })), link];
  expect(await update('lb', { spec: { links }, updateMask: ['links'] })).toEqual([
    ...['ROUTE_CONFLICT', 'spec.links[0]'],
  ]);
  // In one definition.
  expect(await update('shop', routes({ paths: ['/a'] }, { paths: ['/a', '/b'] }))).toEqual(
    invalid('spec.routes[1]'),
  );
  expect(await update('shop', routes({ kind: 20, port: 80 }, { port: 80 }))).toEqual(
    invalid('spec.routes[1]'),
  );
  // Ports that no container has.
  expect(await update('shop', routes({ targetPort: 9001 }))).toEqual(
    invalid('spec.routes[0].target_port'),
  );
  const ports = [{ containerPort: 80 }];
  expect(await update('shop', { spec: { ports }, updateMask: ['ports'] })).toEqual(
    invalid('spec.routes[1].target_port'),
  );
  const forwarding = { proxyProtocolPorts: [81] };
  expect(await update('lb', { spec: { forwarding }, updateMask: ['forwarding'] })).toEqual(
    invalid('spec.forwarding.proxy_protocol_ports[0]'),
  );
  // What HAProxy would read as more than a name.
  for (const host of ['a.test }', 'a.test\nbind :1', '%[src]', "a'b", 'a.test#']) {
    expect(await update('shop', routes({ hosts: [host] })), host).toEqual(
      invalid('spec.routes[0].hosts[0]'),
    );
  }
  expect(await update('shop', routes({ paths: ['/a b\n'], name: 'a b' }))).toEqual(
    invalid('spec.routes[0].name', 'spec.routes[0].paths[0]', 'spec.routes[0].paths[0]'),
  );
  const set = { change: { $case: 'set' as const, value: { name: 'X-A if', value: 'a\nb' } } };
  expect(await update('shop', routes({ responseHeaders: [set] }))).toEqual(
    invalid(...['name', 'value'].map((field) => `spec.routes[0].response_headers[0].set.${field}`)),
  );
  const balancing = { stickyCookie: 'a b' };
  expect(await update('shop', { spec: { balancing }, updateMask: ['balancing'] })).toEqual(
    invalid('spec.balancing.sticky_cookie'),
  );

  // How far its containers are may change meanwhile.
  expect(await shopNow()).toMatchObject({ spec, revision });
  expect(await answer('shop.test')).toBe('shop');
  expect((await directory.info()).pid).toBe(pid);

  // With a priority it is no contradiction.
  const first = [{ hosts: ['shop.test'], priority: 2 }];
  expect(await update('rival', { spec: { routes: first }, updateMask: ['routes'] })).toBe('taken');
  await control().addLink({ service: 'lb', link });
  await untilAnswers('green', 'shop.test');
  await control().removeLink({ service: 'lb', alias: 'rival' });
  await untilAnswers('shop', 'shop.test');
});

test('what is taken and lacks something at the load balancer is said', async () => {
  const messageOf = async (service: string) =>
    (await control().getService({ service })).service?.message;
  const update = async (service: string, spec: DeepPartial<ServiceSpec>, updateMask: string[]) => {
    await control().updateService({ service, spec, updateMask });
  };
  const split = [{ service: 'green', percent: 10, targetPort: 9000 }];
  const routes = [{ name: 'a', hosts: ['api.test'], split }];
  await update('api', { routes }, ['routes']);
  await eventually(async () => {
    expect(await messageOf('api')).toBe(
      'green has no TCP port 9000: it gets no requests of the route a',
    );
  });
  await untilAnswers('api', 'api.test');
  // Without routes it shares the pool with green.
  const balancing = { algorithm: BalanceAlgorithm.SOURCE };
  await update('api', { routes: [], balancing }, ['routes', 'balancing']);
  await eventually(async () => {
    expect(await messageOf('api')).toContain('lb has it in one pool with green');
  });
});

test('metrics tell of services, proxies, nodes and the process, to those who may read all of it', async () => {
  const { secret } = await control().createToken({ name: 'prometheus', role: Role.VIEWER });
  const scrape = async (authorization?: string) => {
    const headers = authorization === undefined ? {} : { authorization };
    const { status, text: body } = await installation.coordinator.fetch('/metrics', { headers });
    return { status, body: await body() };
  };
  await eventually(async () => {
    const { status, body } = await scrape(`Bearer ${secret}`);
    expect(status).toBe(200);
    const lines = body.split('\n');
    const { containers } = await control().listContainers({});
    const running = containers.filter(({ phase }) => phase === ContainerPhase.RUNNING);
    for (const line of [
      'fairlead_nodes{state="ready"} 3',
      'fairlead_nodes{state="down"} 0',
      'fairlead_sessions{agent="node"} 3',
      'fairlead_sessions{agent="proxy"} 1',
      `fairlead_containers{phase="running"} ${running.length}`,
      'fairlead_service_containers_desired{service="shop"} 1',
      'fairlead_service_containers_desired{service="lb"} 0',
      'fairlead_service_containers_ready{service="shop"} 1',
    ]) {
      expect(lines).toContain(line);
    }
    const value = (name: string) =>
      Number(new RegExp(`^${name}(?:\\{[^}]*service="lb"[^}]*\\})? (.+)$`, 'm').exec(body)?.[1]);
    expect(value('fairlead_proxy_connected')).toBe(1);
    expect(value('fairlead_proxy_versions_behind')).toBe(0);
    expect(value('fairlead_proxy_applied_version')).toBeGreaterThan(3);
    expect(value('fairlead_proxy_reloads_total')).toBeGreaterThan(0);
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
    expect(value('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(value('process_start_time_seconds')).toBeLessThanOrEqual(Date.now() / 1_000);
  });
  expect(await scrape()).toMatchObject({ status: 401 });
  expect((await scrape('Bearer nonsense')).status).toBe(401);
});
