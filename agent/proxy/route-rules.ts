import { HeaderMatchKind, type HeaderMatch } from '../../shared/gen/fairlead/v1/route.ts';
import { conditionsOf } from '../../shared/routing.ts';
import type { Backend, Frontend, FrontendRoute } from './backend-list.ts';
import { formatWord, word } from './config-words.ts';
import {
  backendsMap,
  buckets,
  chainMark,
  compileRoutes,
  pathsMap,
  splitMark,
  wildcardsMap,
} from './route-maps.ts';
import { cookiesOf, serviceMarkLength } from './slots.ts';

/** Where a map is. */
export type MapPath = (name: string) => string;

/**
 * The path and the host by which routes are looked up. Containers get the path as it came, and read it in
 * their own ways: what some of them take for another path than another would must not get by the guards of a
 * route. So routes are found by the decoded path, in which slashes that follow one another are one, a backslash
 * is a slash, as it is to readers of URLs by the rules of browsers, and what follows a semicolon in a part is left out,
 * as servlets do. A path that steps back, which no client sends that keeps to RFC 3986 (section 5.2.4), is refused. In
 * a host a slash would be looked up as part of the path, a comma makes two of it to some, and what stands before an `@`
 * is none; nor is there a blank in one, nor anything to decode or to leave out. A dot at its end is no other host (RFC
 * 3986, section 3.2.2).
 *
 * A whole URL may have no path at all, which is `/` (RFC 9112, section 3.2.1), and names a host that may be told nowhere
 * else.
 */
const addressLookup: readonly string[] = [
  String.raw`http-request deny deny_status 400 if { req.fhdr(host) -m sub / ? , @ \\ \# ; % ' ' \t }`,
  'http-request deny deny_status 400 if !{ url -m beg / * } !{ req.fhdr(host) -m found }',
  'http-request set-path / if !{ path -m beg / } !{ url -m str * }',
  oneSlash(),
  'http-request set-var(txn.path) path,url_dec',
  'http-request deny deny_status 400 if { path -m found } !{ var(txn.path) -m found }',
  'http-request deny deny_status 400 if { path -m sub %00 }',
  String.raw`http-request set-var(txn.path) var(txn.path),'regsub("[\\\\]",/,g)' if { var(txn.path) -m sub \\ }`,
  "http-request set-var(txn.path) var(txn.path),'regsub(;[^/]*,,g)' if { var(txn.path) -m sub ; }",
  'http-request deny deny_status 400 if { var(txn.path) -m sub /../ /./ }',
  'http-request deny deny_status 400 if { var(txn.path) -m end /.. /. }',
  'http-request set-var(txn.path) var(txn.path),regsub(//+,/,g) if { var(txn.path) -m sub // }',
  'http-request set-var(txn.host) req.fhdr(host),field(1,:),rtrim(.),lower',
];

/**
 * Has a path begin with one slash. What begins with two is a host and a path to all who read it as a
 * reference (RFC 3986, section 4.2), as containers do with `new URL(request.url, base)`: `//a/b` is the path `/b` there.
 */
function oneSlash(condition = ''): string {
  return String.raw`http-request replace-path '^(/|\\|%2[fF]|%5[cC])+(.*)$' '/\2' if ${condition}{ path -m beg -i // /\\ /%2f /%5c }`;
}

/**
 * Lines that find the route of a request, in `txn.route`, and the backend that it leads to, in `txn.backend`.
 * A request that is handed to another worker (`txn.handed`) is not looked at: that worker does it.
 */
export function matchingRules(
  frontend: Frontend,
  backends: readonly Backend[],
  mapPath: MapPath,
): string[] {
  const { chains } = compileRoutes(frontend);
  const paths = `map_beg(${mapPath(pathsMap(frontend))})`;
  const wildcards = `map_end(${mapPath(wildcardsMap(frontend))})`;
  const unless = '!{ var(txn.handed) -m found } !{ var(txn.match) -m found }';
  const find = (host: string) =>
    `http-request set-var(txn.match) ${host},concat(,txn.path,?),${paths} if ${unless}`;
  return [
    ...addressLookup,
    find('var(txn.host)'),
    find(`var(txn.host),${wildcards}`),
    find('str(*)'),
    'http-request set-var(txn.route) var(txn.match) if !{ var(txn.match) -m beg ~ }',
    ...chains.flatMap((chain, index) => chainRules(chain, `${frontend.name}.${index}`, index)),
    ...backendRules(backends, mapPath),
  ];
}

/**
 * Lines that find the backend that the route of a request leads to, in `txn.backend`; for some requests alone. Of
 * several a client stays at the one that its cookie is of: its session is there, and what its pages refer to.
 */
