import { describe, expect, test } from 'vitest';
import type { Route } from '../../../../shared/routing.ts';
import type { Container, Observed, Service } from '../../../../coordinator/model.ts';
import {
  balancedPort,
  frontendsOf,
  planRoutes,
  targetsOf,
} from '../../../../coordinator/routing/routes.ts';
import {
  aBalancing,
  aBinding,
  aContainer,
  aDefinition,
  anObservation,
  aPort,
  aService,
  aSpec,
  containerId,
} from '../../../support/builders.ts';
import { aRoute } from '../../../support/routes.ts';

interface Case {
  readonly service?: Partial<Service>;
  readonly container?: Partial<Container>;
  readonly observed?: Partial<Observed> | null;
}

const lb = (ports = [aPort()]) =>
  aService({ name: 'lb', spec: aSpec({ apiRole: 'proxy', ports }) });

function targets({ service: changes, container, observed = {} }: Case) {
  const service = aService(changes);
  const routed = {
    container: aContainer({ id: containerId('0123456789abcdef'), ...container }),
    observed: observed === null ? undefined : anObservation(observed),
    advertiseAddress: '10.0.0.7',
    balancing: service.spec.balancing,
  };
  return targetsOf(service, routed, planRoutes(lb(), [service]).memberships.get(service.id) ?? []);
}

function target(case_: Case) {
  const found = targets(case_);
  expect(found.length).toBeLessThanOrEqual(1);
  return found[0] ?? null;
}

describe('a container', () => {
  test('that is ready takes requests at its node', () => {
    expect(target({})).toEqual({
      id: 'web-1.01234567.49153',
      backend: 'default',
      containerId: '0123456789abcdef',
      container: 'web-1',
      address: '10.0.0.7',
      port: 49_153,
      mode: 'ready',
      drainTimeoutMs: 30_000,
      leaving: false,
      backup: false,
      http2: false,
      checkPort: 0,
      sendProxy: false,
    });
  });

  test('that is bound to one address takes them there', () => {
    expect(target({ observed: { ports: [aBinding({ hostAddress: '10.9.9.9' })] } })).toMatchObject({
      address: '10.9.9.9',
    });
  });

  test.each<[string, Case]>([
    ['is not ready', { observed: { ready: false } }],
    ['is being taken away', { container: { wanted: 'draining' } }],
  ])('drains while it %s', (_, case_) => {
    expect(target(case_)?.mode).toBe('drain');
  });

  test.each<[string, Case]>([
    ['nobody reported', { observed: null }],
    ['does not run yet', { observed: { phase: 'starting', ready: false } }],
    ['is stopping', { observed: { phase: 'stopping' } }],
    ['has ended', { observed: { phase: 'stopped' } }],
    ['is to be stopped', { container: { wanted: 'stopped' } }],
    ['is to be removed', { container: { wanted: 'removed' } }],
    ['has no port that could be reached', { observed: { ports: [] } }],
    ['is reached by UDP alone', { observed: { ports: [aBinding({ protocol: 'udp' })] } }],
    [
      'is of a service with no port',
      {
        service: { spec: aSpec({ ports: [] }) },
        container: { definition: aDefinition({ ports: [] }) },
      },
    ],
  ])('that %s has no target', (_, case_) => {
    expect(target(case_)).toBeNull();
  });

  test('takes requests at the first TCP port of its service', () => {
    const ports = [
      aPort({ containerPort: 53, protocol: 'udp' }),
      aPort({ containerPort: 8080 }),
      aPort({ containerPort: 80 }),
    ];
    const bindings = [
      aBinding({ containerPort: 80, hostPort: 1 }),
      aBinding({ containerPort: 8080, hostPort: 2 }),
    ];
    expect(balancedPort(ports)).toBe(8080);
    expect(
      target({
        service: { spec: aSpec({ ports }) },
        container: { definition: aDefinition({ ports }) },
        observed: { ports: bindings },
      })?.port,
    ).toBe(2);
  });

  test('of another revision takes requests at its own port', () => {
    const spec = aSpec({ ports: [aPort({ containerPort: 8080 })] });
    expect(target({ service: { spec } })?.port).toBe(49_153);
  });

  test('has another target when its port changes', () => {
    const moved = target({ observed: { ports: [aBinding({ hostPort: 49_200 })] } });
    expect(moved?.id).toBe('web-1.01234567.49200');
  });
});

describe('a proxy listens', () => {
  const ports = [
    aPort({ containerPort: 80, hostPort: 8080 }),
    aPort({ containerPort: 443 }),
    aPort({ containerPort: 53, protocol: 'udp' }),
    aPort({ containerPort: 1936 }),
  ];

  test('in a container on its TCP ports, but for that of the statistics', () => {
    expect(
      frontendsOf(planRoutes(lb(ports), []), 'container').map(({ name, port }) => [name, port]),
    ).toEqual([
      ['http_80', 80],
      ['http_443', 443],
    ]);
  });

  test('and says where clients find https, if that is one port that is known, and not the usual one', () => {
    const https = (own: Parameters<typeof lb>[0], place: 'container' | 'host') =>
      frontendsOf(planRoutes(lb(own), []), place).map((f) => [f.clientsPort, f.httpsPort]);
    const http = aPort({ containerPort: 80, hostPort: 8080, published: true });
    const tls = (hostPort: number) => aPort({ containerPort: 443, hostPort, published: true });
    const led = [
      [8080, 8443],
      [0, 0],
    ];
    const usual = [
      [0, 0],
      [0, 0],
    ];
    expect(https([http, tls(8443)], 'container')).toEqual(led);
    expect(https([http, tls(8443)], 'host')).toEqual(led);
    expect(https([http, tls(443)], 'container')).toEqual(usual);
    expect(https([http, tls(0)], 'container')).toEqual(usual);
    expect(https([aPort({ containerPort: 80 }), tls(8443)], 'container')).toEqual(usual);
  });

  test('on a plain host on the ports that the node would have', () => {
    const plan = planRoutes(lb(ports), []);
    expect(frontendsOf(plan, 'host').map(({ port }) => port)).toEqual([8080, 443]);
  });
});

