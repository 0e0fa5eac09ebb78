import fc from 'fast-check';
import type { Route as ProtoRoute } from '../../shared/gen/fairlead/v1/route.ts';
import type { Route } from '../../shared/routing.ts';

/** A route for HTTP that takes everything. */
export function aRoute(changes: Partial<Route> = {}): Route {
  return {
    ...{ name: '1', kind: 'http', port: 0, hosts: [], paths: [], methods: [], headers: [] },
    ...{ priority: 0, targetPort: 0, replacePath: '' },
    ...changes,
  };
}

/** The same as a message, as a list of the coordinator's has it. */
export function aProtoRoute(changes: Partial<ProtoRoute> = {}): ProtoRoute {
  return {
    ...{ name: '1', kind: 10, port: 0, hosts: [], paths: [], methods: [], headers: [] },
    ...{ priority: 0, targetPort: 0, replacePath: '' },
    ...changes,
  };
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
  .map((parts) => parts.join('').replaceAll('#', ''));
const path = fc
  .array(segment, { maxLength: 2 })
  .chain((segments) =>
    fc.constantFrom(`/${segments.join('/')}`, `/${[...segments, '*'].join('/')}`),
  );
const value = fc
  .array(fc.oneof(awkward, fc.constant(' ')), { maxLength: 4 })
  .map((p) => p.join(''));

const validRoute = fc.record({
  hosts: fc.uniqueArray(host, { maxLength: 2 }),
  paths: fc.uniqueArray(path, { maxLength: 3 }),
  methods: fc.uniqueArray(fc.constantFrom('GET', 'POST', 'PURGE'), { maxLength: 2 }),
  headers: fc.array(
    fc.oneof(
      fc.record({
        name: fc.constantFrom('X-A', 'User-Agent'),
        kind: fc.constantFrom(10 as const, 20 as const, 30 as const),
        value,
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
    routes.map((route, index) =>
      aProtoRoute({
        ...route,
        name: `r${index}`,
        priority: index,
        replacePath: route.paths.length === 0 ? '' : route.replacePath,
      }),
    ),
  );

const anyText = fc.string({ unit: 'binary', maxLength: 12 });
const anyNumber = fc.oneof(fc.integer(), fc.double());

/** A message of the right shape with whatever in its fields. */
export const anyRoute: fc.Arbitrary<ProtoRoute> = fc.record({
  ...{ name: anyText, port: anyNumber, priority: anyNumber, targetPort: anyNumber },
  kind: fc.constantFrom(0 as const, 10 as const, 20 as const, 30 as const),
  ...{ hosts: fc.array(anyText), paths: fc.array(anyText), methods: fc.array(anyText) },
  headers: fc.array(fc.record({ name: anyText, kind: fc.constantFrom(0, 10, 40), value: anyText })),
  replacePath: anyText,
});
