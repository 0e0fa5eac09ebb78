import type { HeaderChange, Page } from '../../shared/gen/fairlead/v1/route.ts';
import type { FrontendRoute } from './backend-list.ts';
import { ownPrefix } from './config-settings.ts';
import { formatWord, section, word } from './config-words.ts';
import { pageFile } from './pages.ts';
import { goesBy, type MapPath } from './route-rules.ts';

/** A line has at most 64 words. */
const networksInLine = 40;

/** How the client is told: `src`, or what a trusted upstream says. */
export type ClientAddress = 'src' | 'var(txn.client)';

/** What guards are rendered with. */
export interface GuardContext {
  /** Where pages are. */
  readonly filePath: MapPath;
  /** Where https is at another port than the usual one, for requests that meet a condition. */
  readonly https?: { readonly port: number; readonly condition: string } | undefined;
}

/** Who is let in, and what is answered at once, in the order in which it counts. */
export function guardRules(
  route: FrontendRoute,
  client: ClientAddress,
  { filePath, https }: GuardContext,
): string[] {
  return [
    ...strictRules(route),
    ...addressRules(route, client, 'http-request deny deny_status 403'),
    ...rateRules(route, client),
    ...maintenanceRules(route, filePath),
    ...httpsRules(route, https),
    ...authRules(route),
    ...redirectRules(route),
  ];
}

/** What becomes of requests that are passed on. */
export function changeRules(route: FrontendRoute): string[] {
  return [...headerRules(route), ...timeoutRules(route)];
}

/** Sections that the rules of a route refer to. */
export function policySections(route: FrontendRoute): string[] {
  const { basicAuth, rateLimit } = route.route;
  const users = basicAuth?.users.map(
    ({ name, passwordHash }) => `user ${word(name)} password ${word(passwordHash)}`,
  );
  const period = Math.max(1_000, rateLimit?.periodMs ?? 0);
  return [
    ...(users === undefined ? [] : [section(`userlist ${usersOf(route)}`, users)]),
    ...(rateLimit === undefined
      ? []
      : [
          section(`backend ${tableOf(route)}`, [
            `stick-table type ipv6 size 100k expire ${2 * period}ms store http_req_rate(${period}ms)`,
          ]),
        ]),
  ];
}

function usersOf({ id }: FrontendRoute): string {
  return `${ownPrefix}users_${id}`;
}

function tableOf({ id }: FrontendRoute): string {
  return `${ownPrefix}rate_${id}`;
}

/** Lines that refuse clients by their address. */
export function addressRules(route: FrontendRoute, client: string, refuse: string): string[] {
  const { allow, deny } = route.route;
  const lists = (name: string, networks: readonly string[]) => {
    const lines: string[] = [];
    for (let at = 0; at < networks.length; at += networksInLine) {
      const some = networks.slice(at, at + networksInLine).join(' ');
      lines.push(`acl ${route.id}.${name} ${client} -m ip ${some}`);
    }
    return lines;
  };
  return [
    ...lists('deny', deny),
    ...(deny.length === 0 ? [] : [`${refuse} if ${goesBy(route)} ${route.id}.deny`]),
    ...lists('allow', allow),
    ...(allow.length === 0 ? [] : [`${refuse} if ${goesBy(route)} !${route.id}.allow`]),
  ];
}

function rateRules(route: FrontendRoute, client: ClientAddress): string[] {
  const { rateLimit } = route.route;
  if (rateLimit === undefined) return [];
  const table = tableOf(route);
  const above = `{ sc_http_req_rate(0,${table}) gt ${rateLimit.requests} }`;
  return [
    // Who has an IPv6 address has all of its network, and could come from another one each time.
    `http-request track-sc0 ${client},ipmask(32,64) table ${table} if ${goesBy(route)}`,
    `http-request deny deny_status 429 if ${goesBy(route)} ${above}`,
  ];
}

function maintenanceRules(route: FrontendRoute, filePath: MapPath): string[] {
  const { maintenance } = route.route;
  if (maintenance === undefined) return [];
  const answer = pageAnswer(maintenance, filePath, 'closed for maintenance');
  return [`http-request return status 503 ${answer} if ${goesBy(route)}`];
}

