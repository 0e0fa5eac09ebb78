import { expect, test } from 'vitest';
import { mergeSpec, specFromProto, specToProto } from '../../../../coordinator/api/convert-spec.ts';
import type { FieldViolation } from '../../../../shared/errors.ts';
import type { Route } from '../../../../shared/gen/fairlead/v1/route.ts';
import { ServiceSpec, type DeepPartial } from '../../../../shared/gen/fairlead/v1/service.ts';

const ports = [{ containerPort: 8080 }, { containerPort: 53, protocol: 20 as const }];

function read(spec: DeepPartial<ServiceSpec>) {
  const violations: FieldViolation[] = [];
  const result = specFromProto(
    ServiceSpec.fromPartial({ image: 'web', ports, ...spec }),
    'spec',
    violations,
  );
  return { spec: result, violations };
}

const refusals = (spec: DeepPartial<ServiceSpec>) =>
  read(spec).violations.map(({ field, rule }) => `${field} ${rule}`);

const hash = `$6$salt$${'a'.repeat(86)}`;

test.each<[string, DeepPartial<Route>]>([
  ['spec.routes[0].target_port must be one of the TCP ports 8080', { targetPort: 9000 }],
  ['spec.routes[0].target_port must be one of the TCP ports 8080', { targetPort: 53 }],
  ['spec.routes[0].hosts[0] must be a host', { hosts: ['a.test:80'] }],
  ['spec.routes[0].hosts[0] must be a host', { hosts: ['a b'] }],
  ['spec.routes[0].hosts[0] must be a host', { hosts: ['a.*.test'] }],
  ['spec.routes[0].hosts[1] has the same host', { hosts: ['A.test', 'a.test'] }],
  ['spec.routes[0].paths[0] must begin with "/"', { paths: ['api'] }],
  ['spec.routes[0].paths[0] must begin with "/"', { paths: ['/a b'] }],
  ['spec.routes[0].paths[0] must begin with "/"', { paths: ['/a\n/b'] }],
  ['spec.routes[0].paths[0] must have "*" only', { paths: ['/*/a'] }],
  // It is looked up decoded, and would be everything below /a.
  ['spec.routes[0].paths[0] must have "*" only', { paths: ['/a/%2A'] }],
  ['spec.routes[0].paths[0] must have "%" only', { paths: ['/a%2'] }],
  ['spec.routes[0].paths[0] must have "%" only', { paths: ['/a%FF'] }],
  ['spec.routes[0].paths[0] must have "%" only', { paths: ['/a%20b/*'] }],
  ['spec.routes[0].paths[0] must have "%" only', { paths: ['/a%0a0'] }],
  ['spec.routes[0].paths[0] must not have "."', { paths: ['/a/../b'] }],
  ['spec.routes[0].paths[0] must not have "."', { paths: ['/a//b'] }],
  ['spec.routes[0].paths[0] must not have "."', { paths: ['/a/.'] }],
  ['spec.routes[0].paths[0] must not have ";"', { paths: ['/a;b/*'] }],
  ['spec.routes[0].paths[0] must not have ";"', { paths: ['/a%5Cb'] }],
  ['spec.routes[0].headers[0].value is required', { headers: [{ name: 'a', kind: 20 }] }],
  ['spec.routes[0].replace_path must only be set together', { replacePath: '/' }],
  ['spec.routes[0].methods[0] must be upper-case letters', { methods: ['get'] }],
  ['spec.routes[0].methods[0] must be upper-case letters', { methods: ['CONNECT'] }],
  ['spec.routes[0].headers[0].name must be', { headers: [{ name: 'a b' }] }],
  ['spec.routes[0].priority must be a whole number', { priority: 1_001 }],
  ['spec.routes[0].port is required', { kind: 20 }],
  ['spec.routes[0].paths must only be set with', { kind: 30, port: 1, paths: ['/'] }],
  ['spec.routes[0].rate_limit must only', { kind: 20, port: 1, rateLimit: { requests: 1 } }],
  ['spec.routes[0].redirect.to must be a URL', { redirect: { to: 'javascript:1' } }],
  ['spec.routes[0].redirect.to must be another path', { redirect: { to: '/' } }],
  ['spec.routes[0].redirect.status must be one of', { redirect: { to: '/a', status: 200 } }],
  ['spec.routes[0].allow[0] must be an address', { allow: ['10.0.0.0/33'] }],
  ['spec.routes[0].deny[0] must be an address', { deny: ['fe80::1%eth0'] }],
  ['spec.routes[0].basic_auth.users is required', { basicAuth: {} }],
  [
    'spec.routes[0].basic_auth.users[0].password_hash must be a hash',
    { basicAuth: { users: [{ name: 'joe', passwordHash: 'plain' }] } },
  ],
  [
    'spec.routes[0].basic_auth.users[0].password_hash must have at most 20000 rounds',
    {
      basicAuth: {
        users: [{ name: 'joe', passwordHash: hash.replace('salt', 'rounds=999999999$salt') }],
      },
    },
  ],
  [
    'spec.routes[0].request_headers[0].set.name must not be host',
    { requestHeaders: [{ change: { $case: 'set', value: { name: 'Host', value: 'a' } } }] },
  ],
  [
    'spec.routes[0].response_headers must have at most 8192 bytes',
    {
      responseHeaders: Array.from({ length: 9 }, (_, index) => ({
        change: { $case: 'add', value: { name: `X-${index}`, value: 'v'.repeat(1_000) } },
      })),
    },
  ],
  [
    'spec.routes[0].split must not add up to more than 100',
    {
      split: [
        { service: 'a', percent: 60 },
        { service: 'b', percent: 60 },
      ],
    },
  ],
])('refuses %s', (words, route) => {
  const found = refusals({ routes: [route] });
  expect(found.some((each) => each.startsWith(words))).toBe(true);
  expect(found.join()).not.toContain('plain');
});

