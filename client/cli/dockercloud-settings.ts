import { isDeepStrictEqual } from 'node:util';
import { Route, RouteKind } from '../../shared/gen/fairlead/v1/route.ts';
import { maxNameLength } from '../../shared/ids.ts';
import type { Readiness } from '../../shared/gen/fairlead/v1/service.ts';
import { adviceFor } from './dockercloud-advice.ts';
import { readLine, together, type ReadLine } from './dockercloud-lines.ts';
import {
  passwordVariables,
  readPasswords,
  type ImportedPasswords,
} from './dockercloud-passwords.ts';
import { hashPassword } from './password-hash.ts';
import { namedRoute } from './route-values.ts';

/** Flags that stand for what settings of dockercloud/haproxy say, and what became of each. */
export interface ImportedSettings {
  readonly flags: {
    readonly route?: readonly (readonly Route[])[];
    readonly balance?: string;
    readonly sticky?: string;
    readonly compress?: boolean;
    readonly sendProxy?: boolean;
    readonly clientCertificates?: 'required';
    readonly clientCa?: string;
    readonly readiness?: NonNullable<Readiness['check']>;
    readonly proxyProtocol?: readonly number[];
    readonly env?: readonly (readonly [string, string])[];
  };
  /** A line for each setting. */
  readonly report: readonly string[];
  /** Names of variables, in upper case, that containers have no use for and nobody is to read. */
  readonly secrets: readonly string[];
  /** It stands in for another service, the one with routes for the same; nothing is said of that yet. */
  readonly isFailover: boolean;
}

type Settings = ReadonlyMap<string, string>;

const algorithms: ReadonlyMap<string, string> = new Map([
  ['roundrobin', 'round-robin'],
  ['static-rr', 'round-robin'],
  ['leastconn', 'least-connections'],
  ['random', 'random'],
  ['source', 'source'],
  ['uri', 'uri'],
]);

/** Whose variables are read. */
export interface ImportOptions {
  /** Of the proxy itself; else of a service behind. */
  readonly isLoadBalancer: boolean;
  readonly hashOf?: (password: string) => string;
}

/**
 * Reads the variables by which dockercloud/haproxy was set, of the service behind or of the proxy itself, and
 * says of each what became of it. They stay variables of the containers too, but for passwords, which are hashed
 * by `hashOf`. One that is empty was as if it were not there.
 */
export function importDockercloud(
  variables: readonly (readonly [string, string])[],
  { isLoadBalancer, hashOf = hashPassword }: ImportOptions,
): ImportedSettings {
  const settings: Settings = new Map(
    variables
      .map(([name, value]) => [name.toUpperCase(), value.trim()] as const)
      .filter(([, value]) => value !== ''),
  );
  const report: string[] = [];
  const said = new Set<string>();
  const say = (name: string, words: string) => {
    said.add(name);
    report.push(`${name}: ${words}`);
  };
  const given: Given = {
    settings,
    taken: (name, as) => {
      say(name, `taken over as ${as}`);
    },
    left: (name, why) => {
      say(name, `not taken over: ${why}`);
    },
    passwords: passwordsIn(settings, hashOf),
    lines: linesIn(settings),
  };
  const routes = isLoadBalancer ? [] : [...virtualHosts(given), ...tcpPorts(given)];
  if (isLoadBalancer) sayOfPasswords(given, false);
  const flags = {
    ...(routes.length === 0 ? {} : { route: [routes] }),
    ...(isLoadBalancer ? proxySettings(given) : { ...balancing(given), ...readinessOf(given) }),
  };
  for (const name of settings.keys()) {
    const advice = said.has(name) ? undefined : adviceFor(name, isLoadBalancer);
    if (advice !== undefined) given.left(name, advice);
  }
  const secrets = passwordVariables.filter((name) => settings.has(name));
  for (const name of secrets) report.push(`${name}: left out of the variables of its containers`);
  return { flags, report, secrets, isFailover: !isLoadBalancer && settings.has('FAILOVER') };
}

