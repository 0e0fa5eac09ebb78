import { RouteKind } from '../../shared/gen/fairlead/v1/route.ts';
import { conditionsOf } from '../../shared/routing.ts';
import { decodedPath, hostRank, pathRank } from '../../shared/route-order.ts';
import type { Backend, Frontend, FrontendRoute, Structure } from './backend-list.ts';
import { serviceMark, stickyOf } from './slots.ts';

/** Lines of a map: key and value. */
export type MapEntries = readonly (readonly [key: string, value: string])[];

/** Routes of one frontend as HAProxy looks them up. */
export interface CompiledRoutes {
  /**
   * By host pattern, decoded path and what ends them: `?` for a path that ends there, which no path holds. The longest
   * key that a request begins with counts. The value is the id of a route, or the mark of a chain.
   */
  readonly paths: MapEntries;
  /** By what a host ends with, the longest first: the host pattern that it stands for in `paths`. */
  readonly wildcards: MapEntries;
  /** Routes of which the first counts whose conditions are met; `chainMark` names each by its place. */
  readonly chains: readonly (readonly FrontendRoute[])[];
}

/** The value in `paths` that stands for a chain. */
export function chainMark(index: number): string {
  return `~${index}`;
}

const compiled = new WeakMap<Frontend, CompiledRoutes>();

/** Compiles the routes of a frontend; the same frontend is compiled once. */
export function compileRoutes(frontend: Frontend): CompiledRoutes {
  const known = compiled.get(frontend);
  if (known !== undefined) return known;
  const result = compile(frontend.routes);
  compiled.set(frontend, result);
  return result;
}

/** A route with the pattern of its that matches some host, in the order of the list. */
interface Candidate {
  readonly route: FrontendRoute;
  readonly index: number;
  readonly hostRank: number;
}

/**
 * Works out for every host pattern and every path pattern which routes could count there. So a request needs
 * one look into a map, however many routes there are, and changing them changes no file but that of the map.
 */
function compile(routes: readonly FrontendRoute[]): CompiledRoutes {
  const byHost = new Map<string, Candidate[]>();
  for (const [index, route] of routes.entries()) {
    const { hosts } = route.route;
    for (const host of hosts.length === 0 ? [''] : hosts) {
      const known = byHost.get(host) ?? [];
      known.push({ route, index, hostRank: hostRank(host) });
      byHost.set(host, known);
    }
  }
  const rows: [string, readonly FrontendRoute[]][] = [];
  for (const host of byHost.keys()) {
    const candidates = patternsOver(host).flatMap((pattern) => byHost.get(pattern) ?? []);
    for (const [key, chain] of chainsByPath(firstOfEach(candidates))) {
      rows.push([`${host === '' ? '*' : host}${key}`, chain]);
    }
  }
  const marks = marksOf(rows.map(([, chain]) => chain));
  return {
    paths: rows.map(([key, chain]) => [key, marks.valueOf(chain)]),
    wildcards: [...byHost.keys()]
      .filter((host) => host.startsWith('*.'))
      .sort((a, b) => b.length - a.length || (a < b ? -1 : 1))
      .map((host) => [host.slice(1), host]),
    chains: marks.chains,
  };
}

/** All patterns that match whatever this one matches: itself, the wildcards over it, and any. */
function patternsOver(host: string): string[] {
  const wildcards: string[] = [];
  const name = host.startsWith('*.') ? host.slice(2) : host;
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
    wildcards.push(`*${name.slice(dot)}`);
  }
  return host === '' ? [''] : [host, ...wildcards, ''];
}

/** A route may have a host and a wildcard over it: the narrower one is how it matches there. */
function firstOfEach(candidates: readonly Candidate[]): Candidate[] {
  const kept = new Map<FrontendRoute, Candidate>();
  for (const candidate of candidates) {
    if (!kept.has(candidate.route)) kept.set(candidate.route, candidate);
  }
  return [...kept.values()];
}

/** For every path pattern of the candidates the routes to try there, the first first. */
function chainsByPath(candidates: readonly Candidate[]): Map<string, FrontendRoute[]> {
  const byPattern = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    for (const path of new Set(pathsOf(candidate.route))) {
      const known = byPattern.get(path);
      if (known === undefined) byPattern.set(path, [candidate]);
      else known.push(candidate);
    }
  }
  const chains = new Map<string, FrontendRoute[]>();
  // Exact paths last: what a prefix has for the path that ends where it does is theirs.
  const ordered = [...byPattern.keys()].sort((a, b) => Number(isExact(a)) - Number(isExact(b)));
  for (const pattern of ordered) {
    const chain = chainAt(pattern, byPattern);
    if (isExact(pattern)) chains.set(`${pattern}?`, chain);
    else {
      const base = baseOf(pattern);
      chains.set(`${base}/`, chain);
      if (base !== '') chains.set(`${base}?`, chain);
    }
  }
  return chains;
}

function chainAt(
  pattern: string,
  byPattern: ReadonlyMap<string, readonly Candidate[]>,
): FrontendRoute[] {
  const ranks = new Map<Candidate, number>();
  for (const outer of patternsAbove(pattern)) {
    for (const candidate of byPattern.get(outer) ?? []) {
      ranks.set(candidate, Math.max(ranks.get(candidate) ?? 0, pathRank(outer)));
    }
  }
  const matching = [...ranks].map(([candidate, rank]) => ({ ...candidate, pathRank: rank }));
  matching.sort(
    (a, b) =>
      b.route.route.priority - a.route.route.priority ||
      b.hostRank - a.hostRank ||
      b.pathRank - a.pathRank ||
      conditionsOf(b.route.route) - conditionsOf(a.route.route) ||
      a.index - b.index,
  );
  const end = matching.findIndex(({ route }) => conditionsOf(route.route) === 0);
  return (end === -1 ? matching : matching.slice(0, end + 1)).map(({ route }) => route);
}

