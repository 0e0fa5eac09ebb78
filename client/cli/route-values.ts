import { readFileSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import { messageOf } from '../../shared/errors.ts';
import { HeaderMatchKind, Route, RouteKind } from '../../shared/gen/fairlead/v1/route.ts';
import { readStrictly } from './strict-json.ts';
import { readDuration } from './values.ts';

const maxNameLength = 54;

/**
 * `shop.example.com/api/*`, then settings: `shop.example.com,to=8080,priority=5`. Or the routes of a JSON file:
 * `@routes.json`.
 */
export function readRoutes(text: string): Route[] {
  const routes = text.startsWith('@') ? routesIn(text.slice(1)) : [routeIn(text)];
  return routes.map(namedRoute);
}

/** A route with a name: from what it matches, unless it has one, so that the same one has the same name. */
export function namedRoute(route: Route): Route {
  return { ...route, name: route.name || nameOf(route) };
}

function routesIn(path: string): Route[] {
  try {
    const content: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return (Array.isArray(content) ? content : [content]).map((each) => readStrictly(Route, each));
  } catch (error) {
    throw new InvalidArgumentError(`${path} cannot be read: ${messageOf(error)}.`);
  }
}

type Setting = (route: Route, value: string) => void;

const kinds: Readonly<Record<string, RouteKind>> = {
  http: RouteKind.HTTP,
  tcp: RouteKind.TCP,
  tls: RouteKind.TLS_PASSTHROUGH,
};

const settings: Readonly<Record<string, Setting>> = {
  name: (route, value) => (route.name = value),
  kind: (route, value) => (route.kind = kinds[value] ?? refuse('kind is http, tcp or tls')),
  port: (route, value) => (route.port = number('port', value)),
  to: (route, value) => (route.targetPort = number('to', value)),
  host: (route, value) => route.hosts.push(value),
  path: (route, value) => route.paths.push(value),
  method: (route, value) => route.methods.push(value),
  header: (route, value) => {
    const [name = '', ...rest] = value.split(':');
    const kind = rest.length === 0 ? HeaderMatchKind.PRESENT : HeaderMatchKind.EXACT;
    route.headers.push({ name, kind, value: rest.join(':') });
  },
  priority: (route, value) => (route.priority = number('priority', value)),
  replace: (route, value) => (route.replacePath = value),
  redirect: (route, value) => (route.redirect = { to: value, whole: false, status: 0 }),
  'force-https': (route, value) => (route.forceHttps = alone('force-https', value)),
  hsts: (route, value) => {
    const maxAgeS = Math.round(readDuration(value) / 1_000);
    route.strictTransport = { maxAgeS, includeSubdomains: false };
  },
  allow: (route, value) => route.allow.push(value),
  deny: (route, value) => route.deny.push(value),
  rate: (route, value) => {
    const [requests = '', period = '1s'] = value.split('/');
    route.rateLimit = { requests: number('rate', requests), periodMs: readDuration(period) };
  },
  timeout: (route, value) => (route.responseTimeoutMs = readDuration(value)),
  tunnel: (route, value) => (route.tunnelTimeoutMs = readDuration(value)),
  maintenance: (route, value) => {
    if (alone('maintenance', value)) {
      route.maintenance = { body: '', contentType: '', retryAfterS: 0 };
    }
  },
  pause: (route, value) => (route.pauseMs = value === '' ? 30_000 : readDuration(value)),
  split: (route, value) => {
    const [service = '', percent = ''] = value.split(':');
    const part = number('split', percent.replace(/%$/, ''));
    route.split.push({ service, percent: part, targetPort: 0 });
  },
};

function routeIn(text: string): Route {
  if (text.trim() === '') refuse('it is empty, and everything is "*"');
  const route = Route.create();
  for (const [index, word] of text.split(',').entries()) {
    const equals = word.indexOf('=');
    const key = equals === -1 ? word : word.slice(0, equals);
    const set = Object.hasOwn(settings, key) ? settings[key] : undefined;
    if (set !== undefined) set(route, equals === -1 ? '' : word.slice(equals + 1));
    else if (index === 0) takeMatch(route, word);
    else refuse(`"${key}" is none of ${Object.keys(settings).join(', ')}`);
  }
  return route;
}

/** A host, a path, or both; `*` alone is everything. */
function takeMatch(route: Route, text: string): void {
  const slash = text.indexOf('/');
  const host = slash === -1 ? text : text.slice(0, slash);
  if (host !== '' && host !== '*') route.hosts.push(host);
  if (slash !== -1) route.paths.push(text.slice(slash));
}

function nameOf({ kind, port, hosts, paths }: Route): string {
  const words = kind === RouteKind.TCP ? [`port-${port}`] : [...hosts, ...paths];
  const name = words
    .join('-')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-');
  return name.slice(0, maxNameLength).replaceAll(/^-+|-+$/g, '') || 'all';
}

/** What is on when it is there: `off` after it would not be heard. */
function alone(what: string, value: string): boolean {
  return value === '' || refuse(`${what} has no value: leave it out where it is not to be`);
}

function number(what: string, text: string): number {
  return /^-?\d{1,9}$/.test(text) ? Number(text) : refuse(`${what} is a number, and not "${text}"`);
}

function refuse(why: string): never {
  throw new InvalidArgumentError(`A route is HOST/PATH and settings after commas: ${why}.`);
}
