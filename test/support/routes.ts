import fc from 'fast-check';
import { Readiness } from '../../shared/gen/fairlead/v1/service.ts';
import { Route as ProtoRoute } from '../../shared/gen/fairlead/v1/route.ts';
import type { Route } from '../../shared/routing.ts';

/** A route for HTTP that takes everything. */
export function aRoute(changes: Partial<Route> = {}): Route {
  return {
    ...{ redirect: null, forceHttps: false, strictTransport: null, requestHeaders: [] },
    ...{ responseHeaders: [], basicAuth: null, allow: [], deny: [], rateLimit: null },
    ...{ responseTimeoutMs: 0, tunnelTimeoutMs: 0, maintenance: null, split: [], pauseMs: 0 },
    ...{ name: '1', kind: 'http', port: 0, hosts: [], paths: [], methods: [], headers: [] },
    ...{ priority: 0, targetPort: 0, replacePath: '' },
    ...changes,
  };
}

/** The same as a message, as a list of the coordinator's has it. */
export function aProtoRoute(changes: Partial<ProtoRoute> = {}): ProtoRoute {
  return { ...ProtoRoute.create(), name: '1', kind: 10, ...changes };
}

const label = fc.stringMatching(/^[a-z][a-z0-9]{0,3}$/);
const host = fc
  .array(label, { minLength: 1, maxLength: 3 })
  .chain((labels) => fc.constantFrom(labels.join('.'), `*.${labels.join('.')}`));