/** How a page is given with its type and header. */
export function pageAnswer(page: Page, filePath: MapPath, words: string): string {
  const { body, contentType, retryAfterS } = page;
  const content =
    body === ''
      ? `content-type text/plain string "${words}\\n"`
      : `content-type ${word(contentType === '' ? 'text/html' : contentType)} file ${filePath(pageFile(page))}`;
  return retryAfterS === 0 ? content : `${content} hdr Retry-After ${retryAfterS}`;
}

const isHttps = '{ req.hdr(X-Forwarded-Proto) -m str -i https }';

/** Without the port of the request, where nobody speaks TLS. */
const httpsHost = 'https://%[req.fhdr(host),regsub(:[0-9]*$,)]';

function httpsRules(route: FrontendRoute, https: GuardContext['https']): string[] {
  if (!route.route.forceHttps) return [];
  const lead = (port: string, condition: string) =>
    `http-request redirect prefix '${httpsHost}${port}' code 308 if ${goesBy(route)} !${isHttps}${condition}`;
  return [
    ...(https === undefined ? [] : [lead(`:${https.port}`, ` ${https.condition}`)]),
    lead('', ''),
  ];
}

/** Before anything that answers a request itself: those answers say it too. */
function strictRules(route: FrontendRoute): string[] {
  const { strictTransport } = route.route;
  if (strictTransport === undefined) return [];
  const { maxAgeS, includeSubdomains } = strictTransport;
  const value = `max-age=${maxAgeS}${includeSubdomains ? '; includeSubDomains' : ''}`;
  return [
    `http-request set-var(txn.https) bool(true) if ${goesBy(route)} ${isHttps}`,
    `http-after-response set-header Strict-Transport-Security ${word(value)} if ${goesBy(route)} { var(txn.https) -m found }`,
  ];
}

function authRules(route: FrontendRoute): string[] {
  const { basicAuth } = route.route;
  if (basicAuth === undefined) return [];
  // It stands between quotes in the answer.
  const realm = basicAuth.realm.replaceAll(/["\\]/g, '') || route.id.split('.')[0] || route.id;
  return [
    `http-request auth realm ${word(realm)} if ${goesBy(route)} !{ http_auth(${usersOf(route)}) }`,
  ];
}

/** Those that HAProxy has. */
const redirectStatuses: readonly number[] = [301, 302, 303, 307, 308];

function redirectRules(route: FrontendRoute): string[] {
  const { redirect } = route.route;
  if (redirect === undefined) return [];
  const { to, whole, status } = redirect;
  const where = whole
    ? `location ${formatWord(to)}`
    : `prefix ${formatWord(to.replace(/(.)\/+$/, '$1'))}`;
  const code = redirectStatuses.includes(status) ? status : 302;
  return [`http-request redirect ${where} code ${code} if ${goesBy(route)}`];
}

/** What a field takes besides its name and value. */
const fieldBytes = 16;

/** By how much a route may lengthen the header of a request, or of an answer. */
export function addedBytes({ route }: FrontendRoute): number {
  const of = (changes: readonly HeaderChange[]) =>
    changes.reduce((sum, { change }) => {
      if (change === undefined || change.$case === 'remove') return sum;
      return sum + change.value.name.length + change.value.value.length + fieldBytes;
    }, 0);
  return Math.max(of(route.requestHeaders) + route.replacePath.length, of(route.responseHeaders));
}

function headerRules(route: FrontendRoute): string[] {
  const rules = (changes: readonly HeaderChange[], when: string) =>
    changes.flatMap(({ change }) => {
      if (change === undefined) return [];
      if (change.$case === 'remove') {
        return [`${when} del-header ${change.value} if ${goesBy(route)}`];
      }
      const { name, value } = change.value;
      // HAProxy reads an empty word as none.
      if (value === '') return [];
      return [`${when} ${change.$case}-header ${name} ${formatWord(value)} if ${goesBy(route)}`];
    });
  return [
    ...rules(route.route.requestHeaders, 'http-request'),
    ...rules(route.route.responseHeaders, 'http-after-response'),
  ];
}

/** Backends read these: only they know of the server's side. */
function timeoutRules(route: FrontendRoute): string[] {
  const { responseTimeoutMs, tunnelTimeoutMs } = route.route;
  const set = (name: string, ms: number) =>
    ms === 0 ? [] : [`http-request set-var(txn.${name}) int(${ms}) if ${goesBy(route)}`];
  return [...set('response_ms', responseTimeoutMs), ...set('tunnel_ms', tunnelTimeoutMs)];
}