interface Given {
  readonly settings: Settings;
  readonly taken: (name: string, as: string) => void;
  readonly left: (name: string, why: string) => void;
  readonly passwords: ImportedPasswords;
  /** Lines of HAProxy for the service, by the variable that has them. */
  readonly lines: ReadonlyMap<string, readonly ReadLine[]>;
}

function passwordsIn(settings: Settings, hashOf: (password: string) => string): ImportedPasswords {
  const [plain, secure] = passwordVariables;
  return readPasswords(listIn(settings.get(plain)), listIn(settings.get(secure)), hashOf);
}

function linesIn(settings: Settings): Given['lines'] {
  const of = (name: string, prefix = ''): [string, ReadLine[]][] => {
    const texts = listIn(settings.get(name));
    return texts.length === 0 ? [] : [[name, texts.map((text) => readLine(`${prefix}${text}`))]];
  };
  return new Map([...of('EXTRA_SETTINGS'), ...of('TIMEOUT', 'timeout ')]);
}

function virtualHosts(given: Given): Route[] {
  const { settings, taken, left } = given;
  const common = commonOf(given);
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
  sayOfHosts(given, routes.size > 0);
  sayOfPasswords(given, routes.size > 0);
  if (routes.size > 0) sayOfLines(given);
  return [...routes.values()];
}

/** What is said once for all hosts. */
function sayOfHosts({ settings, taken, left }: Given, hasRoutes: boolean): void {
  const weight = settings.get('VIRTUAL_HOST_WEIGHT') ?? '';
  const outcomes = {
    FORCE_SSL: 'a setting of these routes',
    HSTS_MAX_AGE: hstsOf(settings) === undefined ? '' : 'a setting of these routes',
    VIRTUAL_HOST_WEIGHT: /^[+-]?\d+$/.test(weight) ? `the priority ${priorityOf(settings)}` : '',
  };
  for (const [name, as] of Object.entries(outcomes)) {
    if (!settings.has(name)) continue;
    if (!hasRoutes) left(name, 'there is no VIRTUAL_HOST that it is for');
    else if (as === '') left(name, 'it is no whole number');
    else taken(name, as);
  }
}

function hstsOf(settings: Settings): string | undefined {
  return /^(\d{1,9})s?$/.exec(settings.get('HSTS_MAX_AGE') ?? '')?.[1];
}

/** Weights may be any numbers, and priorities end at 1,000. */
function priorityOf(settings: Settings): number {
  const weight = Number(settings.get('VIRTUAL_HOST_WEIGHT') ?? 0);
  return Number.isInteger(weight) ? Math.max(-1_000, Math.min(1_000, weight)) : 0;
}

function sayOfPasswords({ settings, taken, left, passwords }: Given, hasRoutes: boolean): void {
  for (const name of passwordVariables) {
    if (!settings.has(name)) continue;
    if (settings.has('EXCLUDE_BASIC_AUTH')) left(name, 'EXCLUDE_BASIC_AUTH is there');
    else if (!hasRoutes) left(name, 'give it beside VIRTUAL_HOST of each service behind');
    else {
      const names = listIn(settings.get(name)).map((text) => text.split(':')[0] ?? '');
      const known = passwords.users.map((user) => user.name).filter((user) => names.includes(user));
      if (known.length > 0) taken(name, `passwords of these routes, for ${known.join(', ')}`);
      for (const { variable, who, why } of passwords.unusable) {
        if (variable === name) left(name, `${who}: ${why}`);
      }
    }
  }
}

