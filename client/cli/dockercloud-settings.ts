import { isDeepStrictEqual } from 'node:util';
import { Route, RouteKind } from '../../shared/gen/fairlead/v1/route.ts';
import { maxNameLength } from '../../shared/ids.ts';
import type { Readiness } from '../../shared/gen/fairlead/v1/service.ts';
import { namedRoute } from './route-values.ts';

/** Flags that stand for what settings of dockercloud/haproxy say, and what became of each. */
export interface ImportedSettings {
  readonly flags: {
    readonly route?: readonly (readonly Route[])[];
    readonly balance?: string;
    readonly sticky?: string;
    readonly compress?: boolean;
    readonly readiness?: NonNullable<Readiness['check']>;
    readonly proxyProtocol?: readonly number[];
    readonly env?: readonly (readonly [string, string])[];
  };
  /** A line for each setting. */
  readonly report: readonly string[];
}

type Settings = ReadonlyMap<string, string>;

const algorithms: Readonly<Record<string, string>> = {
  roundrobin: 'round-robin',
  'static-rr': 'round-robin',
  leastconn: 'least-connections',
  random: 'random',
  source: 'source',
  uri: 'uri',
};

/** What to do instead, for settings that have no counterpart that is the same. */
const advice: Readonly<Record<string, string>> = {
  EXCLUDE_PORTS: 'a service without routes takes requests at its first TCP port alone',
  EXCLUDE_BASIC_AUTH: 'passwords are asked by route alone',
  EXTRA_ROUTE_SETTINGS: 'lines of HAProxy are not taken; see the flags of routes and balancing',
  EXTRA_SETTINGS: 'lines of HAProxy are not taken; see the flags of routes and balancing',
  EXTRA_GLOBAL_SETTINGS: 'lines of HAProxy are not taken',
  EXTRA_DEFAULT_SETTINGS: 'lines of HAProxy are not taken',
  OPTION: 'options of HAProxy are not taken; requests are repeated where that is safe',
  HEALTH_CHECK: 'containers are checked by their readiness, and by HAProxy; see --readiness',
  FAILOVER:
    'run service set --backup with the name of this service on the one that it stands in for',
  DEFAULT_SSL_CERT: 'give the certificate to the coordinator',
  SSL_CERT: 'give the certificate to the coordinator',
  EXTRA_SSL_CERTS: 'give the certificates to the coordinator',
  CERT_FOLDER: 'give the certificates to the coordinator',
  CA_CERT: 'clients with certificates are a setting of TLS of the load balancer',
  HTTP_BASIC_AUTH:
    'passwords are kept as hashes of openssl passwd -6: give those as HTTP_BASIC_AUTH_SECURE, ' +
    'beside VIRTUAL_HOST of each service behind',
  TIMEOUT: 'give routes timeout= and tunnel=',
  MODE: 'give routes kind=tcp',
  MONITOR_URI: 'every HTTP port answers /_lb_ping',
  RELOAD_TIMEOUT:
    'an old process of HAProxy ends when its last connection does, after 10 minutes at most',
  RSYSLOG_DESTINATION: 'access logs go to standard output: FAIRLEAD_PROXY_ACCESS_LOG=on',
  NBPROC: 'HAProxy has a thread for each processor',
  SKIP_FORWARDED_PROTO: 'name who is believed with --trust-upstream',
  FORCE_DEFAULT_BACKEND: 'what no route takes goes to the services without routes',
  SSL_BIND_OPTIONS: 'what TLS may be is a setting of the load balancer',
  SSL_BIND_CIPHERS: 'what TLS may be is a setting of the load balancer',
  ADDITIONAL_SERVICES: 'link to them',
};

/** Settings whose names go on. */
const prefixes = ['ADDITIONAL_BACKEND_', 'EXTRA_FRONTEND_SETTINGS_'];

/**
 * Reads the variables by which dockercloud/haproxy was set, of the service behind or of the proxy itself, and
 * says of each what became of it. They stay variables of the containers too.
 */
export function importDockercloud(
  variables: readonly (readonly [string, string])[],
): ImportedSettings {
  const settings: Settings = new Map(
    variables.map(([name, value]) => [name.toUpperCase(), value.trim()]),
  );
  const report: string[] = [];
  const taken = (name: string, as: string) => report.push(`${name}: taken over as ${as}`);
  const left = (name: string, why: string) => report.push(`${name}: not taken over: ${why}`);
  const given = { settings, taken, left };
  const routes = [...virtualHosts(given), ...tcpPorts(given)];
  const flags = {
    ...(routes.length === 0 ? {} : { route: [routes] }),
    ...balancing(given),
    ...readinessOf(given),
    ...proxySettings(given),
  };
  for (const name of settings.keys()) {
    const known = advice[name] ?? advice[name.replace(/_FILE$/, '')];
    if (known !== undefined) left(name, known);
    else if (prefixes.some((prefix) => name.startsWith(prefix))) {
      left(name, 'lines of HAProxy are not taken');
    }
  }
  return { flags, report };
}