/** What a configuration language could take for something else is in the paths and values. */
const awkward = fc.constantFrom(
  ...[
    'a',
    '#',
    '"',
    "'",
    '}',
    '{',
    '$',
    '%[src]',
    '%',
    '\\',
    '`',
    '&',
    ';',
    '(',
    ')',
    ',',
    '-i',
    '~',
  ],
);
const segment = fc
  .array(awkward, { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join('').replaceAll('#', '').replaceAll('%', '%25') || 'a');
const path = fc
  .array(segment, { maxLength: 2 })
  .chain((segments) =>
    fc.constantFrom(`/${segments.join('/')}`, `/${[...segments, '*'].join('/')}`),
  );
const value = fc
  .array(fc.oneof(awkward, fc.constant(' ')), { maxLength: 4 })
  .map((p) => p.join(''));

const some = value.map((text) => `${text}x`);
const headerValue = { name: fc.constantFrom('X-A', 'x_b'), value: some };
const header = fc.oneof(
  fc.record(headerValue).map((set) => ({ change: { $case: 'set' as const, value: set } })),
  fc.record(headerValue).map((add) => ({ change: { $case: 'add' as const, value: add } })),
  fc.constant({ change: { $case: 'remove' as const, value: 'Server' } }),
);
const page = fc.record({
  body: fc.constantFrom('', '<h1>%[src] "\'$HOME</h1>\n', 'ü'),
  contentType: fc.constantFrom('', 'text/plain; charset=utf-8'),
  retryAfterS: fc.constantFrom(0, 60),
});
const optional = <T>(some: fc.Arbitrary<T>) => fc.option(some, { nil: undefined });
const network = fc.constantFrom('192.0.2.0/24', '2001:db8::/32', '10.0.0.1', '::1');
const hash = `$6$saltsalt$${'a'.repeat(86)}`;

/** What is done with requests, within the rules. */
const policies = fc
  .record({
    redirect: optional(
      fc.record({
        to: fc.constantFrom('https://a.test/%[src]', "/x'y", 'http://b.test'),
        whole: fc.boolean(),
        status: fc.constantFrom(0, 301, 308),
      }),
    ),
    forceHttps: fc.boolean(),
    strictTransport: optional(
      fc.record({ maxAgeS: fc.constantFrom(0, 100), includeSubdomains: fc.boolean() }),
    ),
    requestHeaders: fc.array(header, { maxLength: 2 }),
    responseHeaders: fc.array(header, { maxLength: 2 }),
    basicAuth: optional(
      fc.record({
        realm: value,
        users: fc.constant<{ name: string; passwordHash: string }[]>([
          { name: 'joe@x', passwordHash: hash },
        ]),
      }),
    ),
    allow: fc.array(network, { maxLength: 90 }),
    deny: fc.array(network, { maxLength: 2 }),
    rateLimit: optional(
      fc.record({ requests: fc.constant(5), periodMs: fc.constantFrom(0, 5_000) }),
    ),
    responseTimeoutMs: fc.constantFrom(0, 1, 100_000),
    tunnelTimeoutMs: fc.constantFrom(0, 86_400_000),
    maintenance: optional(page),
    pauseMs: fc.constantFrom(0, 1_000, 60_000),
  })
  .map((all) => ({
    ...all,
    maintenance: all.redirect === undefined ? all.maintenance : undefined,
  }));

/** How requests are spread, within the rules. */
export const validBalancing = fc.record({
  algorithm: fc.constantFrom(
    0 as const,
    10 as const,
    20 as const,
    30 as const,
    40 as const,
    50 as const,
  ),
  stickyCookie: fc.constantFrom('', 'SRV'),
  compress: fc.boolean(),
  sendProxy: fc.boolean(),
  backups: fc.constantFrom<string[]>([], ['standby']),
  unavailable: optional(page),
  pauseMs: fc.constantFrom(0, 30_000),
  http2Ports: fc.constantFrom<number[]>([], [80]),
});

/** How servers are checked, within the rules; undefined: not by HTTP. */
export const validReadiness: fc.Arbitrary<Readiness | undefined> = optional(
  fc
    .record({
      http: fc.record({
        path: path.map((text) => `${text.replaceAll(' ', '')}?q=%20'"`),
        method: fc.constantFrom('', 'GET', 'HEAD', 'POST', 'PUT', 'OPTIONS'),
        host: fc.constantFrom('', 'a.test:80', '[::1]'),
        headers: fc.dictionary(
          fc.constantFrom('X-A', 'x_b', "!#$%&'*+.^`|~"),
          fc.oneof(value, fc.constant('a\tb')),
          {
            maxKeys: 3,
          },
        ),
        statuses: fc.uniqueArray(fc.integer({ min: 100, max: 599 }), { maxLength: 50 }),
      }),
      intervalMs: fc.constantFrom(100, 5_000, 600_000),
      timeoutMs: fc.constantFrom(50, 60_000),
      failureThreshold: fc.constantFrom(1, 100),
      successThreshold: fc.constantFrom(1, 100),
    })
    .map(({ http, ...times }) =>
      Readiness.fromPartial({ check: { $case: 'http', value: http }, ...times }),
    ),
);

const validRoute = fc.record({
  policies,
  hosts: fc.uniqueArray(host, { maxLength: 2 }),
  // What is looked up has none of these.
  paths: fc.uniqueArray(
    path.map((text) => text.replaceAll(/[;\\]/g, 'b')),
    { maxLength: 3 },
  ),
  methods: fc.uniqueArray(fc.constantFrom('GET', 'POST', 'PURGE'), { maxLength: 2 }),
  headers: fc.array(
    fc.oneof(
      fc.record({
        name: fc.constantFrom('X-A', 'User-Agent'),
        kind: fc.constantFrom(10 as const, 20 as const, 30 as const),
        value: some,
      }),
      fc.constant({ name: 'Cookie', kind: 40 as const, value: '' }),
    ),
    { maxLength: 2 },
  ),
  replacePath: fc.constantFrom('', '/', '/v2', "/a'%[src]b"),
});

/** Routes for HTTP that break no rule, each of another priority. */
export const validRoutes: fc.Arbitrary<ProtoRoute[]> = fc
  .array(validRoute, { maxLength: 3 })
  .map((routes) =>
    routes.map(({ policies: done, ...route }, index) =>
      aProtoRoute({
        ...{ ...done, ...route },
        name: `r${index}`,
        priority: index,
        replacePath: route.paths.length === 0 ? '' : route.replacePath,
      }),
    ),
  );

const anyText = fc.string({ unit: 'binary', maxLength: 12 });
const anyNumber = fc.oneof(fc.integer(), fc.double());

/** A message of the right shape with whatever in its fields. */
export const anyRoute: fc.Arbitrary<ProtoRoute> = fc
  .record({
    ...{ name: anyText, port: anyNumber, priority: anyNumber, targetPort: anyNumber },
    kind: fc.constantFrom(0 as const, 10 as const, 20 as const, 30 as const),
    ...{ hosts: fc.array(anyText), paths: fc.array(anyText), methods: fc.array(anyText) },
    headers: fc.array(
      fc.record({ name: anyText, kind: fc.constantFrom(0, 10, 40), value: anyText }),
    ),
    replacePath: anyText,
    allow: fc.array(anyText),
    deny: fc.array(anyText),
    responseTimeoutMs: anyNumber,
    tunnelTimeoutMs: anyNumber,
    pauseMs: anyNumber,
    redirect: optional(fc.record({ to: anyText, whole: fc.boolean(), status: anyNumber })),
    rateLimit: optional(fc.record({ requests: anyNumber, periodMs: anyNumber })),
    maintenance: optional(
      fc.record({ body: anyText, contentType: anyText, retryAfterS: anyNumber }),
    ),
    split: fc.array(fc.record({ service: anyText, percent: anyNumber, targetPort: anyNumber })),
    basicAuth: optional(
      fc.record({
        realm: anyText,
        users: fc.array(fc.record({ name: anyText, passwordHash: anyText })),
      }),
    ),
    requestHeaders: fc.array(
      fc
        .record({ name: anyText, value: anyText })
        .map((set) => ({ change: { $case: 'set', value: set } })),
    ),
  })
  .map((route) => ProtoRoute.fromPartial(route as object));

/** As `anyRoute`, of how requests are spread. */
export const anyBalancing = fc.record({
  algorithm: fc.constantFrom(0 as const, 20 as const, 50 as const),
  ...{ stickyCookie: anyText, compress: fc.boolean(), sendProxy: fc.boolean() },
  backups: fc.array(anyText),
  unavailable: optional(fc.record({ body: anyText, contentType: anyText, retryAfterS: anyNumber })),
  pauseMs: anyNumber,
  http2Ports: fc.array(anyNumber),
});

/** As `anyRoute`, of whom a load balancer believes. */
export const anyForwarding = fc.record({
  trustedUpstreams: fc.array(anyText),
  proxyProtocolPorts: fc.array(anyNumber),
});
