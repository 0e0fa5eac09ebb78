import fc from 'fast-check';
import {
  ServiceSpec as ProtoSpec,
  type Liveness,
  type Readiness,
} from '../../../../shared/gen/fairlead/v1/service.ts';
import { anyOptions, validOptions } from './option-specs.ts';
import { anyVolumes, validVolumes } from './volume-specs.ts';
import {
  anyBalancing,
  anyForwarding,
  anyRoute,
  validBalancing,
  validRoutes,
} from '../../../support/routes.ts';

/** A message as a caller sends it, with an image unless told otherwise. */
export function aProtoSpec(changes: Parameters<typeof ProtoSpec.fromPartial>[0] = {}): ProtoSpec {
  return ProtoSpec.fromPartial({ image: 'web:1', ...changes });
}

const names = fc.stringMatching(/^[a-z0-9]{1,20}$/);

const texts = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((text) => !text.includes('\0'));

const maps = fc.dictionary(
  fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,8}$/).filter((key) => !/^FAIRLEAD_/.test(key)),
  texts,
  { maxKeys: 4 },
);

const ports = fc
  .uniqueArray(
    fc.record({
      // Below the fixed ones: a load balancer's may not meet.
      containerPort: fc.integer({ min: 1, max: 9_999 }),
      protocol: fc.constantFrom(0 as const, 10 as const, 20 as const),
      published: fc.boolean(),
      hostPort: fc.integer({ min: 1, max: 65_535 }),
    }),
    { maxLength: 4, selector: ({ containerPort }) => containerPort },
  )
  .map((all) =>
    // Half of the published ones fixed, all different.
    all.map((port, index) => ({
      ...port,
      hostPort: port.published && port.hostPort % 2 === 0 ? 10_000 + index : 0,
    })),
  );

const optional = (min: number, max: number) =>
  fc.option(fc.integer({ min, max }), { nil: undefined });

const checks = fc.constantFrom<Readiness['check']>(
  undefined,
  { $case: 'tcp', value: { port: 0 } },
  { $case: 'none', value: {} },
  {
    $case: 'http',
    value: {
      ...{ path: '/health?deep=1', port: 0, method: 'HEAD', host: 'web:80' },
      ...{ headers: { 'x-a': 'b' }, statuses: [200, 418] },
    },
  },
  { $case: 'command', value: { command: ['test', '-e', '/up'] } },
  { $case: 'grpc', value: { port: 0, service: 'web' } },
);

const livenessChecks = checks.filter(
  (check): check is NonNullable<Liveness['check']> => check !== undefined && check.$case !== 'none',
);

const validLiveness = fc.record({
  check: livenessChecks,
  intervalMs: optional(1_000, 600_000),
  timeoutMs: optional(50, 60_000),
  failureThreshold: optional(1, 100),
  successThreshold: optional(1, 100),
  startPeriodMs: optional(0, 3_600_000),
});

const validTls = fc.record({
  ports: fc.constant<number[]>([]),
  policy: fc.constantFrom(0 as const, 10 as const, 20 as const),
  clientCertificates: fc.constantFrom(0 as const, 10 as const),
  clientCaPem: fc.constant(''),
});