interface Given {
  readonly settings: Settings;
  readonly taken: (name: string, as: string) => void;
  readonly left: (name: string, why: string) => void;
}

function virtualHosts({ settings, taken, left }: Given): Route[] {
  const common = commonOf(settings);
  const routes = new Map<string, Route>();
  for (const text of listIn(settings.get('VIRTUAL_HOST'))) {
    const route = virtualHost(text);
    if (typeof route === 'string') {
      left('VIRTUAL_HOST', `${text}: ${route}`);
      continue;
    }
    const named = apart(namedRoute({ ...route, ...common }), routes);
    taken('VIRTUAL_HOST', `the route ${named.name} for ${text}`);
    routes.set(named.name, named);
  }
  for (const name of ['FORCE_SSL', 'HSTS_MAX_AGE', 'VIRTUAL_HOST_WEIGHT']) {
    if (!settings.has(name)) continue;
    if (routes.size === 0) left(name, 'there is no VIRTUAL_HOST that it is for');
    else taken(name, 'a setting of these routes');
  }
  sayOfPasswords({ settings, taken, left }, routes.size > 0);
  return [...routes.values()];
}

function sayOfPasswords({ settings, taken, left }: Given, hasRoutes: boolean): void {
  const name = 'HTTP_BASIC_AUTH_SECURE';
  if (!settings.has(name)) return;
  const { users, unusable } = usersIn(settings);
  if (settings.has('EXCLUDE_BASIC_AUTH')) left(name, 'EXCLUDE_BASIC_AUTH is there');
  else if (!hasRoutes) left(name, 'give it beside VIRTUAL_HOST of each service behind');
  else {
    if (users.length > 0)
      taken(name, `passwords of these routes, for ${users.map((user) => user.name).join(', ')}`);
    for (const user of unusable) left(name, `${user}: not a hash of openssl passwd -6 or -5`);
  }
}

/** Those of `USER:HASH` whose hash can be checked, and the names of the others. */
function usersIn(settings: Settings) {
  const users: { name: string; passwordHash: string }[] = [];
  const unusable: string[] = [];
  for (const text of listIn(settings.get('HTTP_BASIC_AUTH_SECURE'))) {
    const [, name = '', passwordHash = ''] = /^([^:]*):(\$[56]\$.+)$/.exec(text) ?? [];
    // Without a colon it may be a password, which is not to be shown.
    if (name === '') unusable.push(/^[^:]+(?=:)/.exec(text)?.[0] ?? 'one without a name');
    else users.push({ name, passwordHash });
  }
  return { users, unusable };
}

/** Another route of the same name gets a number; the same one again, as `http://` and `https://` give, does not. */
function apart(route: Route, others: ReadonlyMap<string, Route>): Route {
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? route.name : `${route.name.slice(0, maxNameLength - 4)}-${number}`;
    const named = { ...route, name };
    const other = others.get(name);
    if (other === undefined || isDeepStrictEqual(other, named)) return named;
  }
}

/** What is set once for all hosts. */
function commonOf(settings: Settings): Partial<Route> {
  const hsts = /^(\d{1,9})s?$/.exec(settings.get('HSTS_MAX_AGE') ?? '')?.[1];
  const weight = Number(settings.get('VIRTUAL_HOST_WEIGHT') ?? 0);
  const users = settings.has('EXCLUDE_BASIC_AUTH') ? [] : usersIn(settings).users;
  return {
    ...(users.length === 0 ? {} : { basicAuth: { realm: '', users } }),
    forceHttps: (settings.get('FORCE_SSL') ?? '') !== '',
    priority: Number.isInteger(weight) ? Math.max(-1_000, Math.min(1_000, weight)) : 0,
    strictTransport:
      hsts === undefined ? undefined : { maxAgeS: Number(hsts), includeSubdomains: true },
  };
}

/** `[scheme://]host[:port][/path]`, or why it cannot be a route. */
function virtualHost(text: string): Route | string {
  const match = /^(?:(https?|wss?):\/\/)?([^:/]*)(?::(\d{1,5}))?(\/.*)?$/i.exec(text);
  if (match === null) return 'it is not scheme://host:port/path';
  const [, , host = '', port = '', path = ''] = match;
  const wrong = wildcardRule(host, path);
  if (wrong !== undefined) return wrong;
  return {
    ...Route.create(),
    // At its usual ports a host is the same service whether or not it comes in TLS.
    port: ['80', '443'].includes(port) ? 0 : Number(port),
    hosts: ['*', ''].includes(host) ? [] : [host],
    paths: ['/*', ''].includes(path) ? [] : [path],
  };
}

function wildcardRule(host: string, path: string): string | undefined {
  if (host !== '*' && host.replace(/^\*\./, '').includes('*')) {
    return 'a wildcard can only be everything before a dot';
  }
  return path.replace(/\/\*$/, '').includes('*')
    ? 'a wildcard can only end a path, as /*'
    : undefined;
}