export function backendRules(
  backends: readonly Backend[],
  mapPath: MapPath,
  condition = '',
): string[] {
  const map = `map_str(${mapPath(backendsMap)})`;
  const isSplit = `{ var(txn.backend) -m str ${splitMark} }`;
  const only = condition === '' ? '' : ` if ${condition}`;
  const isKept = `${isSplit} { var(txn.kept) -m found }`;
  return [
    `http-request set-var(txn.backend) var(txn.route),${map}${only}`,
    ...cookiesOf(backends).flatMap((cookie) => [
      `http-request set-var(txn.kept) req.cook(${cookie}),bytes(0,${serviceMarkLength}) if ${isSplit}`,
      `http-request set-var(txn.backend) var(txn.route),concat(@,txn.kept),${map} if ${isKept}`,
    ]),
    `http-request set-var(txn.bucket) rand(${buckets}) if ${isSplit}`,
    `http-request set-var(txn.backend) var(txn.route),concat(:,txn.bucket),${map} if ${isSplit}`,
  ];
}

/** The first route of the chain whose conditions are met. */
function chainRules(chain: readonly FrontendRoute[], name: string, index: number): string[] {
  const here = `{ var(txn.match) -m str ${chainMark(index)} } !{ var(txn.route) -m found }`;
  return chain.flatMap((route, place) => {
    const conditions = conditionRules(route, `${name}.${place}`);
    const names = conditions.map(({ acl }) => acl);
    return [
      ...conditions.map(({ line }) => line),
      `http-request set-var(txn.route) str(${route.id}) if ${[here, ...names].join(' ')}`,
    ];
  });
}

/** Conditions have names: a value that is `}` would end one that has none. */
function conditionRules({ route }: FrontendRoute, name: string): { acl: string; line: string }[] {
  if (conditionsOf(route) === 0) return [];
  const tests = [
    ...(route.methods.length === 0 ? [] : [`method ${route.methods.map(word).join(' ')}`]),
    ...route.headers.map(headerTest),
  ];
  return tests.map((test, index) => {
    const acl = `${name}.${index}`;
    return { acl, line: `acl ${acl} ${test}` };
  });
}

function headerTest({ name, kind, value }: HeaderMatch): string {
  const fetch = `req.fhdr(${name})`;
  switch (kind) {
    case HeaderMatchKind.PRESENT:
      return `${fetch} -m found`;
    case HeaderMatchKind.PREFIX:
      return `${fetch} -m beg -- ${word(value)}`;
    case HeaderMatchKind.CONTAINS:
      return `${fetch} -m sub -- ${word(value)}`;
    case HeaderMatchKind.EXACT:
    case HeaderMatchKind.UNSPECIFIED:
    default:
      return `${fetch} -m str -- ${word(value)}`;
  }
}

/** A condition that the request goes by this route. */
export function goesBy({ id }: FrontendRoute): string {
  return `{ var(txn.route) -m str ${id} }`;
}

/**
 * Lines that find the route of a connection in TLS, in `txn.route`, by the name that the client asks for, and
 * the backend that it leads to.
 */
export function passthroughRules(frontend: Frontend, mapPath: MapPath): string[] {
  const paths = `concat(/),map_beg(${mapPath(pathsMap(frontend))})`;
  const wildcards = `map_end(${mapPath(wildcardsMap(frontend))})`;
  const find = (name: string) =>
    `tcp-request content set-var(txn.route) ${name},${paths} ` +
    'if { req.ssl_hello_type 1 } !{ var(txn.route) -m found }';
  return [
    'tcp-request inspect-delay 5s',
    find('req.ssl_sni,lower'),
    find(`req.ssl_sni,lower,${wildcards}`),
    find('str(*)'),
  ];
}

/**
 * Lines that change the path of requests of a route. The longest pattern first: each is asked of the path as it
 * came, and only one may change it. A path that is of the route only once it is decoded is refused: what to
 * leave of it cannot be told.
 */
export function pathRules(route: FrontendRoute): string[] {
  const { paths, replacePath } = route.route;
  if (replacePath === '') return [];
  const base = replacePath.replace(/\/+$/, '');
  const prefixes = paths.filter((path) => path.endsWith('/*')).sort((a, b) => b.length - a.length);
  const rules = [
    ...paths
      .filter((path) => !path.endsWith('/*'))
      .map((path) => ({ test: `-m str -- ${word(path)}`, to: formatWord(replacePath) })),
    ...prefixes.flatMap((pattern) => {
      const path = pattern.slice(0, -2);
      return [
        { test: `-m str -- ${word(path)}`, to: formatWord(base === '' ? '/' : base) },
        {
          test: `-m beg -- ${word(`${path}/`)}`,
          to: `${formatWord(base)}'%[path,bytes(${path.length})]'`,
        },
      ];
    }),
  ].filter(({ test }) => test !== "-m str -- ''");
  const done = '!{ var(txn.replaced) -m found }';
  const lines = rules.flatMap(({ test, to }, index) => [
    `acl ${route.id}.path.${index} var(txn.raw) ${test}`,
    `http-request set-path ${to} if ${goesBy(route)} ${done} ${route.id}.path.${index}`,
    `http-request set-var(txn.replaced) bool(true) if ${goesBy(route)} ${route.id}.path.${index}`,
  ]);
  return [
    `http-request set-var(txn.raw) path if ${goesBy(route)}`,
    ...lines,
    `http-request deny deny_status 400 if ${goesBy(route)} ${done}`,
    ...(base === '' ? [oneSlash(`${goesBy(route)} `)] : []),
  ];
}