test('refuses routes that nothing tells apart, and those of a load balancer', () => {
  expect(refusals({ routes: [{ hosts: ['a'] }, { hosts: ['a', 'b'] }] })).toEqual([
    'spec.routes[1] matches the same requests as spec.routes[0]: give them different priorities',
  ]);
  expect(refusals({ apiRole: 20, routes: [{}] }).join()).toContain('spec.routes must be empty');
  expect(refusals({ forwarding: { trustedUpstreams: ['::1'] } })).toEqual([
    'spec.forwarding must only be set with the role PROXY',
  ]);
  const proxied = (...proxyProtocolPorts: number[]) =>
    refusals({ apiRole: 20, forwarding: { proxyProtocolPorts } });
  expect(proxied(8080)).toEqual([]);
  expect(proxied(8080, 53)).toEqual([
    'spec.forwarding.proxy_protocol_ports[1] must be a TCP port that the service declares, and is 53',
  ]);
});

test('shows no hash of a password, and keeps it when a change leaves it empty', () => {
  const users = [{ name: 'joe', passwordHash: hash }];
  const { spec, violations } = read({ routes: [{ name: 'x', basicAuth: { users } }] });
  expect(violations).toEqual([]);
  const shown = specToProto(spec);
  expect(JSON.stringify(shown)).not.toContain(hash);
  expect(shown.routes[0]?.basicAuth?.users).toEqual([{ name: 'joe', passwordHash: '' }]);
  const into: FieldViolation[] = [];
  expect(mergeSpec(spec, shown, [], into)).toEqual(spec);
  expect(mergeSpec(spec, shown, ['routes'], into)).toEqual(spec);
  expect(mergeSpec(spec, ServiceSpec.fromPartial({ replicas: 2 }), ['replicas'], into)).toEqual({
    ...{ ...spec, replicas: 2 },
  });
  expect(into).toEqual([]);
});

test('takes as many hosts and paths as can be looked up, in no time, and refuses more', () => {
  const names = (what: string) => Array.from({ length: 100 }, (_, index) => `${what}${index}`);
  const route = (name: string, paths: string[]) => ({
    ...{ name, paths, hosts: names(`${name}.test-`) },
  });
  const many = names('/p');
  expect(refusals({ routes: [route('a', many)] })).toEqual([]);
  expect(refusals({ routes: [route('a', many), route('b', [])] })).toEqual([
    'spec.routes must have at most 10000 pairs of a host and a path in all, and has 10100',
  ]);
  // Each is compared with each.
  const all = Array.from({ length: 100 }, (_, index) => route(`r${index}`, many));
  const before = process.cpuUsage().user;
  expect(refusals({ routes: all })).toHaveLength(1);
  expect(process.cpuUsage().user - before).toBeLessThan(5_000_000);
});
