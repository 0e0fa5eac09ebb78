import type { HeaderChange, Route } from '../../shared/gen/fairlead/v1/route.ts';

/** What a line of HAProxy's configuration says in the typed form. */
export interface ReadLine {
  /** How it is called in the report. It shows no values: those may be secrets. */
  readonly name: string;
  /** What routes have of it; or why they have nothing. */
  readonly outcome: Partial<Route> | string;
}

const maxDayMs = 86_400_000;
const unitsMs: Readonly<Record<string, number>> = {
  ...{ us: 0.001, ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: maxDayMs },
};
const notChanged = ['host', 'connection', 'content-length', 'transfer-encoding'];

/** Words that lines of a backend begin with; whatever else is there may be a part of a secret. */
const keywords: ReadonlySet<string> = new Set([
  ...['acl', 'balance', 'compression', 'cookie', 'default-server', 'errorfile', 'errorloc'],
  ...['fullconn', 'hash-type', 'http-check', 'http-reuse', 'log', 'mode', 'no', 'redirect'],
  ...['reqadd', 'reqdel', 'reqirep', 'reqrep', 'retries', 'rspadd', 'rspdel', 'rspirep', 'rsprep'],
  ...['server', 'source', 'stats', 'stick', 'stick-table', 'tcp-check', 'use-server'],
]);
/** Of these the next word says what kind of line it is. */
const twofold: ReadonlySet<string> = new Set([
  ...['http-request', 'http-response', 'option', 'tcp-request', 'tcp-response', 'timeout'],
]);

/** Reads one line of a backend, as EXTRA_SETTINGS has them. */
export function readLine(text: string): ReadLine {
  const words = wordsOf(text);
  return words === undefined
    ? { name: 'a line', outcome: 'its quotes cannot be read' }
    : { name: nameOf(words), outcome: outcomeOf(words) };
}

function nameOf([first = '', second = '', third = '']: readonly string[]): string {
  if (keywords.has(first)) return first;
  if (!twofold.has(first)) return 'a line';
  return [first, second, ...(isHeaderRule(second) ? [third] : [])].join(' ');
}

/** The settings of several lines together: later ones count, headers add up. */
export function together(all: readonly Partial<Route>[]): Partial<Route> {
  return all.reduce<Partial<Route>>((before, { requestHeaders, responseHeaders, ...rest }) => {
    const headers = (key: 'requestHeaders' | 'responseHeaders', more: HeaderChange[] = []) =>
      more.length === 0 ? {} : { [key]: [...(before[key] ?? []), ...more] };
    return {
      ...{ ...before, ...rest },
      ...headers('requestHeaders', requestHeaders),
      ...headers('responseHeaders', responseHeaders),
    };
  }, {});
}

function outcomeOf([first = '', ...rest]: readonly string[]): Partial<Route> | string {
  switch (first) {
    case 'timeout':
      return timeout(rest);
    case 'http-request':
    case 'http-response':
      return headerRule(first, rest);
    case 'reqadd':
    case 'rspadd':
      return addedLine(first, rest);
    default:
      return 'lines of HAProxy are not taken; see the flags of routes and balancing';
  }
}

function timeout([which = '', duration = '']: readonly string[]): Partial<Route> | string {
  const ms = msOf(duration);
  if (which !== 'server' && which !== 'tunnel') {
    return 'only those of the server and of tunnels are of a route';
  }
  if (ms === undefined) return 'it is not from 1 ms to a day';
  return which === 'server' ? { responseTimeoutMs: ms } : { tunnelTimeoutMs: ms };
}

/** A time as HAProxy has it; undefined: it is none, or none that routes have. */
function msOf(duration: string): number | undefined {
  const [, amount, unit = 'ms'] = /^(\d{1,10})(us|ms|s|m|h|d)?$/.exec(duration) ?? [];
  const ms = Math.ceil(Number(amount) * (unitsMs[unit] ?? 1));
  return ms >= 1 && ms <= maxDayMs ? ms : undefined;
}

function isHeaderRule(rule: string): boolean {
  return /^(?:set|add|del)-header$/.test(rule);
}

function headerRule(
  when: 'http-request' | 'http-response',
  [rule = '', name = '', ...rest]: readonly string[],
): Partial<Route> | string {
  if (!isHeaderRule(rule)) return 'of such rules only those for headers are taken';
  const values = rule === 'del-header' ? 0 : 1;
  if (rest.length !== values) return 'it has a condition, or more words than are known';
  if (rule === 'del-header') return changed(when, name, { $case: 'remove', value: name });
  const [value = ''] = rest;
  if (/%(?!%)/.test(value.replaceAll('%%', ''))) return 'its value is of the request';
  const field = { name, value: value.replaceAll('%%', '%') };
  return changed(when, name, { $case: rule === 'set-header' ? 'set' : 'add', value: field });
}

/** `reqadd Name:\ value`: a whole header field, as HAProxy had it until 2.0. */
function addedLine(
  rule: 'reqadd' | 'rspadd',
  [text = '', ...rest]: readonly string[],
): Partial<Route> | string {
  const [, name = '', value = ''] = /^([^:]+):\s*(.*)$/.exec(text) ?? [];
  if (rest.length > 0) return 'it has a condition';
  const when = rule === 'reqadd' ? 'http-request' : 'http-response';
  return changed(when, name, { $case: 'add', value: { name, value } });
}

function changed(
  when: 'http-request' | 'http-response',
  name: string,
  change: NonNullable<HeaderChange['change']>,
): Partial<Route> | string {
  if (!/^[A-Za-z0-9_-]{1,100}$/.test(name) || notChanged.includes(name.toLowerCase())) {
    return 'it is no header that routes change';
  }
  if (change.$case !== 'remove' && !/^[ -~]{1,1024}$/.test(change.value.value)) {
    return 'its value is none of 1 to 1,024 printable characters';
  }
  return when === 'http-request'
    ? { requestHeaders: [{ change }] }
    : { responseHeaders: [{ change }] };
}

/** The words of a line as HAProxy reads them: quotes, and a backslash before what is meant as it is. */
function wordsOf(text: string): string[] | undefined {
  const words: string[] = [];
  const piece = /\s+|#.*$|\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^\s\\"'#]+/gy;
  let word: string | undefined;
  let end = 0;
  for (const [found] of text.matchAll(piece)) {
    end += found.length;
    if (/^\s|^#/.test(found)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + meantBy(found);
  }
  if (word !== undefined) words.push(word);
  // A variable of the environment is not known here.
  return end < text.length || /"[^"]*\$/.test(text) ? undefined : words;
}

function meantBy(piece: string): string {
  if (piece.startsWith("'")) return piece.slice(1, -1);
  const inner = piece.startsWith('"') ? piece.slice(1, -1) : piece;
  return inner.replaceAll(/\\(.)/g, '$1');
}