const decodedPaths = new WeakMap<readonly string[], readonly string[]>();

/** Decoded, as the paths of requests are when they are looked up. */
function pathsOf({ route: { paths } }: FrontendRoute): readonly string[] {
  const known = decodedPaths.get(paths);
  if (known !== undefined) return known;
  const decoded = paths.length === 0 ? [''] : paths.map(decodedPath);
  decodedPaths.set(paths, decoded);
  return decoded;
}

function isExact(path: string): boolean {
  return path !== '' && !path.endsWith('/*');
}

/** Of `/api/*` it is `/api`; of any path, nothing. */
function baseOf(path: string): string {
  return path.endsWith('/*') ? path.slice(0, -2) : path;
}

/** All patterns that match whatever path this one matches: any, the prefixes that it is below, and itself. */
function patternsAbove(pattern: string): Set<string> {
  const base = baseOf(pattern);
  const prefixes: string[] = [];
  for (let slash = base.indexOf('/'); slash >= 0; slash = base.indexOf('/', slash + 1)) {
    prefixes.push(`${base.slice(0, slash)}/*`);
  }
  return new Set(['', ...prefixes, `${base}/*`, pattern]);
}

/** Chains are numbered by what they are, so that the same ones have the same numbers. */
function marksOf(all: readonly (readonly FrontendRoute[])[]) {
  const needed = new Map<string, readonly FrontendRoute[]>();
  for (const chain of all) if (isConditional(chain)) needed.set(keyOf(chain), chain);
  const keys = [...needed.keys()].sort();
  const places = new Map(keys.map((key, index) => [key, index]));
  return {
    chains: keys.map((key) => needed.get(key) ?? []),
    valueOf: (chain: readonly FrontendRoute[]) =>
      isConditional(chain) ? chainMark(places.get(keyOf(chain)) ?? 0) : (chain[0]?.id ?? ''),
  };
}

function isConditional([first]: readonly FrontendRoute[]): boolean {
  return first !== undefined && conditionsOf(first.route) > 0;
}

function keyOf(chain: readonly FrontendRoute[]): string {
  return chain.map(({ id }) => id).join(' ');
}

type Maps = ReadonlyMap<string, MapEntries>;

const made = new WeakMap<
  readonly Frontend[],
  { readonly backends: readonly Backend[]; readonly maps: Maps }
>();

/**
 * Map files of a structure by their name: of each frontend with routes, and one for where routes lead. The same
 * frontends and backends have the same maps.
 */
export function mapsOf({ frontends, backends }: Structure): Maps {
  const known = made.get(frontends);
  if (known?.backends === backends) return known.maps;
  const maps = makeMaps(frontends, backends);
  made.set(frontends, { backends, maps });
  return maps;
}

function makeMaps(frontends: readonly Frontend[], all: readonly Backend[]): Maps {
  const maps = new Map<string, MapEntries>();
  const routed = frontends.filter(looksUp);
  if (routed.length === 0) return maps;
  // Where routes lead comes first: what can be looked up must be there before anything leads to it.
  const backends = new Map<string, string>();
  const marks = new Map(
    all.flatMap((backend) => {
      const sticky = stickyOf(backend);
      return sticky === undefined ? [] : [[backend.name, serviceMark(sticky)] as const];
    }),
  );
  for (const { routes } of routed) {
    for (const route of routes)
      for (const [key, backend] of leadsTo(route, marks)) backends.set(key, backend);
  }
  maps.set(backendsMap, [...backends]);
  for (const frontend of routed) {
    const { paths, wildcards } = compileRoutes(frontend);
    maps.set(pathsMap(frontend), paths);
    maps.set(wildcardsMap(frontend), wildcards);
  }
  return maps;
}

/** A port that is passed on as it is has its backend in the file. */
function looksUp({ routes }: Frontend): boolean {
  return routes.some(({ route }) => route.kind !== RouteKind.TCP);
}

/**
 * Where a route leads: its backend, or for each of a hundred equal parts of its requests one. Clients that are kept
 * by a cookie stay at the one of these that it is of: `serviceMarks` has what cookies of backends begin with.
 */
function leadsTo(
  { id, backend, split = [] }: FrontendRoute,
  serviceMarks: ReadonlyMap<string, string>,
): [string, string][] {
  const others = split.flatMap((share) => Array<string>(share.percent).fill(share.backend));
  if (others.length === 0) return [[id, backend]];
  const parts = Array.from({ length: buckets }, (_, bucket): [string, string] => [
    `${id}:${bucket}`,
    others[bucket] ?? backend,
  ]);
  const kept = [...new Set(parts.map(([, each]) => each))].flatMap((each): [string, string][] => {
    const mark = serviceMarks.get(each);
    return mark === undefined ? [] : [[`${id}@${mark}`, each]];
  });
  return [...parts, ...kept, [id, splitMark]];
}

/** Parts into which the requests of a route are split. */
export const buckets = 100;

/** Stands for a route whose requests lead to several backends; no backend can be called so. */
export const splitMark = '%';

/** Name of the map from routes to backends. */
export const backendsMap = 'backends.map';

/** Name of the map from hosts and paths to routes. */
export function pathsMap({ name }: Pick<Frontend, 'name'>): string {
  return `${name}.paths.map`;
}

/** Name of the map from what hosts end with to wildcards. */
export function wildcardsMap({ name }: Pick<Frontend, 'name'>): string {
  return `${name}.wildcards.map`;
}