function sayOfLines({ lines, taken, left }: Given): void {
  for (const [name, all] of lines) {
    for (const { name: line, outcome } of all) {
      if (typeof outcome === 'string') left(name, `${line}: ${outcome}`);
      else taken(name, `a setting of these routes: ${line}`);
    }
  }
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
function commonOf({ settings, passwords, lines }: Given): Partial<Route> {
  const hsts = hstsOf(settings);
  const isLocked =
    !settings.has('EXCLUDE_BASIC_AUTH') && passwordVariables.some((name) => settings.has(name));
  const outcomes = [...lines.values()].flat().map(({ outcome }) => outcome);
  return {
    ...together(outcomes.filter((outcome) => typeof outcome !== 'string')),
    // Without anybody who can be let in it is refused at the door, rather than open to everyone.
    ...(isLocked ? { basicAuth: { realm: '', users: [...passwords.users] } } : {}),
    forceHttps: settings.has('FORCE_SSL'),
    priority: priorityOf(settings),
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
  const compress = given.settings.has('GZIP_COMPRESSION_TYPE');
  if (compress) given.taken('GZIP_COMPRESSION_TYPE', '--compress, which has types of its own');
  return {
    ...{ ...algorithmOf(given), ...stickyOf(given), ...sendProxyOf(given) },
    ...(compress ? { compress } : {}),
  };
}

/** What stood at the end of each line for a server. */
function sendProxyOf({ settings, taken, left }: Given): ImportedSettings['flags'] {
  const words = settings.get('EXTRA_ROUTE_SETTINGS')?.split(/\s+/) ?? [];
  const isAsked = words.includes('send-proxy') || words.includes('send-proxy-v2');
  if (!isAsked) return {};
  const name = 'EXTRA_ROUTE_SETTINGS';
  taken(name, '--send-proxy: version 2 of the PROXY protocol, which containers have to know');
  const others = words.filter((word) => !word.startsWith('send-proxy'));
  if (others.length > 0) left(name, 'its other words: see --http2, --backup and --readiness');
  return { sendProxy: true };
}

function algorithmOf({ settings, taken, left }: Given): ImportedSettings['flags'] {
  const value = settings.get('BALANCE');
  if (value === undefined) return {};
  const balance = algorithms.get(value.split(/\s/)[0] ?? '');
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
  if (text === undefined) return {};
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

/** Why the proxy agent would not take it, and so not begin; undefined: it does. */
function whyNoSetting(name: string, value: string, settings: Settings): string | undefined {
  if (name === 'STATS_AUTH') return withoutPage(value);
  if (name === 'MAXCONN') return isUpTo(1_000_000, value) ? undefined : notUpTo('1 to 1,000,000');
  return isUpTo(65_535, value) ? withoutPage(settings.get('STATS_AUTH')) : notUpTo('1 to 65,535');
}

function isUpTo(most: number, value: string): boolean {
  return /^[1-9]\d{0,6}$/.test(value) && Number(value) <= most;
}

function notUpTo(limits: string): string {
  return `it is no number from ${limits}`;
}

/** Why there can be no statistics page. */
function withoutPage(auth = ''): string | undefined {
  const [user, ...password] = auth.split(':');
  if (auth === '') return 'there is no statistics page without a password, STATS_AUTH';
  if (!/^[^\s:']+:[^\s']+$/.test(auth))
    return "STATS_AUTH is not USER:PASSWORD without spaces and '";
  return user === password.join(':') ? 'everybody knows this password' : undefined;
}

/** Settings of the proxy itself. */
function proxySettings({ settings, taken, left }: Given): ImportedSettings['flags'] {
  const env = [...variables].flatMap(([name, variable]): [string, string][] => {
    const value = settings.get(name);
    if (value === undefined) return [];
    const why = whyNoSetting(name, value, settings);
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
    ...clientAuthorities({ settings, taken }),
  };
}

/** One line, with `\\n` for the ends of lines. */
function clientAuthorities({ settings, taken }: Pick<Given, 'settings' | 'taken'>) {
  const clientCa = (settings.get('CA_CERT') ?? '').replaceAll('\\n', '\n');
  if (!clientCa.includes('-----BEGIN CERTIFICATE-----')) return {};
  taken('CA_CERT', '--client-certificates required, with these authorities as --client-ca');
  return { clientCertificates: 'required' as const, clientCa };
}

/** Entries between commas; `\,` is a comma in one. */
function listIn(text = ''): string[] {
  return text
    .split(/(?<!\\),/)
    .map((entry) => entry.replaceAll('\\,', ',').trim())
    .filter((entry) => entry !== '');
}
