import { expect, test } from 'vitest';
import { planRoutes } from '../../../../coordinator/routing/routes.ts';
import { securedHosts } from '../../../../coordinator/routing/tls-ports.ts';
import type { Route } from '../../../../shared/routing.ts';
import { aPort, aService, aSpec } from '../../../support/builders.ts';
import { aRoute } from '../../../support/routes.ts';

const tls = { ...aSpec().tls };
const ports = [aPort({ containerPort: 80 }), aPort({ containerPort: 443 })];

function web(name: string, ...routes: Partial<Route>[]) {
  return aService({ name, spec: aSpec({ ports: [aPort()], routes: routes.map(aRoute) }) });
}

function plan(settings: Partial<typeof tls>, ...linked: ReturnType<typeof web>[]) {
  const spec = aSpec({ apiRole: 'proxy', ports, tls: { ...tls, ...settings } });
  return planRoutes(aService({ name: 'lb', spec }), linked);
}

/** Ports that speak TLS. */
function secured(...args: Parameters<typeof plan>): number[] {
  return plan(...args)
    .frontends.filter((frontend) => frontend.tls !== null)
    .map(({ port }) => port.containerPort);
}

test('443 speaks TLS unless others are named', () => {
  expect(secured({})).toEqual([443]);
  expect(secured({ ports: [80] })).toEqual([80]);
  expect(secured({ ports: [80, 443] })).toEqual([80, 443]);
});

test('not where containers end it themselves, nor before bytes unless it is named', () => {
  const passthrough = web('a', { kind: 'tls-passthrough', port: 443, hosts: ['a.test'] });
  expect(secured({}, passthrough)).toEqual([]);
  expect(secured({ ports: [443] }, passthrough)).toEqual([]);
  const bytes = web('a', { kind: 'tcp', port: 443 });
  expect(secured({}, bytes)).toEqual([]);
  expect(secured({ ports: [443] }, bytes)).toEqual([443]);
});

test('it has the settings of the load balancer', () => {
  const [, frontend] = plan({ policy: 'modern' }).frontends;
  expect(frontend?.tls).toEqual({
    policy: 'modern',
    clientCertificates: 'none',
    clientCaPem: '',
  });
});

test('certificates are for the hosts of its routes, for any host if something takes those', () => {
  const hosts = (...linked: ReturnType<typeof web>[]) => securedHosts(plan({}, ...linked));
  const a = web('a', { hosts: ['a.test', '*.a.test'] });
  expect(hosts()).toBe('any');
  expect(hosts(a)).toEqual(['a.test', '*.a.test']);
  expect(hosts(a, web('b', { hosts: ['b.test'], port: 80 }))).toEqual(['a.test', '*.a.test']);
  expect(hosts(a, web('b'))).toBe('any');
  expect(hosts(a, web('b', { paths: ['/b'] }))).toBe('any');
  expect(securedHosts(plan({ ports: [443] }, web('c', { kind: 'tcp', port: 443 })))).toBe('any');
  expect(securedHosts({ frontends: [], backends: [] })).toBe(null);
});
