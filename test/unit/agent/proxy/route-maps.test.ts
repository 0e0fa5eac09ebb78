import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { FrontendRoute } from '../../../../agent/proxy/backend-list.ts';
import { chainMark, compileRoutes, mapsOf } from '../../../../agent/proxy/route-maps.ts';
import { Balancing } from '../../../../shared/gen/fairlead/v1/route.ts';
import { hostRank, pathRank } from '../../../../shared/route-order.ts';
import { conditionsOf } from '../../../../shared/routing.ts';
import { aProtoRoute } from '../../../support/routes.ts';

const aFrontend = (routes: readonly FrontendRoute[]) =>
  ({ name: 'http_80', port: 80, protocol: 'http', defaultBackend: 'default', routes }) as const;

const hostPatterns = fc.constantFrom('a.b', 'c.a.b', '*.b', '*.a.b', '*.c.a.b', 'b');
const pathPatterns = fc.constantFrom('/', '/*', '/x', '/x/*', '/x/y', '/x/y/*', '/xy/*', '/x/');
const someRoutes = fc
  .array(
    fc.record({
      hosts: fc.uniqueArray(hostPatterns, { maxLength: 2 }),
      paths: fc.uniqueArray(pathPatterns, { maxLength: 2 }),
      methods: fc.constantFrom<string[]>([], [], ['POST']),
      priority: fc.constantFrom(0, 0, 0, 1),
    }),
    { maxLength: 5 },
  )
  .map((routes) =>
    routes.map((route, index) => ({
      id: `s.${index}`,
      backend: `b.${index}`,
      route: aProtoRoute(route),
    })),
  );

/** What HAProxy does with the maps. */
function lookUp(routes: readonly FrontendRoute[], host: string, path: string, method: string) {
  const { paths, wildcards, chains } = compileRoutes(aFrontend(routes));
  const find = (key: string) =>
    [...paths]
      .filter(([prefix]) => `${key}${path}?`.startsWith(prefix))
      .sort(([a], [b]) => b.length - a.length)[0]?.[1];
  const wildcard = wildcards.find(([end]) => host.endsWith(end))?.[1];
  const value = find(host) ?? (wildcard === undefined ? undefined : find(wildcard)) ?? find('*');
  const chain = chains.find((_, index) => chainMark(index) === value);
  if (chain === undefined) return value;
  return chain.find(({ route }) => route.methods.length === 0 || route.methods.includes(method))
    ?.id;
}

function matchesHost(pattern: string, host: string): boolean {
  return pattern === host || (pattern.startsWith('*.') && host.endsWith(pattern.slice(1)));
}

function matchesPath(pattern: string, path: string): boolean {
  if (!pattern.endsWith('/*')) return pattern === path;
  const base = pattern.slice(0, -2);
  return path === base || path.startsWith(`${base}/`);
}

/** The order as the contract has it. */
function expected(routes: readonly FrontendRoute[], host: string, path: string, method: string) {
  const best = (
    patterns: readonly string[],
    rank: (p: string) => number,
    is: (p: string) => boolean,
  ) => (patterns.length === 0 ? 0 : Math.max(-1, ...patterns.filter(is).map(rank)));
  const ranked = routes.flatMap(({ id, route }, index) => {
    if (route.methods.length > 0 && !route.methods.includes(method)) return [];
    const byHost = best(route.hosts, hostRank, (p) => matchesHost(p, host));
    const byPath = best(route.paths, pathRank, (p) => matchesPath(p, path));
    if (byHost < 0 || byPath < 0) return [];
    return [{ id, order: [-route.priority, -byHost, -byPath, -conditionsOf(route), index] }];
  });
  const later = (a: readonly number[], b: readonly number[]) => {
    const at = a.findIndex((value, index) => value !== b[index]);
    return at < 0 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
  };
  return ranked.sort((a, b) => later(a.order, b.order))[0]?.id;
}

test('maps lead every request to the route that counts by the stated order', () => {
  const hosts = fc.constantFrom('a.b', 'c.a.b', 'd.c.a.b', 'x.b', 'b', 'other');
  const paths = fc.constantFrom('/', '/x', '/x/', '/x/y', '/x/y/z', '/xy', '/xy/z', '/z');
  fc.assert(
    fc.property(someRoutes, hosts, paths, fc.constantFrom('GET', 'POST'), (routes, ...request) => {
      expect(lookUp(routes, ...request)).toBe(expected(routes, ...request));
    }),
    { numRuns: 3_000 },
  );
});

test('as many routes as a service may have are compiled in no time', () => {
  const routes = Array.from({ length: 100 }, (_, index) => ({
    ...{ id: `web.${index}`, backend: 'web' },
    route: aProtoRoute({
      ...{ priority: index, hosts: ['a.test'] },
      paths: Array.from({ length: 100 }, (_, at) => `/r${index}/p${at}/*`),
    }),
  }));
  const before = process.cpuUsage().user;
  expect(compileRoutes(aFrontend(routes)).paths).toHaveLength(20_000);
  // It was five seconds, and is a tenth of one.
  expect(process.cpuUsage().user - before).toBeLessThan(2_000_000);
});

test('maps of frontends without routes are not there at all', () => {
  expect(mapsOf({ frontends: [aFrontend([])], backends: [] }).size).toBe(0);
  const route = { id: 'web.1', backend: 'web.80', route: aProtoRoute() };
  expect([...mapsOf({ frontends: [aFrontend([route])], backends: [] })]).toEqual([
    ['backends.map', [['web.1', 'web.80']]],
    ['http_80.paths.map', [['*/', 'web.1']]],
    ['http_80.wildcards.map', []],
  ]);
});

test('of a split route the map says also where clients stay that a cookie keeps, at parts that are given any', () => {
  const route = { id: 'web.1', backend: 'web.80', route: aProtoRoute() };
  const split = [
    { backend: 'green.80', percent: 98 },
    { backend: 'idle.80', percent: 0 },
    { backend: 'free.80', percent: 2 },
  ];
  const sticky = (name: string) => ({
    ...{ name, protocol: 'http' as const, cookieKey: name },
    balancing: Balancing.fromPartial({ stickyCookie: 'SRV' }),
  });
  const backends = ['web.80', 'green.80', 'idle.80'].map(sticky);
  const frontends = [aFrontend([{ ...route, split }])];
  const map = new Map(mapsOf({ frontends, backends }).get('backends.map'));
  const kept = [...map].filter(([key]) => key.includes('@')).map(([, backend]) => backend);
  expect(kept).toEqual(['green.80']);
  expect(new Set([map.get('web.1:97'), map.get('web.1:98'), map.get('web.1:99')])).toEqual(
    new Set(['green.80', 'free.80']),
  );
  expect(new Map(mapsOf({ frontends, backends: [] }).get('backends.map')).size).toBe(101);
});
