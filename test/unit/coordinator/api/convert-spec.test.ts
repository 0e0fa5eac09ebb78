import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  mergeSpec,
  needsNewContainers,
  specFromProto,
  specToProto,
} from '../../../../coordinator/api/convert-spec.ts';
import type { ServiceSpec } from '../../../../coordinator/model.ts';
import type { FieldViolation } from '../../../../shared/errors.ts';
import { NetworkMode } from '../../../../shared/gen/fairlead/v1/container_options.ts';
import {
  ApiRole,
  FailureAction,
  PlacementStrategy,
  PortProtocol,
  RestartPolicy,
  ServiceSpec as ProtoSpec,
  UpdateOrder,
} from '../../../../shared/gen/fairlead/v1/service.ts';
import { aBalancing, anUpdatePolicy } from '../../../support/builders.ts';
import { someLimits, someOptions } from '../../../support/container-options.ts';
import { anySpecs, aProtoSpec, validSpecs } from './specs.ts';

type Changes = Parameters<typeof aProtoSpec>[0];

function rulesOf(spec: ProtoSpec | undefined): string[] {
  const into: FieldViolation[] = [];
  specFromProto(spec, 'spec', into);
  return into.map(({ field, rule }) => `${field} ${rule}`);
}

function valid(changes: Changes = {}): ServiceSpec {
  const into: FieldViolation[] = [];
  const spec = specFromProto(aProtoSpec(changes), 'spec', into);
  expect(into).toEqual([]);
  return spec;
}

const http = (path: string, port = 0) => ({
  check: { $case: 'http' as const, value: { path, port } },
});
const range = (length: number) => Array.from({ length }, (_, index) => index + 1);

test('fills in every default', () => {
  expect(valid()).toEqual({
    image: 'web:1',
    replicas: 1,
    command: [],
    entrypoint: [],
    environment: {},
    labels: {},
    ports: [],
    links: [],
    tags: [],
    avoidTags: [],
    strategy: 'emptiest-node',
    restart: 'always',
    readiness: {
      check: { kind: 'tcp', port: 0 },
      ...{ intervalMs: 5_000, timeoutMs: 2_000, failureThreshold: 3 },
      ...{ successThreshold: 1, startPeriodMs: 0 },
    },
    update: anUpdatePolicy({ order: 'default', parallelism: 1 }),
    drainTimeoutMs: 30_000,
    stopGraceMs: 10_000,
    apiRole: 'none',
    container: someOptions(),
    volumes: [],
    volumesFrom: [],
    reservation: { cpuMillis: 0, memoryBytes: 0 },
    maxPerNode: 0,
    spreadOver: [],
    platforms: [],
    restartLimit: 0,
    liveness: null,
    sequential: false,
    routes: [],
    tls: { ports: [], policy: 'intermediate', clientCertificates: 'none', clientCaPem: '' },
    balancing: aBalancing(),
    forwarding: { trustedUpstreams: [], proxyProtocolPorts: [] },
    autodestroy: 'never',
  });
});

test('keeps what is set, zeros too', () => {
  const spec = valid({
    replicas: 0,
    ports: [
      { containerPort: 80, published: true, hostPort: 8080 },
      { containerPort: 53, protocol: PortProtocol.UDP },
    ],
    links: [{ service: 'api' }, { service: 'api', alias: 'backend' }],
    strategy: PlacementStrategy.HIGH_AVAILABILITY,
    restart: RestartPolicy.ON_FAILURE,
    readiness: { ...http('/health', 80), failureThreshold: 1 },
    update: { order: UpdateOrder.STOP_FIRST, parallelism: 5 },
    drainTimeoutMs: 0,
    stopGraceMs: 0,
    apiRole: ApiRole.PROXY,
  });
  expect(spec).toMatchObject({
    replicas: 0,
    ports: [
      { containerPort: 80, protocol: 'tcp', published: true, hostPort: 8080 },
      { containerPort: 53, protocol: 'udp', published: false, hostPort: 0 },
    ],
    links: [
      { service: 'api', alias: 'api' },
      { service: 'api', alias: 'backend' },
    ],
    strategy: 'high-availability',
    restart: 'on-failure',
    readiness: { check: { ...checked, path: '/health', port: 80 }, failureThreshold: 1 },
    update: anUpdatePolicy({ order: 'stop-first', parallelism: 5 }),
    drainTimeoutMs: 0,
    stopGraceMs: 0,
    apiRole: 'proxy',
  });
});

