import { conditionsOf, type Route } from './routing.ts';

/** A pattern of a host or a path, with `''` for any. */
type Pattern = string;

/** What a route matches: one host pattern with one path pattern. A route has as many as it names of both. */
interface Match {
  readonly host: Pattern;
  readonly path: Pattern;
}

/** How narrow a host pattern is: any, then wildcards by their length, then exact names. */
export function hostRank(host: Pattern): number {
  if (host === '') return 0;
  return host.startsWith('*.') ? host.length : 1_000;
}

/** How narrow a path pattern is: any, then prefixes by their length, then exact paths. */
export function pathRank(path: Pattern): number {
  if (path === '') return 0;
  return path.endsWith('/*') ? path.length - 1 : 10_000;
}

/** As the paths of requests are when they are looked up. What is no encoded text, which is refused, matches nothing. */
export function decodedPath(path: Pattern): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** The pattern that two routes share although nothing says which of them counts there; undefined: none. */
export function conflictOf(a: Route, b: Route): Match | undefined {
  if (!samePort(a, b)) return undefined;
  // One port carries one thing, whatever the priorities.
  if (a.kind !== b.kind) return { host: '', path: '' };
  if (a.priority !== b.priority) return undefined;
  if (a.kind === 'tcp') return { host: '', path: '' };
  if (conditionsOf(a) !== conditionsOf(b) || disjoint(a, b)) return undefined;
  // Each of its hosts goes with each of its paths.
  const host = firstShared(a.hosts, b.hosts, (pattern) => pattern);
  const path = firstShared(a.paths, b.paths, decodedPath);
  return host === undefined || path === undefined ? undefined : { host, path };
}

/** The first pattern that both have; none at all is any. */
function firstShared(
  some: readonly Pattern[],
  others: readonly Pattern[],
  meant: (pattern: Pattern) => string,
): Pattern | undefined {
  const any = [''];
  const known = new Set((others.length === 0 ? any : others).map(meant));
  return (some.length === 0 ? any : some).find((pattern) => known.has(meant(pattern)));
}

function samePort(a: Route, b: Route): boolean {
  const anyPort = (route: Route) => route.kind === 'http' && route.port === 0;
  if (a.kind === 'http' && b.kind === 'http') {
    return a.port === b.port || anyPort(a) || anyPort(b);
  }
  return a.port === b.port;
}

/** No request meets the conditions of both. */
function disjoint(a: Route, b: Route): boolean {
  if (a.methods.length > 0 && b.methods.length > 0) {
    if (!a.methods.some((method) => b.methods.includes(method))) return true;
  }
  return a.headers.some(
    (header) =>
      header.kind === 'exact' &&
      b.headers.some(
        (other) =>
          other.kind === 'exact' &&
          other.name.toLowerCase() === header.name.toLowerCase() &&
          other.value !== header.value,
      ),
  );
}