/** Specs that break no rule, most fields at times empty. */
export const validSpecs: fc.Arbitrary<ProtoSpec> = fc
  .record({
    image: fc.constantFrom('web', 'registry.example.com:5000/team/web:v1.2'),
    replicas: optional(0, 1000),
    command: fc.array(texts, { maxLength: 3 }),
    entrypoint: fc.array(texts, { maxLength: 3 }),
    environment: maps,
    labels: maps,
    ports,
    links: fc.uniqueArray(fc.record({ service: names, alias: fc.oneof(names, fc.constant('')) }), {
      maxLength: 3,
      selector: ({ service, alias }) => (alias === '' ? service : alias),
    }),
    tags: fc.uniqueArray(names, { maxLength: 3 }),
    avoidTags: fc.constantFrom<string[]>([], ['zone=a'], ['zone=a', 'arch=arm64']),
    strategy: fc.constantFrom(0 as const, 10 as const, 20 as const, 30 as const),
    restart: fc.constantFrom(0 as const, 10 as const, 20 as const, 30 as const),
    restartLimit: fc.constantFrom(0, 3),
    sequential: fc.boolean(),
    liveness: fc.option(validLiveness, { nil: undefined }),
    readiness: fc.option(
      fc.record({
        check: checks,
        intervalMs: optional(100, 600_000),
        timeoutMs: optional(50, 60_000),
        failureThreshold: optional(1, 100),
        successThreshold: optional(1, 100),
        startPeriodMs: optional(0, 3_600_000),
      }),
      { nil: undefined },
    ),
    update: fc.option(
      fc.record({
        order: fc.constantFrom(0 as const, 10 as const, 20 as const),
        parallelism: optional(1, 100),
        deadlineMs: optional(1_000, 86_400_000),
        settleMs: optional(0, 3_600_000),
        failureBudgetPercent: optional(0, 100),
        onFailure: fc.constantFrom(0 as const, 10 as const, 20 as const, 30 as const),
        revisionsKept: optional(1, 100),
        canary: fc.nat({ max: 1_000 }),
        autoPromote: fc.boolean(),
      }),
      { nil: undefined },
    ),
    drainTimeoutMs: optional(0, 3_600_000),
    stopGraceMs: optional(0, 3_600_000),
    apiRole: fc.constantFrom(0 as const, 10 as const, 20 as const, 30 as const, 40 as const),
    container: fc.option(validOptions, { nil: undefined }),
    ...validVolumes,
    tls: fc.option(validTls, { nil: undefined }),
    // Hashes of passwords do not come out again.
    routes: validRoutes.map((routes) =>
      routes.map((route) => ({ ...route, basicAuth: undefined })),
    ),
    balancing: fc.option(validBalancing, { nil: undefined }),
    forwarding: fc.constant(undefined),
    autodestroy: fc.constantFrom(0 as const, 10 as const, 20 as const, 30 as const),
  })
  .map((spec) => ({
    ...spec,
    ...(spec.strategy === 30 && { replicas: undefined, spreadOver: [] }),
    readiness: spec.ports.some(({ protocol }) => protocol !== 20) ? spec.readiness : undefined,
    liveness: spec.ports.some(({ protocol }) => protocol !== 20) ? spec.liveness : undefined,
    restartLimit: spec.restart === 20 ? spec.restartLimit : 0,
    balancing: spec.balancing && { ...spec.balancing, http2Ports: tcpPortsOf(spec) },
    autodestroy: spec.restart === 10 || spec.restart === 20 ? spec.autodestroy : 0,
    container: spec.container && { ...spec.container, macAddress: macAddressOf(spec) },
    // A load balancer has none, and others need a port to send requests to.
    tls: spec.apiRole === 20 ? spec.tls : undefined,
    routes:
      spec.apiRole !== 20 && spec.ports.some(({ protocol }) => protocol !== 20) ? spec.routes : [],
  }));

/** What containers speak is said of ports that they have. */
function tcpPortsOf({ balancing, ports }: Pick<ProtoSpec, 'balancing' | 'ports'>): number[] {
  const own = ports.filter(({ protocol }) => protocol !== 20).map((port) => port.containerPort);
  return balancing?.http2Ports.length === 0 ? [] : own.slice(0, 1);
}

/** Two containers cannot have the same one, nor one in the node's network. */
function macAddressOf({ container, update }: Pick<ProtoSpec, 'container' | 'update'>): string {
  const isShared = container?.network === 20 || update?.order === 10;
  return isShared ? '' : (container?.macAddress ?? '');
}

const anyNumber = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.constantFrom(0, -1, NaN, Infinity, 65_536, 2 ** 32),
);
const anyText = fc.string({ unit: 'binary', maxLength: 20 });
const anyEnum = fc.oneof(anyNumber, fc.constantFrom(0, 10, 20, 30, 40)) as fc.Arbitrary<never>;

