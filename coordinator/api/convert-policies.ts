import { isIP } from 'node:net';
import type { FieldViolation } from '../../shared/errors.ts';
import type {
  BasicAuth as ProtoBasicAuth,
  HeaderChange as ProtoHeaderChange,
  Page as ProtoPage,
  RateLimit as ProtoRateLimit,
  Redirect as ProtoRedirect,
  Route as ProtoRoute,
  Share as ProtoShare,
  StrictTransport as ProtoStrictTransport,
} from '../../shared/gen/fairlead/v1/route.ts';
import type {
  BasicAuth,
  HeaderChange,
  Page,
  RateLimit,
  Redirect,
  Route,
  Share,
  StrictTransport,
} from '../../shared/routing.ts';
import { quote, validateCount, validateName, validateRange, validateUnique } from './validate.ts';

// What a route does with requests, each part from and to its message.

const maxDayMs = 86_400_000;
const redirectStatuses = [301, 302, 303, 307, 308];
const headerName = /^[A-Za-z0-9_-]{1,100}$/;
const printable = /^[ -~]*$/;
const passwordHash =
  /^\$[56]\$(?:rounds=([0-9]{4,9})\$)?[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{43,86}$/;
/** HAProxy computes the hash for each request, in the thread that serves others too: some 10 ms with as many. */
const maxRounds = 20_000;
const userName = /^[A-Za-z0-9_.@-]{1,100}$/;
const contentType =
  /^[A-Za-z0-9!#$&^_.+-]+\/[A-Za-z0-9!#$&^_.+-]+(; ?[A-Za-z0-9-]+=[A-Za-z0-9-]+)*$/;
/** What a message is made of; a change of these would make it another one. */
const framing = ['host', 'connection', 'content-length', 'transfer-encoding'];

/** The parts of a route that say what is done with requests. */
export type Policies = Pick<
  Route,
  | 'redirect'
  | 'forceHttps'
  | 'strictTransport'
  | 'requestHeaders'
  | 'responseHeaders'
  | 'basicAuth'
  | 'allow'
  | 'deny'
  | 'rateLimit'
  | 'responseTimeoutMs'
  | 'tunnelTimeoutMs'
  | 'maintenance'
  | 'split'
  | 'pauseMs'
>;

/** What is done with the requests of a route. */
export function policiesFromProto(
  route: ProtoRoute,
  field: string,
  into: FieldViolation[],
): Policies {
  const { responseTimeoutMs, tunnelTimeoutMs, forceHttps, pauseMs } = route;
  const ms = { min: 0, max: maxDayMs };
  validateRange(responseTimeoutMs, { ...ms, field: `${field}.response_timeout_ms` }, into);
  validateRange(tunnelTimeoutMs, { ...ms, field: `${field}.tunnel_timeout_ms` }, into);
  validatePause(pauseMs, `${field}.pause_ms`, into);
  const answers = [route.redirect, route.maintenance].filter((each) => each !== undefined);
  if (answers.length > 1) {
    const rule = 'must not be set together with redirect: only one of them can answer';
    into.push({ field: `${field}.maintenance`, rule });
  }
  return {
    ...{ responseTimeoutMs, tunnelTimeoutMs, forceHttps, pauseMs },
    redirect: redirectFromProto(route.redirect, `${field}.redirect`, into),
    strictTransport: strictFromProto(route.strictTransport, `${field}.strict_transport`, into),
    requestHeaders: headersFromProto(route.requestHeaders, `${field}.request_headers`, into),
    responseHeaders: headersFromProto(route.responseHeaders, `${field}.response_headers`, into),
    basicAuth: basicAuthFromProto(route.basicAuth, `${field}.basic_auth`, into),
    allow: networksFromProto(route.allow, `${field}.allow`, into),
    deny: networksFromProto(route.deny, `${field}.deny`, into),
    rateLimit: rateLimitFromProto(route.rateLimit, `${field}.rate_limit`, into),
    maintenance: pageFromProto(route.maintenance, `${field}.maintenance`, into),
    split: splitFromProto(route.split, `${field}.split`, into),
  };
}

function redirectFromProto(
  redirect: ProtoRedirect | undefined,
  field: string,
  into: FieldViolation[],
): Redirect | null {
  if (redirect === undefined) return null;
  const { to, whole, status: given } = redirect;
  const status = given === 0 ? 302 : given;
  if (to.length > 1_024 || !/^(https?:\/\/[!-~]+|\/[!-~]*)$/.test(to)) {
    const rule = `must be a URL or a path of at most 1024 printable characters without spaces, and is ${quote(to)}`;
    into.push({ field: `${field}.to`, rule });
  } else if (!whole && /^\/+$/.test(to)) {
    const rule =
      'must be another path than "/", or a URL: path and query follow it, so that it leads back here';
    into.push({ field: `${field}.to`, rule });
  }
  if (!redirectStatuses.includes(status)) {
    const rule = `must be one of ${redirectStatuses.join(', ')}, and is ${status}`;
    into.push({ field: `${field}.status`, rule });
  }
  return { to, whole, status };
}

function strictFromProto(
  strict: ProtoStrictTransport | undefined,
  field: string,
  into: FieldViolation[],
): StrictTransport | null {
  if (strict === undefined) return null;
  const limits = { min: 0, max: 315_360_000, field: `${field}.max_age_s` };
  validateRange(strict.maxAgeS, limits, into);
  return { ...strict };
}

/** Load balancers keep so much free for what is added to a header, for each request. */
const maxHeaderBytes = 8_192;

function bytesOf(change: ProtoHeaderChange['change']): number {
  if (change === undefined || change.$case === 'remove') return 0;
  return change.value.name.length + change.value.value.length;
}

function headersFromProto(
  changes: readonly ProtoHeaderChange[],
  field: string,
  into: FieldViolation[],
): HeaderChange[] {
  validateCount(changes.length, { max: 50, field }, into);
  const bytes = changes.reduce((sum, { change }) => sum + bytesOf(change), 0);
  if (bytes > maxHeaderBytes) {
    const rule = `must have at most ${maxHeaderBytes} bytes of names and values, and has ${bytes}`;
    into.push({ field, rule });
  }
  return changes.map(({ change }, index) => {
    const at = `${field}[${index}]`;
    if (change === undefined) {
      into.push({ field: at, rule: 'must set, add or remove a header' });
      return { kind: 'remove', name: '', value: '' };
    }
    const kind = change.$case;
    const { name, value } =
      change.$case === 'remove' ? { name: change.value, value: '' } : change.value;
    validateHeaderName(name, `${at}.${kind}.name`, into);
    validatePrintable(value, `${at}.${kind}.value`, into);
    if (kind !== 'remove' && value === '') {
      into.push({ field: `${at}.${kind}.value`, rule: 'is required: to take it away, remove it' });
    }
    if (framing.includes(name.toLowerCase())) {
      into.push({ field: `${at}.${kind}.name`, rule: `must not be ${framing.join(', ')}` });
    }
    return { kind, name, value };
  });
}

function basicAuthFromProto(
  auth: ProtoBasicAuth | undefined,
  field: string,
  into: FieldViolation[],
): BasicAuth | null {
  if (auth === undefined) return null;
  const { realm, users } = auth;
  if (realm.length > 100) into.push({ field: `${field}.realm`, rule: 'is too long' });
  validatePrintable(realm, `${field}.realm`, into);
  if (users.length === 0) {
    into.push({ field: `${field}.users`, rule: 'is required: without any nobody is let in' });
  }
  validateCount(users.length, { max: 100, field: `${field}.users` }, into);
  const names = users.map(({ name }) => name);
  validateUnique(names, { field: `${field}.users`, what: 'name' }, into);
  for (const [index, user] of users.entries()) {
    const at = `${field}.users[${index}]`;
    if (!userName.test(user.name)) {
      const rule = `must be at most 100 letters, digits, "_", ".", "@" and "-", and is ${quote(user.name)}`;
      into.push({ field: `${at}.name`, rule });
    }
    // Its value is nobody's to see, not even in a refusal.
    const [whole, rounds] = passwordHash.exec(user.passwordHash) ?? [];
    if (whole === undefined) {
      const rule = 'must be a hash of the form $5$… or $6$…, as "openssl passwd -6" makes it';
      into.push({ field: `${at}.password_hash`, rule });
    } else if (Number(rounds ?? 0) > maxRounds) {
      const rule = `must have at most ${maxRounds} rounds: it is computed for each request`;
      into.push({ field: `${at}.password_hash`, rule });
    }
  }
  return { realm, users: users.map((user) => ({ ...user })) };
}

/** Networks by CIDR, or single addresses. */
export function networksFromProto(
  networks: readonly string[],
  field: string,
  into: FieldViolation[],
): string[] {
  validateCount(networks.length, { max: 100, field }, into);
  for (const [index, network] of networks.entries()) {
    if (isNetwork(network)) continue;
    const rule = `must be an address or a network like 192.0.2.0/24, and is ${quote(network)}`;
    into.push({ field: `${field}[${index}]`, rule });
  }
  return [...networks];
}

function isNetwork(text: string): boolean {
  const [address = '', length, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || address.includes('%') || rest.length > 0) return false;
  if (length === undefined) return true;
  return /^\d{1,3}$/.test(length) && Number(length) <= (version === 4 ? 32 : 128);
}

function rateLimitFromProto(
  limit: ProtoRateLimit | undefined,
  field: string,
  into: FieldViolation[],
): RateLimit | null {
  if (limit === undefined) return null;
  const periodMs = limit.periodMs === 0 ? 1_000 : limit.periodMs;
  const count = { min: 1, max: 1_000_000, field: `${field}.requests` };
  validateRange(limit.requests, count, into);
  validateRange(periodMs, { min: 1_000, max: maxDayMs, field: `${field}.period_ms` }, into);
  return { requests: limit.requests, periodMs };
}

/** A page that clients are shown. */
export function pageFromProto(
  page: ProtoPage | undefined,
  field: string,
  into: FieldViolation[],
): Page | null {
  if (page === undefined) return null;
  const type = page.contentType === '' ? 'text/html' : page.contentType;
  if (Buffer.byteLength(page.body) > 8_192 || /\0|\p{Surrogate}/u.test(page.body)) {
    const rule = 'must have at most 8192 bytes of Unicode without NUL';
    into.push({ field: `${field}.body`, rule });
  }
  if (type.length > 100 || !contentType.test(type)) {
    const rule = `must be a type like text/html; charset=utf-8, and is ${quote(type)}`;
    into.push({ field: `${field}.content_type`, rule });
  }
  validateRange(page.retryAfterS, { min: 0, max: 86_400, field: `${field}.retry_after_s` }, into);
  return { body: page.body, contentType: type, retryAfterS: page.retryAfterS };
}

function splitFromProto(
  split: readonly ProtoShare[],
  field: string,
  into: FieldViolation[],
): Share[] {
  validateCount(split.length, { max: 20, field }, into);
  for (const [index, { service, percent, targetPort }] of split.entries()) {
    const at = `${field}[${index}]`;
    validateName(service, `${at}.service`, into);
    validateRange(percent, { min: 0, max: 100, field: `${at}.percent` }, into);
    validateRange(targetPort, { min: 0, max: 65_535, field: `${at}.target_port` }, into);
  }
  const keys = split.map(({ service, targetPort }) => `${service}:${targetPort}`);
  validateUnique(keys, { field, what: 'service' }, into);
  const sum = split.reduce((total, { percent }) => total + percent, 0);
  if (sum > 100)
    into.push({ field, rule: `must not add up to more than 100 percent, and is ${sum}` });
  return split.map((share) => ({ ...share }));
}

/** How long requests are held: HAProxy gives up after a minute whatever it is told. */
export function validatePause(pauseMs: number, field: string, into: FieldViolation[]): void {
  if (pauseMs !== 0) validateRange(pauseMs, { min: 1_000, max: 60_000, field }, into);
}

/** The name of a header field. */
export function validateHeaderName(name: string, field: string, into: FieldViolation[]): void {
  if (headerName.test(name)) return;
  const rule = `must be at most 100 letters, digits, "-" and "_", and is ${quote(name)}`;
  into.push({ field, rule });
}

/** A value that fits in a header field. */
export function validatePrintable(value: string, field: string, into: FieldViolation[]): void {
  if (value.length <= 1_024 && printable.test(value)) return;
  into.push({ field, rule: 'must have at most 1024 printable ASCII characters' });
}

/** The message of what is done with requests, with all that there is to hide in it. */
export function policiesToProto(route: Policies) {
  const headers = (changes: readonly HeaderChange[]) =>
    changes.map(({ kind, name, value }): ProtoHeaderChange => {
      if (kind === 'remove') return { change: { $case: 'remove', value: name } };
      return { change: { $case: kind, value: { name, value } } };
    });
  const { basicAuth } = route;
  return {
    redirect: route.redirect ?? undefined,
    forceHttps: route.forceHttps,
    strictTransport: route.strictTransport ?? undefined,
    requestHeaders: headers(route.requestHeaders),
    responseHeaders: headers(route.responseHeaders),
    basicAuth:
      basicAuth === null
        ? undefined
        : { ...basicAuth, users: basicAuth.users.map((user) => ({ ...user })) },
    allow: [...route.allow],
    deny: [...route.deny],
    rateLimit: route.rateLimit ?? undefined,
    responseTimeoutMs: route.responseTimeoutMs,
    tunnelTimeoutMs: route.tunnelTimeoutMs,
    maintenance: route.maintenance ?? undefined,
    split: route.split.map((share) => ({ ...share })),
    pauseMs: route.pauseMs,
  };
}