test('takes enum numbers of later versions for not set', () => {
  const later = 77 as never;
  const spec = valid({
    strategy: later,
    restart: later,
    apiRole: later,
    update: { order: later },
    ports: [{ containerPort: 80, protocol: later }],
  });
  expect(spec).toEqual(valid({ ports: [{ containerPort: 80 }] }));
});

const allowed: readonly [string, Changes][] = [
  ['1,000 replicas', { replicas: 1000 }],
  ['a load balancer without ports', { apiRole: ApiRole.PROXY }],
  [
    'the same number once for each protocol',
    {
      ports: [
        { containerPort: 53, published: true, hostPort: 53 },
        { containerPort: 53, protocol: PortProtocol.UDP, published: true, hostPort: 53 },
      ],
    },
  ],
  ['a proxy setting', { environment: { FAIRLEAD_PROXY_MODE: 'http' } }],
  ['templates', { environment: { WHO: '{{.Node.Hostname}} {{"{{"}}' } }],
  [
    "the container port as the node's in its network",
    {
      ports: [{ containerPort: 80, published: true, hostPort: 80 }, { containerPort: 81 }],
      container: { network: NetworkMode.HOST },
    },
  ],
  ['a value with line breaks', { environment: { PEM: 'a\nb\n' }, labels: { note: 'a\nb' } }],
  ['a value of 32 KiB', { environment: { BIG: 'x'.repeat(32 * 1024) } }],
  ['200 variables', { environment: Object.fromEntries(range(200).map((n) => [`V${n}`, ''])) }],
  ['a label like fairlead', { labels: { 'fairleads.a': '1', 'com.example.a b': '2' } }],
  [
    'the first TCP port as the checked one',
    {
      ports: [{ containerPort: 53, protocol: PortProtocol.UDP }, { containerPort: 80 }],
      readiness: http('/'),
    },
  ],
  [
    'a path of 1,024 characters',
    { ports: [{ containerPort: 80 }], readiness: http(`/${'a'.repeat(1023)}`) },
  ],
  ['no port and no check', { readiness: { check: { $case: 'none', value: {} } } }],
  [
    'a fixed port with start-first',
    {
      ports: [{ containerPort: 80, published: true, hostPort: 80 }],
      update: { order: UpdateOrder.START_FIRST },
    },
  ],
];

test.each(allowed)('allows %s', (_, changes) => {
  valid(changes);
});