function tcpPorts({ settings, taken, left }: Given): Route[] {
  return listIn(settings.get('TCP_PORTS')).flatMap((text) => {
    const [number = '', tls] = text.split('/');
    if (!/^\d{1,5}$/.test(number)) {
      left('TCP_PORTS', `${text} is no port`);
      return [];
    }
    if (tls !== undefined) {
      left('TCP_PORTS', `${text}: TLS of a port is a setting of the load balancer`);
      return [];
    }
    const port = Number(number);
    taken('TCP_PORTS', `a route for the bytes of port ${number}`);
    return [namedRoute({ ...Route.create(), kind: RouteKind.TCP, port, targetPort: port })];
  });
}

function balancing(given: Given): ImportedSettings['flags'] {
  const compress = (given.settings.get('GZIP_COMPRESSION_TYPE') ?? '') !== '';
  if (compress) given.taken('GZIP_COMPRESSION_TYPE', '--compress, which has types of its own');
  return { ...algorithmOf(given), ...stickyOf(given), ...(compress ? { compress } : {}) };
}

function algorithmOf({ settings, taken, left }: Given): ImportedSettings['flags'] {
  const value = settings.get('BALANCE');
  if (value === undefined) return {};
  const balance = algorithms[value.split(' ')[0] ?? ''];
  if (balance === undefined) {
    left('BALANCE', `${value} is not there`);
    return {};
  }
  taken('BALANCE', `--balance ${balance}`);
  return { balance };
}

function stickyOf({ settings, taken, left }: Given): ImportedSettings['flags'] {
  const words = settings.get('COOKIE')?.split(/\s+/) ?? [];
  const [sticky = ''] = words;
  if (words.includes('insert')) {
    taken('COOKIE', `--sticky ${sticky}; its values are others`);
    return { sticky };
  }
  if (words.length > 0) left('COOKIE', 'only cookies that HAProxy inserts are there');
  return {};
}

/** What was asked by the proxy is asked by the node agent, before a container gets requests and after. */
function readinessOf({ settings, taken, left }: Given): ImportedSettings['flags'] {
  const text = settings.get('HTTP_CHECK');
  if (text === undefined || text === '') return {};
  const host = /\\r\\nHost:(?:\\ |\s)*([A-Za-z0-9.:-]+)$/i.exec(text)?.[1] ?? '';
  const line = text.replace(/\\r\\n.*$/, '').trim();
  const match = /^(?:(GET|HEAD|POST|PUT|OPTIONS) +)?(\/[^\s\\]*)(?: +HTTP\/[0-9.]+)?$/.exec(line);
  if (match === null || (host === '' && text !== line)) {
    left('HTTP_CHECK', 'it is not METHOD /path; see --readiness');
    return {};
  }
  // Of HAProxy without a method it was this one.
  const [, method = 'OPTIONS', path = ''] = match;
  taken('HTTP_CHECK', `--readiness http:${path}, by ${method}`);
  const details = { method, host, headers: {}, statuses: [] };
  return { readiness: { $case: 'http', value: { path, port: 0, ...details } } };
}

const variables = new Map([
  ['MAXCONN', 'FAIRLEAD_PROXY_MAX_CONNECTIONS'],
  ['STATS_AUTH', 'FAIRLEAD_PROXY_STATS_AUTH'],
  ['STATS_PORT', 'FAIRLEAD_PROXY_STATS_PORT'],
]);

/** Why there can be no statistics page. */
function withoutPage(auth = ''): string | undefined {
  const [user, ...password] = auth.split(':');
  if (auth === '') return 'there is no statistics page without a password, STATS_AUTH';
  return user === password.join(':') ? 'everybody knows this password' : undefined;
}

/** Settings of the proxy itself. */
function proxySettings({ settings, taken, left }: Given): ImportedSettings['flags'] {
  const env = [...variables].flatMap(([name, variable]): [string, string][] => {
    const value = settings.get(name);
    if (value === undefined || value === '') return [];
    const why = name.startsWith('STATS_') ? withoutPage(settings.get('STATS_AUTH')) : undefined;
    if (why !== undefined) {
      left(name, why);
      return [];
    }
    taken(name, variable);
    return [[variable, value]];
  });
  const proxyProtocol = listIn(settings.get('EXTRA_BIND_SETTINGS')).flatMap((text) => {
    const [, port = ''] = /^(\d{1,5}):accept-proxy$/.exec(text.replaceAll(' ', '')) ?? [];
    if (port === '') {
      left('EXTRA_BIND_SETTINGS', `${text}: words of HAProxy are not taken, but for accept-proxy`);
      return [];
    }
    taken('EXTRA_BIND_SETTINGS', `--proxy-protocol ${port}`);
    return [Number(port)];
  });
  return {
    ...(env.length === 0 ? {} : { env }),
    ...(proxyProtocol.length === 0 ? {} : { proxyProtocol }),
  };
}

/** Entries between commas; `\,` is a comma in one. */
function listIn(text = ''): string[] {
  return text
    .split(/(?<!\\),/)
    .map((entry) => entry.replaceAll('\\,', ',').trim())
    .filter((entry) => entry !== '');
}