const anyHttp = fc.record({
  ...{ path: anyText, port: anyNumber, method: anyText, host: anyText },
  headers: fc.dictionary(anyText, anyText),
  statuses: fc.array(anyNumber, { maxLength: 3 }),
});
const anyLiveness = fc.record({
  check: fc.oneof(
    livenessChecks,
    anyHttp.map((value) => ({ $case: 'http' as const, value })),
    fc.array(anyText).map((command) => ({ $case: 'command' as const, value: { command } })),
  ),
  intervalMs: fc.option(anyNumber, { nil: undefined }),
  timeoutMs: fc.option(anyNumber, { nil: undefined }),
  failureThreshold: fc.option(anyNumber, { nil: undefined }),
  successThreshold: fc.option(anyNumber, { nil: undefined }),
  startPeriodMs: fc.option(anyNumber, { nil: undefined }),
});

/** Messages of the right shape with whatever in their fields. */
export const anySpecs: fc.Arbitrary<ProtoSpec> = fc.record({
  image: anyText,
  replicas: fc.option(anyNumber, { nil: undefined }),
  command: fc.array(anyText),
  entrypoint: fc.array(anyText),
  environment: fc.dictionary(anyText, anyText),
  labels: fc.dictionary(anyText, anyText),
  ports: fc.array(
    fc.record({
      containerPort: anyNumber,
      protocol: anyEnum,
      published: fc.boolean(),
      hostPort: anyNumber,
    }),
  ),
  links: fc.array(fc.record({ service: anyText, alias: anyText })),
  tags: fc.array(anyText),
  avoidTags: fc.array(anyText),
  routes: fc.array(anyRoute, { maxLength: 3 }),
  tls: fc.option(
    fc.record({
      ports: fc.array(anyNumber),
      policy: anyEnum,
      clientCertificates: anyEnum,
      clientCaPem: anyText,
    }),
    { nil: undefined },
  ),
  balancing: fc.option(anyBalancing, { nil: undefined }),
  forwarding: fc.option(anyForwarding, { nil: undefined }),
  strategy: anyEnum,
  restart: anyEnum,
  restartLimit: anyNumber,
  autodestroy: anyEnum,
  sequential: fc.boolean(),
  liveness: fc.option(anyLiveness, { nil: undefined }),
  readiness: fc.option(
    fc.record({
      check: fc.oneof(
        checks,
        anyHttp.map((value) => ({ $case: 'http' as const, value })),
      ),
      intervalMs: fc.option(anyNumber, { nil: undefined }),
      timeoutMs: fc.option(anyNumber, { nil: undefined }),
      failureThreshold: fc.option(anyNumber, { nil: undefined }),
      successThreshold: fc.option(anyNumber, { nil: undefined }),
      startPeriodMs: fc.option(anyNumber, { nil: undefined }),
    }),
    { nil: undefined },
  ),
  update: fc.option(
    fc.record({
      order: anyEnum,
      parallelism: fc.option(anyNumber, { nil: undefined }),
      deadlineMs: fc.option(anyNumber, { nil: undefined }),
      parallelismPercent: fc.option(anyNumber, { nil: undefined }),
      settleMs: fc.option(anyNumber, { nil: undefined }),
      failureBudget: fc.option(anyNumber, { nil: undefined }),
      failureBudgetPercent: fc.option(anyNumber, { nil: undefined }),
      onFailure: anyEnum,
      revisionsKept: fc.option(anyNumber, { nil: undefined }),
      canary: anyNumber,
      autoPromote: fc.boolean(),
    }),
    { nil: undefined },
  ),
  drainTimeoutMs: fc.option(anyNumber, { nil: undefined }),
  stopGraceMs: fc.option(anyNumber, { nil: undefined }),
  apiRole: anyEnum,
  container: fc.option(anyOptions, { nil: undefined }),
  ...anyVolumes,
});