const refused: readonly [string, Changes, readonly string[]][] = [
  ['no image', { image: '' }, ['spec.image is required']],
  [
    '1,001 replicas',
    { replicas: 1001 },
    ['spec.replicas must be a whole number from 0 to 1000, and is 1001'],
  ],
  [
    'a count with every node',
    { replicas: 0, strategy: PlacementStrategy.EVERY_NODE },
    ['spec.replicas must not be set with the strategy EVERY_NODE'],
  ],
  [
    'NUL in an argument',
    { command: ['a', 'b\0'], entrypoint: ['\0'] },
    [
      'spec.command[1] must be valid Unicode without NUL',
      'spec.entrypoint[0] must be valid Unicode without NUL',
    ],
  ],
  [
    'a long argument',
    { command: ['x'.repeat(32 * 1024 + 1)] },
    ['spec.command[0] must have at most 32768 bytes'],
  ],
  [
    '1,001 arguments',
    { command: range(1001).map(String) },
    ['spec.command must have at most 1000 entries, and has 1001'],
  ],
  [
    'an unknown template',
    { environment: { A: '{{.Task.Slot}}' } },
    [
      'spec.environment["A"] must have no template but {{.Service.ID}}, {{.Service.Name}}, {{.Container.ID}}, {{.Container.Name}}, {{.Slot}}, {{.Revision}}, {{.Node.ID}}, {{.Node.Name}}, {{.Node.Hostname}}, and {{"{{"}} for two braces, and has {{.Task.Slot}}',
    ],
  ],
  [
    "another port in the node's network",
    {
      ports: [{ containerPort: 80, published: true, hostPort: 8080 }],
      container: { network: NetworkMode.HOST },
    },
    ['spec.ports[0].host_port must be 0 or the container port with the network HOST, and is 8080'],
  ],
  [
    'a wrong option, by its path',
    { container: { limits: { cpus: 'all' } } },
    [
      'spec.container.limits.cpus must be numbers of processors below 1024 like "0-2,4", and is "all"',
    ],
  ],
  [
    'half a character',
    { environment: { A: '\ud800' } },
    ['spec.environment["A"] must be valid Unicode without NUL'],
  ],
  [
    'names that are none',
    { environment: { '': '', '1A': '', 'A-B': '', 'A\nB': '' } },
    [
      'spec.environment["1A"] must have a name of letters, digits and "_" that does not begin with a digit',
      'spec.environment[""] must have a name of letters, digits and "_" that does not begin with a digit',
      'spec.environment["A-B"] must have a name of letters, digits and "_" that does not begin with a digit',
      'spec.environment["A\\nB"] must have a name of letters, digits and "_" that does not begin with a digit',
    ],
  ],
  [
    "the system's names",
    { environment: { FAIRLEAD_AUTH: '', FAIRLEAD_: '' } },
    [
      'spec.environment["FAIRLEAD_AUTH"] must not begin with FAIRLEAD_: these names are the system\'s, but for FAIRLEAD_PROXY_ settings',
      'spec.environment["FAIRLEAD_"] must not begin with FAIRLEAD_: these names are the system\'s, but for FAIRLEAD_PROXY_ settings',
    ],
  ],
  [
    'lines in a proxy setting',
    { environment: { FAIRLEAD_PROXY_X: 'a\nb' } },
    ['spec.environment["FAIRLEAD_PROXY_X"] must have no control character, and is "a\\nb"'],
  ],
  [
    '201 variables',
    { environment: Object.fromEntries(range(201).map((n) => [`V${n}`, ''])) },
    ['spec.environment must have at most 200 entries, and has 201'],
  ],
  [
    'a value over 32 KiB, in bytes',
    { environment: { BIG: 'é'.repeat(16 * 1024 + 1) } },
    ['spec.environment["BIG"] must have at most 32768 bytes'],
  ],
  [
    "the system's labels",
    { labels: { 'fairlead.node': '1', '': '2', 'a\nb': '3' } },
    [
      'spec.labels["fairlead.node"] must not begin with fairlead.: these names are the system\'s',
      'spec.labels[""] must have a name',
      'spec.labels["a\\nb"] must have a name without control characters',
    ],
  ],
  [
    'a long key',
    { labels: { ['k'.repeat(256)]: '' } },
    [`spec.labels["${'k'.repeat(40)}…"] must have a name of at most 255 bytes`],
  ],
  [
    'ports out of range',
    {
      ports: [
        {},
        { containerPort: 65_536 },
        { containerPort: 1, published: true, hostPort: 65_536 },
      ],
    },
    [
      'spec.ports[0].container_port must be a whole number from 1 to 65535, and is 0',
      'spec.ports[1].container_port must be a whole number from 1 to 65535, and is 65536',
      'spec.ports[2].host_port must be a whole number from 0 to 65535, and is 65536',
    ],
  ],
  [
    'a host port that is not published',
    { ports: [{ containerPort: 80, hostPort: 80 }] },
    ['spec.ports[0].host_port must only be set together with published'],
  ],
  [
    'a container port twice',
    {
      ports: [
        { containerPort: 80 },
        { containerPort: 81 },
        { containerPort: 80, protocol: PortProtocol.TCP },
      ],
    },
    ['spec.ports[2] has the same container port as spec.ports[0]: "80/tcp"'],
  ],
  [
    'a host port twice',
    {
      ports: [
        { containerPort: 80, published: true, hostPort: 8080 },
        { containerPort: 81, published: true },
        { containerPort: 82, published: true },
        { containerPort: 83, published: true, hostPort: 8080 },
      ],
    },
    ['spec.ports[3] has the same host port as spec.ports[0]: "8080/tcp"'],
  ],
  [
    'a port twice on a plain host',
    {
      apiRole: ApiRole.PROXY,
      ports: [
        { containerPort: 80, published: true, hostPort: 8080 },
        { containerPort: 8080, protocol: PortProtocol.UDP },
        { containerPort: 8080 },
      ],
    },
    ['spec.ports[2] has the same port of a proxy on a plain host as spec.ports[0]: "8080"'],
  ],
  [
    'an alias twice',
    { links: [{ service: 'a' }, { service: 'b', alias: 'a' }] },
    ['spec.links[1] has the same alias as spec.links[0]: "a"'],
  ],
  [
    'wrong names in links',
    { links: [{ alias: 'a' }, { service: 'b', alias: 'B_1' }] },
    [
      'spec.links[0].service is required',
      'spec.links[1].alias must be lower-case letters, digits and dashes, with no dash at either end, and is "B_1"',
    ],
  ],
  [
    'a tag that is none',
    { tags: ['a b'] },
    [
      'spec.tags[0] must be at most 80 letters, digits, "_", ".", "=" and "-", with a letter or digit first, and is "a b"',
    ],
  ],
  [
    'a tag to avoid that is none, and one twice',
    { avoidTags: ['edge', 'zone!=a', 'edge'] },
    [
      'spec.avoid_tags[2] has the same tag as spec.avoid_tags[0]: "edge"',
      'spec.avoid_tags[1] must be at most 80 letters, digits, "_", ".", "=" and "-", with a letter or digit first, and is "zone!=a"',
    ],
  ],
  [
    'a tag to have and to avoid',
    { tags: ['web', 'eu'], avoidTags: ['edge', 'eu'] },
    [
      'spec.avoid_tags[1] must not be in spec.tags too, as no node can have it and not have it, and is "eu"',
    ],
  ],
  [
    'a check of nothing',
    { readiness: http('/') },
    ['spec.readiness.http.port needs a TCP port in spec.ports'],
  ],
  [
    'a check of a UDP port',
    { ports: [{ containerPort: 53, protocol: PortProtocol.UDP }], readiness: http('/', 53) },
    [
      'spec.readiness.http.port must be the container port of a TCP port in spec.ports, or 0 for the first, and is 53',
    ],
  ],
  [
    'a check without path',
    { ports: [{ containerPort: 80 }], readiness: http('') },
    ['spec.readiness.http.path is required'],
  ],
  [
    'a relative path',
    { ports: [{ containerPort: 80 }], readiness: http('health') },
    [
      'spec.readiness.http.path must begin with "/" and have no space, no "#" and only ASCII characters, and is "health"',
    ],
  ],
  [
    'a path that ends the request',
    { ports: [{ containerPort: 80 }], readiness: http('/ HTTP/1.1\r\nX: y') },
    [expect.stringMatching(/^spec\.readiness\.http\.path must begin with/)],
  ],
  [
    'a long path',
    { ports: [{ containerPort: 80 }], readiness: http(`/${'a'.repeat(1024)}`) },
    ['spec.readiness.http.path must have at most 1024 characters'],
  ],
  [
    'times out of range',
    {
      readiness: { intervalMs: 99, timeoutMs: 60_001, failureThreshold: 0 },
      update: {
        parallelism: 101,
        deadlineMs: 999,
        settleMs: 3_600_001,
        failureBudgetPercent: 101,
        revisionsKept: 0,
        canary: 1_001,
      },
      drainTimeoutMs: 3_600_001,
      stopGraceMs: 3_600_001,
    },
    [
      'spec.drain_timeout_ms must be a whole number from 0 to 3600000, and is 3600001',
      'spec.stop_grace_ms must be a whole number from 0 to 3600000, and is 3600001',
      'spec.readiness.interval_ms must be a whole number from 100 to 600000, and is 99',
      'spec.readiness.timeout_ms must be a whole number from 50 to 60000, and is 60001',
      'spec.readiness.failure_threshold must be a whole number from 1 to 100, and is 0',
      'spec.update.parallelism must be a whole number from 1 to 100, and is 101',
      'spec.update.deadline_ms must be a whole number from 1000 to 86400000, and is 999',
      'spec.update.settle_ms must be a whole number from 0 to 3600000, and is 3600001',
      'spec.update.failure_budget_percent must be a whole number from 0 to 100, and is 101',
      'spec.update.revisions_kept must be a whole number from 1 to 100, and is 0',
      'spec.update.canary must be a whole number from 0 to 1000, and is 1001',
    ],
  ],
];

