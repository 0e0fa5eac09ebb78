import { isDeepStrictEqual } from 'node:util';
import type { FieldViolation } from '../../shared/errors.ts';
import {
  HeaderMatchKind,
  RouteKind,
  Route as ProtoRoute,
  type HeaderMatch as ProtoHeaderMatch,
} from '../../shared/gen/fairlead/v1/route.ts';
import { conflictOf } from '../../shared/route-order.ts';
import type { HeaderMatch, Route } from '../../shared/routing.ts';
import type { Port } from '../model.ts';
import {
  policiesFromProto,
  policiesToProto,
  validateHeaderName,
  validatePrintable,
} from './convert-policies.ts';
import { numberOf, wordOf, type EnumWords } from './enum-words.ts';
import { quote, validateCount, validateName, validateRange, validateUnique } from './validate.ts';

const maxRoutes = 100;
const maxPatterns = 100;
/** Of all routes of a service: each is a line or two in a map of every load balancer. */
const maxPairs = 10_000;
const maxConditions = 20;
const maxPort = 65_535;
const maxPriority = 1_000;

const hostPattern = /^(\*\.)?(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/;
const pathPattern = /^\/[!-~]*$/;
/** Load balancers refuse such requests, and look up slashes that follow one another as one. */
const stepsBack = /\/\/|\/\.{1,2}(\/|$)/;
/** Load balancers refuse what asks for a tunnel: nobody could say what goes by it. */
const methodPattern = /^(?!CONNECT$)[A-Z]{1,20}$/;

/** What a route that carries connections has; all else is of requests. */
const ofConnections: ReadonlySet<string> = new Set([
  ...['name', 'kind', 'port', 'hosts', 'priority', 'targetPort', 'allow', 'deny'],
]);

const kinds: EnumWords<RouteKind, Route['kind']> = [
  [RouteKind.HTTP, 'http'],
  [RouteKind.TCP, 'tcp'],
  [RouteKind.TLS_PASSTHROUGH, 'tls-passthrough'],
];
const matchKinds: EnumWords<HeaderMatchKind, HeaderMatch['kind']> = [
  [HeaderMatchKind.EXACT, 'exact'],
  [HeaderMatchKind.PREFIX, 'prefix'],
  [HeaderMatchKind.CONTAINS, 'contains'],
  [HeaderMatchKind.PRESENT, 'present'],
];

/** Where a list of routes stands, and in what definition. */
export interface RoutesContext {
  readonly field: string;
  readonly ports: readonly Port[];
  readonly isLoadBalancer: boolean;
}

/** Which requests come to a service. */
export function routesFromProto(
  routes: readonly ProtoRoute[],
  { field, ports, isLoadBalancer }: RoutesContext,
  into: FieldViolation[],
): readonly Route[] {
  validateCount(routes.length, { max: maxRoutes, field }, into);
  if (isLoadBalancer && routes.length > 0) {
    into.push({
      field,
      rule: 'must be empty with the role PROXY: give routes to the services behind',
    });
  }
  const converted = routes.map((route, index) =>
    routeFromProto({ ...route, name: route.name || `${index + 1}` }, `${field}[${index}]`, into),
  );
  const pairs = converted.reduce(
    (sum, { hosts, paths }) => sum + Math.max(1, hosts.length) * Math.max(1, paths.length),
    0,
  );
  if (pairs > maxPairs) {
    const rule = `must have at most ${maxPairs} pairs of a host and a path in all, and has ${pairs}`;
    into.push({ field, rule });
  }
  const names = converted.map(({ name }) => name);
  validateUnique(names, { field, what: 'name' }, into);
  for (const [index, route] of converted.entries()) {
    const at = `${field}[${index}]`;
    validateTarget(route, { field: at, ports }, into);
    const earlier = converted
      .slice(0, index)
      .findIndex((other) => conflictOf(other, route) !== undefined);
    if (earlier === -1) continue;
    into.push({
      field: at,
      rule: `matches the same requests as ${field}[${earlier}]: give them different priorities`,
    });
  }
  return converted;
}

/** A route to a port that no container has would take requests and answer none. */
function validateTarget(
  { targetPort }: Route,
  { field, ports }: { readonly field: string; readonly ports: readonly Port[] },
  into: FieldViolation[],
): void {
  const own = ports.filter(({ protocol }) => protocol === 'tcp').map((port) => port.containerPort);
  if (targetPort === 0 ? own.length > 0 : own.includes(targetPort)) return;
  const rule =
    own.length === 0
      ? 'needs a TCP port in ports to send requests to'
      : `must be one of the TCP ports ${own.join(', ')} that the service declares, and is ${targetPort}`;
  into.push({ field: `${field}.target_port`, rule });
}

function routeFromProto(route: ProtoRoute, field: string, into: FieldViolation[]): Route {
  const { name, port, methods, priority, targetPort, replacePath } = route;
  validateName(name, `${field}.name`, into);
  const kind = wordOf(kinds, route.kind);
  validateRange(port, { min: 0, max: maxPort, field: `${field}.port` }, into);
  validateRange(targetPort, { min: 0, max: maxPort, field: `${field}.target_port` }, into);
  const limits = { min: -maxPriority, max: maxPriority, field: `${field}.priority` };
  validateRange(priority, limits, into);
  if (kind !== 'http') requireTcp(route, { kind, field }, into);
  const hosts = hostsFromProto(route.hosts, `${field}.hosts`, into);
  validatePaths(route.paths, `${field}.paths`, into);
  validateCount(methods.length, { max: maxConditions, field: `${field}.methods` }, into);
  validateUnique(methods, { field: `${field}.methods`, what: 'method' }, into);
  for (const [index, method] of methods.entries()) {
    if (methodPattern.test(method)) continue;
    const rule = `must be upper-case letters like GET, not CONNECT, and is ${quote(method)}`;
    into.push({ field: `${field}.methods[${index}]`, rule });
  }
  if (replacePath !== '') {
    validatePath(replacePath, `${field}.replace_path`, into);
    if (route.paths.length === 0) {
      into.push({ field: `${field}.replace_path`, rule: 'must only be set together with paths' });
    }
  }
  return {
    ...{ name, kind, port, hosts, priority, targetPort, replacePath },
    paths: [...route.paths],
    methods: [...methods],
    headers: headersFromProto(route.headers, `${field}.headers`, into),
    ...policiesFromProto(route, field, into),
  };
}

/** Bytes have no path, no method and no header. */
function requireTcp(
  route: ProtoRoute,
  { kind, field }: { readonly kind: Route['kind']; readonly field: string },
  into: FieldViolation[],
): void {
  if (route.port === 0) {
    const rule =
      'is required but with the kind HTTP: the port of the load balancer that is passed on';
    into.push({ field: `${field}.port`, rule });
  }
  const empty = ProtoRoute.create();
  for (const key of Object.keys(empty) as (keyof ProtoRoute)[]) {
    if (ofConnections.has(key) || isDeepStrictEqual(route[key], empty[key])) continue;
    const name = key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    into.push({ field: `${field}.${name}`, rule: 'must only be set with the kind HTTP' });
  }
  if (kind === 'tcp' && route.hosts.length > 0) {
    const rule = 'must be empty with the kind TCP: bytes have no host; see TLS_PASSTHROUGH';
    into.push({ field: `${field}.hosts`, rule });
  }
}

function hostsFromProto(hosts: readonly string[], field: string, into: FieldViolation[]): string[] {
  validateCount(hosts.length, { max: maxPatterns, field }, into);
  const lower = hosts.map((host) => host.toLowerCase());
  validateUnique(lower, { field, what: 'host' }, into);
  for (const [index, host] of lower.entries()) {
    if (host.length <= 253 && hostPattern.test(host)) continue;
    const rule = `must be a host like "shop.example.com" or "*.example.com", without a port, and is ${quote(host)}`;
    into.push({ field: `${field}[${index}]`, rule });
  }
  return lower;
}

function validatePaths(paths: readonly string[], field: string, into: FieldViolation[]): void {
  validateCount(paths.length, { max: maxPatterns, field }, into);
  validateUnique(paths, { field, what: 'path' }, into);
  for (const [index, path] of paths.entries()) {
    const at = `${field}[${index}]`;
    const plain = path.endsWith('/*') ? path.slice(0, -1) : path;
    validatePath(plain, at, into);
    validateLookup(plain, at, into);
    if (!/[*]|%2a/i.test(plain)) continue;
    into.push({ field: at, rule: `must have "*" only as "/*" at the end, and is ${quote(path)}` });
  }
}

function validatePath(path: string, field: string, into: FieldViolation[]): void {
  if (path.length <= 1_024 && pathPattern.test(path) && !/[?#]/.test(path)) return;
  const rule = `must begin with "/" and have at most 1024 printable characters without spaces, "?" and "#", and is ${quote(path)}`;
  into.push({ field, rule });
}

/** Whether a path can be what the path of a request is looked up as. */
function validateLookup(path: string, field: string, into: FieldViolation[]): void {
  if (!isDecodable(path)) {
    const rule = `must have "%" only before two digits that encode UTF-8, and no blank or control character, encoded or not: it is looked up decoded, and is ${quote(path)}`;
    into.push({ field, rule });
  } else if (/[;\\]/.test(decodeURIComponent(path))) {
    const rule = `must not have ";" or a backslash, encoded or not: what is looked up never has, and it is ${quote(path)}`;
    into.push({ field, rule });
  } else if (stepsBack.test(decodeURIComponent(path))) {
    const rule = `must not have "." or ".." as a part, nor an empty one: what is looked up never has, and it is ${quote(path)}`;
    into.push({ field, rule });
  }
}

/** What is looked up is one word, without what would end it: a question mark. */
function isDecodable(path: string): boolean {
  try {
    return /^[^\0-\x20\x7f?]*$/.test(decodeURIComponent(path));
  } catch {
    return false;
  }
}

function headersFromProto(
  headers: readonly ProtoHeaderMatch[],
  field: string,
  into: FieldViolation[],
): HeaderMatch[] {
  validateCount(headers.length, { max: maxConditions, field }, into);
  return headers.map(({ name, kind: number, value }, index) => {
    const at = `${field}[${index}]`;
    const kind = wordOf(matchKinds, number);
    validateHeaderName(name, `${at}.name`, into);
    validatePrintable(value, `${at}.value`, into);
    if (kind === 'present' && value !== '') {
      into.push({ field: `${at}.value`, rule: 'must be empty with the kind PRESENT' });
    }
    if (kind !== 'present' && value === '') {
      into.push({ field: `${at}.value`, rule: 'is required but with the kind PRESENT' });
    }
    return { name, kind, value };
  });
}

/** The message of a route, with nothing left to default, hashes of passwords among it: for proxies alone. */
export function routeToProto(route: Route): ProtoRoute {
  return {
    ...route,
    ...policiesToProto(route),
    kind: numberOf(kinds, route.kind),
    hosts: [...route.hosts],
    paths: [...route.paths],
    methods: [...route.methods],
    headers: route.headers.map(({ kind, ...rest }) => ({
      ...rest,
      kind: numberOf(matchKinds, kind),
    })),
  };
}

/** As users see it: without the hashes. */
export function shownRoute(route: Route): ProtoRoute {
  const message = routeToProto(route);
  const users = message.basicAuth?.users.map((user) => ({ ...user, passwordHash: '' }));
  if (message.basicAuth === undefined || users === undefined) return message;
  return { ...message, basicAuth: { ...message.basicAuth, users } };
}

/** The routes of a change, with the hashes that it leaves empty as those of the same names have them now. */
export function withKeptHashes(
  routes: readonly ProtoRoute[],
  before: readonly Route[],
): ProtoRoute[] {
  return routes.map((route, index) => {
    const name = route.name || `${index + 1}`;
    const kept = before.find((each) => each.name === name)?.basicAuth?.users ?? [];
    if (route.basicAuth === undefined || kept.length === 0) return route;
    const users = route.basicAuth.users.map((user) => ({
      ...user,
      passwordHash:
        user.passwordHash || (kept.find((each) => each.name === user.name)?.passwordHash ?? ''),
    }));
    return { ...route, basicAuth: { ...route.basicAuth, users } };
  });
}