describe('a load balancer', () => {
  const http = aPort({ containerPort: 80 });
  const bytes = aPort({ containerPort: 5432 });
  const routed = (name: string, ...routes: Partial<Route>[]) =>
    aService({
      name,
      spec: aSpec({
        ports: [aPort({ containerPort: 8080 }), aPort({ containerPort: 9000 })],
        routes: routes.map((route, index) => aRoute({ name: `${index + 1}`, ...route })),
      }),
    });
  const plan = (...services: Service[]) => planRoutes(lb([http, bytes]), services);

  test('gives what has no routes the default pool, and what has some a backend for each port', () => {
    const shop = routed('shop', { hosts: ['a.test'] }, { paths: ['/x'], targetPort: 9000 });
    const { backends, memberships, frontends } = plan(aService(), shop);
    expect(backends.map(({ name, mode }) => `${name} ${mode}`)).toEqual([
      'default http',
      'shop.8080 http',
      'shop.9000 http',
    ]);
    expect(memberships.get(shop.id)?.map(({ backend, port }) => [backend, port])).toEqual([
      ['shop.8080', 8080],
      ['shop.9000', 9000],
    ]);
    expect(frontends.map(({ routes }) => routes.map(({ id, backend }) => [id, backend]))).toEqual(
      Array(2).fill([
        ['shop.1', 'shop.8080'],
        ['shop.2', 'shop.9000'],
      ]),
    );
  });

  test('has no default pool when all that it links to has routes', () => {
    expect(plan(routed('shop', {})).backends.map(({ name }) => name)).toEqual(['shop.8080']);
    expect(plan().backends.map(({ name }) => name)).toEqual(['default']);
  });

  test('passes a port on as bytes, and leaves the other ports of the service in the default pool', () => {
    const db = routed('db', { kind: 'tcp', port: 5432, targetPort: 8080 });
    const { memberships, frontends } = plan(db);
    expect(frontends.map(({ mode, defaultBackend }) => [mode, defaultBackend])).toEqual([
      ['http', 'default'],
      ['tcp', 'db.8080.tcp'],
    ]);
    expect(memberships.get(db.id)?.map(({ backend, port }) => [backend, port])).toEqual([
      ['default', 9000],
      ['db.8080.tcp', 8080],
    ]);
  });

  test('leads a part of the requests to another service, and gives backups a place', () => {
    const green = routed('green', { hosts: ['green.test'] });
    const split = [
      { service: 'green', percent: 10, targetPort: 0 },
      { service: 'gone', percent: 5, targetPort: 0 },
    ];
    const blue = routed('blue', { split });
    const standby = aService({ name: 'standby' });
    const balancing = aBalancing({ backups: ['standby'] });
    const backed = { ...blue, spec: { ...blue.spec, balancing } };
    const { frontends, memberships, backends } = plan(backed, green, standby);
    const [route] = frontends[0]?.routes ?? [];
    expect(route).toMatchObject({
      ...{ id: 'blue.1', backend: 'blue.8080' },
      split: [{ backend: 'green.8080', percent: 10 }],
    });
    expect(memberships.get(standby.id)).toMatchObject([
      { backend: 'blue.8080', port: 80, backup: true },
    ]);
    expect(backends.map(({ name }) => name)).not.toContain('default');
  });

  test('takes settings of the default pool where its services agree', () => {
    const sticky = aBalancing({ stickyCookie: 'SRV' });
    const one = aService({ name: 'one', spec: aSpec({ balancing: sticky }) });
    const two = aService({ name: 'two', spec: aSpec({ balancing: sticky }) });
    expect(plan(one, two).backends[0]?.balancing).toEqual(sticky);
    expect(plan(one, aService()).backends[0]?.balancing).toEqual(aBalancing());
    // What counts for single services is no matter of the pool.
    const own = aBalancing({ stickyCookie: 'SRV', sendProxy: true, http2Ports: [80] });
    const three = aService({ name: 'three', spec: aSpec({ balancing: own }) });
    expect(plan(one, three).backends[0]?.balancing).toEqual(sticky);
  });

  test('has routes for one port at that port alone', () => {
    const { frontends } = plan(routed('shop', { port: 80 }));
    expect(frontends.map(({ routes }) => routes.length)).toEqual([1, 0]);
  });

  test('tells the targets of one container apart', () => {
    const bindings = [
      aBinding({ containerPort: 8080, hostPort: 1 }),
      aBinding({ containerPort: 9000, hostPort: 2 }),
    ];
    const { spec } = routed('web', {}, { paths: ['/x'], targetPort: 9000 });
    const definition = aDefinition({ ports: spec.ports });
    const case_ = { service: { spec }, container: { definition }, observed: { ports: bindings } };
    expect(targets(case_).map(({ id, backend }) => [id, backend])).toEqual([
      ['web-1.01234567.1.8080', 'web.8080'],
      ['web-1.01234567.2.9000', 'web.9000'],
    ]);
  });
});