test.each(refused)('refuses %s', (_, changes, expected) => {
  const rules = rulesOf(aProtoSpec(changes));
  expect(rules).toHaveLength(expected.length);
  expect(rules).toEqual(expect.arrayContaining([...expected]));
});

test('refuses a key that objects lose on the way through JSON', () => {
  const lost = JSON.parse('{"__proto__": ""}') as Record<string, string>;
  expect(rulesOf({ ...aProtoSpec(), environment: lost, labels: lost })).toEqual([
    'spec.environment["__proto__"] must have another name',
    'spec.labels["__proto__"] must have another name',
  ]);
});

test('refuses a missing spec, once', () => {
  expect(rulesOf(undefined)).toEqual(['spec is required']);
});

describe('any spec', () => {
  test('that is valid is accepted, and survives the way out, over the wire, and back', () => {
    fc.assert(
      fc.property(validSpecs, (proto) => {
        expect(rulesOf(proto)).toEqual([]);
        const spec = specFromProto(proto, 'spec', []);
        const sent = specToProto(spec);
        const into: FieldViolation[] = [];
        const received = ProtoSpec.decode(ProtoSpec.encode(sent).finish());
        expect(specFromProto(received, 'spec', into)).toEqual(spec);
        const json = JSON.parse(JSON.stringify(ProtoSpec.toJSON(sent))) as unknown;
        expect(specFromProto(ProtoSpec.fromJSON(json), 'spec', into)).toEqual(spec);
        expect(into).toEqual([]);
      }),
    );
  });

  test('is either refused, or survives the way out and back', () => {
    fc.assert(
      fc.property(anySpecs, (proto) => {
        const into: FieldViolation[] = [];
        const spec = specFromProto(proto, 'spec', into);
        for (const { field, rule } of into) {
          expect(field).toMatch(/^spec(\.|$)/);
          expect(rule).not.toBe('');
        }
        if (into.length > 0) return;
        const received = ProtoSpec.decode(ProtoSpec.encode(specToProto(spec)).finish());
        expect(specFromProto(received, 'spec', into)).toEqual(spec);
        expect(into).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});

/** A check by HTTP with its defaults. */
const checked = {
  ...({ kind: 'http', method: 'GET', host: '' } as const),
  ...{ headers: {}, statuses: [] },
};

describe('mergeSpec', () => {
  const current = valid({
    replicas: 8,
    command: ['run'],
    environment: { A: '1' },
    ports: [{ containerPort: 80 }],
    readiness: { ...http('/health', 80), intervalMs: 500 },
    update: { order: UpdateOrder.STOP_FIRST, parallelism: 4 },
    tags: ['eu'],
    container: { hostname: 'db', limits: { cpuMillis: 500 } },
  });

  function merge(mask: readonly string[], changes: Changes): ServiceSpec {
    const into: FieldViolation[] = [];
    const merged = mergeSpec(current, ProtoSpec.fromPartial(changes ?? {}), mask, into);
    expect(into).toEqual([]);
    return merged;
  }

  test.each<[string, readonly string[], Changes, Partial<ServiceSpec>]>([
    ['one field', ['image'], { image: 'web:2', replicas: 3 }, { image: 'web:2' }],
    [
      'several fields',
      ['image', 'replicas'],
      { image: 'web:2', replicas: 3 },
      { image: 'web:2', replicas: 3 },
    ],
    ['a list as a whole', ['tags'], { tags: ['us', 'web'] }, { tags: ['us', 'web'] }],
    ['a map as a whole', ['environment'], { environment: { B: '2' } }, { environment: { B: '2' } }],
    [
      'a field left empty by its default',
      ['command', 'replicas'],
      {},
      { command: [], replicas: 1 },
    ],
    [
      'a share in place of a number',
      ['update.parallelism_percent', 'update.failure_budget'],
      { update: { parallelismPercent: 25, failureBudget: 2 } },
      { update: anUpdatePolicy({ order: 'stop-first', parallelism: '25%', failureBudget: 2 }) },
    ],
    ['snake_case', ['drain_timeout_ms'], { drainTimeoutMs: 5 }, { drainTimeoutMs: 5 }],
    [
      'camelCase',
      ['drainTimeoutMs', 'apiRole'],
      { drainTimeoutMs: 5, apiRole: ApiRole.VIEWER },
      { drainTimeoutMs: 5, apiRole: 'viewer' },
    ],
    [
      'a field of a message',
      ['update.parallelism'],
      { update: { parallelism: 2 } },
      {
        update: anUpdatePolicy({ order: 'stop-first', parallelism: 2 }),
      },
    ],
    [
      'a field of a message that is not there, by its default',
      ['update.order', 'update.parallelism'],
      {},
      {
        update: anUpdatePolicy({ order: 'default', parallelism: 1 }),
      },
    ],
    [
      'a message as a whole',
      ['update'],
      { update: { parallelism: 2 } },
      {
        update: anUpdatePolicy({ order: 'default', parallelism: 2 }),
      },
    ],
    [
      'a time of the check',
      ['readiness.interval_ms', 'readiness.timeoutMs'],
      { readiness: { intervalMs: 200, timeoutMs: 300 } },
      {
        readiness: {
          check: { ...checked, path: '/health', port: 80 },
          intervalMs: 200,
          timeoutMs: 300,
          failureThreshold: 3,
          successThreshold: 1,
          startPeriodMs: 0,
        },
      },
    ],
    [
      'the check by another',
      ['readiness.none'],
      { readiness: { check: { $case: 'none', value: {} } } },
      {
        readiness: { ...current.readiness, check: { kind: 'none' } },
      },
    ],
    [
      'the check by the default',
      ['readiness.http'],
      {},
      {
        readiness: { ...current.readiness, check: { kind: 'tcp', port: 0 } },
      },
    ],
    ['no check by naming one that neither has', ['readiness.tcp'], {}, {}],
    [
      'a field of the check',
      ['readiness.http.path'],
      { readiness: http('/ready', 443) },
      {
        readiness: { ...current.readiness, check: { ...checked, path: '/ready', port: 80 } },
      },
    ],
    [
      'the strategy, and the count with it',
      ['strategy'],
      { strategy: PlacementStrategy.EVERY_NODE },
      {
        strategy: 'every-node',
        replicas: 1,
      },
    ],
    [
      'one option, beside the others',
      ['container.user', 'container.limits.memory_bytes'],
      { container: { user: 'nobody', workingDir: '/ignored', limits: { memoryBytes: 2 ** 30 } } },
      {
        container: someOptions({
          ...{ user: 'nobody', hostname: 'db' },
          limits: someLimits({ cpuMillis: 500, memoryBytes: 2 ** 30 }),
        }),
      },
    ],
    [
      'an option by its default',
      ['container.hostname', 'container.limits'],
      {},
      { container: someOptions() },
    ],
  ])('replaces %s', (_, mask, changes, expected) => {
    expect(merge(mask, changes)).toEqual({ ...current, ...expected });
  });

  test('replaces everything without a mask', () => {
    expect(merge([], { image: 'api' })).toEqual(valid({ image: 'api' }));
  });

  test('names paths that name nothing, and what is wrong with the result', () => {
    const into: FieldViolation[] = [];
    const mask = ['imag', 'spec.image', 'environment.A', 'replicas', '', 'ports', '__proto__'];
    mergeSpec(current, ProtoSpec.fromPartial({ replicas: 2000 }), mask, into);
    expect(into.map(({ field }) => field)).toEqual([
      'update_mask.paths[0]',
      'update_mask.paths[1]',
      'update_mask.paths[2]',
      'update_mask.paths[4]',
      'update_mask.paths[6]',
      'spec.replicas',
      'spec.readiness.http.port',
    ]);
    expect(into[0]?.rule).toBe(
      'must name a field of the spec, like "image" or "update.parallelism", and is "imag"',
    );
  });

  test('refuses a count together with the strategy that has none', () => {
    const into: FieldViolation[] = [];
    const change = ProtoSpec.fromPartial({ strategy: PlacementStrategy.EVERY_NODE, replicas: 3 });
    mergeSpec(current, change, ['strategy', 'replicas'], into);
    expect(into.map(({ field }) => field)).toEqual(['spec.replicas']);
  });

  test('requires the new values', () => {
    for (const mask of [[], ['image']]) {
      const into: FieldViolation[] = [];
      mergeSpec(current, undefined, mask, into);
      expect(into).toEqual([{ field: 'spec', rule: 'is required' }]);
    }
  });

  test('an update of every field by name is an update without a mask', () => {
    const names = Object.keys(aProtoSpec());
    fc.assert(
      fc.property(validSpecs, (proto) => {
        const into: FieldViolation[] = [];
        expect(mergeSpec(current, proto, names, into)).toEqual(mergeSpec(current, proto, [], into));
        expect(into).toEqual([]);
      }),
    );
  });
});

describe('needsNewContainers', () => {
  const base: Changes = {
    environment: { A: '1', B: '2' },
    labels: { x: '1' },
    ports: [{ containerPort: 80 }, { containerPort: 81 }],
    readiness: http('/', 80),
  };
  const before = valid(base);

  test.each<[string, Changes]>([
    ['image', { image: 'web:2' }],
    ['command', { command: ['a'] }],
    ['entrypoint', { entrypoint: ['a'] }],
    ['environment', { environment: { A: '1', B: '3' } }],
    ['environment, one more', { environment: { A: '1', B: '2', C: '' } }],
    ['labels', { labels: {} }],
    ['ports', { ports: [{ containerPort: 80 }] }],
    ['published', { ports: [{ containerPort: 80, published: true }, { containerPort: 81 }] }],
    [
      'host port',
      { ports: [{ containerPort: 80, published: true, hostPort: 80 }, { containerPort: 81 }] },
    ],
    ['restart', { restart: RestartPolicy.NEVER }],
    ['readiness check', { readiness: http('/health', 80) }],
    ['readiness port', { readiness: http('/', 81) }],
    ['readiness kind', { readiness: { check: { $case: 'none', value: {} } } }],
    ['readiness times', { readiness: { ...http('/', 80), intervalMs: 500 } }],
    ['liveness', { liveness: http('/', 80) }],
    ['restart limit', { restart: RestartPolicy.ON_FAILURE, restartLimit: 1 }],
    ['stop grace', { stopGraceMs: 1 }],
    ['API role', { apiRole: ApiRole.VIEWER }],
    ['user', { container: { user: 'nobody' } }],
    ['volumes', { volumes: [{ containerPath: '/data' }] }],
    ['volumes of others', { volumesFrom: ['db'] }],
    ['log option', { container: { log: { driver: 'local', options: { 'max-size': '1m' } } } }],
  ])('does for a change of %s', (_, changes) => {
    expect(needsNewContainers(before, valid({ ...base, ...changes }))).toBe(true);
  });

  test.each<[string, Changes]>([
    ['nothing', {}],
    ['replicas', { replicas: 5 }],
    ['links', { links: [{ service: 'api' }] }],
    ['tags', { tags: ['eu'], avoidTags: ['edge'] }],
    ['strategy', { strategy: PlacementStrategy.EVERY_NODE }],
    [
      'update',
      {
        update: {
          order: UpdateOrder.STOP_FIRST,
          parallelism: 9,
          deadlineMs: 5_000,
          settleMs: 1_000,
          failureBudgetPercent: 10,
          onFailure: FailureAction.PAUSE,
          revisionsKept: 3,
        },
      },
    ],
    ['drain timeout', { drainTimeoutMs: 1 }],
    ['the order of starting', { sequential: true }],
    ['reservation', { reservation: { cpuMillis: 500 } }],
    ['what nodes may have', { maxPerNode: 1, platforms: ['linux/amd64'], spreadOver: ['zone'] }],
    ['the order of variables', { environment: { B: '2', A: '1' } }],
    ['the order of ports', { ports: [{ containerPort: 81 }, { containerPort: 80 }] }],
    [
      'defaults that are spelt out',
      { restart: RestartPolicy.ALWAYS, stopGraceMs: 10_000, apiRole: ApiRole.NONE },
    ],
    ['the checked port, that was the first', { readiness: http('/') }],
  ])('does not for a change of %s', (_, changes) => {
    expect(needsNewContainers(before, valid({ ...base, ...changes }))).toBe(false);
  });

  test('does when the order of the ports decides which one is checked', () => {
    const first = valid({ ...base, readiness: http('/') });
    const swapped = valid({
      ...base,
      ports: [{ containerPort: 81 }, { containerPort: 80 }],
      readiness: http('/'),
    });
    expect(needsNewContainers(first, swapped)).toBe(true);
  });

  test('never does for the same spec', () => {
    fc.assert(
      fc.property(validSpecs, (proto) => {
        const spec = specFromProto(proto, 'spec', []);
        const again = specFromProto(specToProto(spec), 'spec', []);
        expect(needsNewContainers(spec, again)).toBe(false);
      }),
    );
  });
});
