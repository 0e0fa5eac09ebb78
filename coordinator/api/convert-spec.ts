import type { FieldViolation } from '../../shared/errors.ts';
import {
  ApiRole,
  Autodestroy,
  PlacementStrategy,
  RestartPolicy,
  ServiceSpec as ProtoServiceSpec,
  UpdateOrder,
} from '../../shared/gen/fairlead/v1/service.ts';
import type { Liveness, Readiness } from '../../shared/health-check.ts';
import type { ServiceSpec } from '../model.ts';
import { portOnHost } from '../routing/routes.ts';
import { optionsFromProto, optionsToProto } from './convert-options.ts';
import {
  balancingFromProto,
  balancingToProto,
  forwardingFromProto,
  forwardingToProto,
} from './convert-balancing.ts';
import { routesFromProto, shownRoute, withKeptHashes } from './convert-routes.ts';
import {
  platformsFromProto,
  reservationFromProto,
  spreadFromProto,
  volumesFromFromProto,
  volumesFromProto,
  volumeToProto,
} from './convert-volumes.ts';
import {
  livenessFromProto,
  livenessToProto,
  readinessFromProto,
  readinessToProto,
} from './convert-health.ts';
import { tlsFromProto, tlsToProto } from './convert-tls.ts';
import { numberOf, wordOf, type EnumWords } from './enum-words.ts';
import {
  argumentsFromProto,
  environmentFromProto,
  labelsFromProto,
  linksFromProto,
  portsFromProto,
  portToProto,
  updateFromProto,
  updateToProto,
} from './spec-parts.ts';
import { applyMask } from './update-mask.ts';
import {
  quote,
  validateImage,
  validateRange,
  validateReplicas,
  validateTags,
  validateUnique,
} from './validate.ts';

const maxWaitMs = 3_600_000;

const strategies: EnumWords<PlacementStrategy, ServiceSpec['strategy']> = [
  [PlacementStrategy.EMPTIEST_NODE, 'emptiest-node'],
  [PlacementStrategy.HIGH_AVAILABILITY, 'high-availability'],
  [PlacementStrategy.EVERY_NODE, 'every-node'],
];
const restartPolicies: EnumWords<RestartPolicy, ServiceSpec['restart']> = [
  [RestartPolicy.ALWAYS, 'always'],
  [RestartPolicy.ON_FAILURE, 'on-failure'],
  [RestartPolicy.NEVER, 'never'],
];
const autodestroys: EnumWords<Autodestroy, ServiceSpec['autodestroy']> = [
  [Autodestroy.NEVER, 'never'],
  [Autodestroy.ON_SUCCESS, 'on-success'],
  [Autodestroy.ALWAYS, 'always'],
];
const apiRoles: EnumWords<ApiRole, ServiceSpec['apiRole']> = [
  [ApiRole.NONE, 'none'],
  [ApiRole.PROXY, 'proxy'],
  [ApiRole.VIEWER, 'viewer'],
  [ApiRole.OPERATOR, 'operator'],
];

/** Strategies that services are asked for; one that none can have is refused. */
export function strategiesFromProto(
  numbers: readonly PlacementStrategy[],
  field: string,
  into: FieldViolation[],
): ReadonlySet<ServiceSpec['strategy']> {
  for (const [index, number] of numbers.entries()) {
    if (strategies.some(([known]) => known === number)) continue;
    into.push({
      field: `${field}[${index}]`,
      rule: 'must be a placement strategy that this coordinator knows',
    });
  }
  return new Set(numbers.map((number) => wordOf(strategies, number)));
}

/**
 * The spec that the user asked for, with defaults filled in. All that is wrong with it is collected;
 * what is returned may only be used if nothing was.
 */
export function specFromProto(
  spec: ProtoServiceSpec | undefined,
  field: string,
  into: FieldViolation[],
): ServiceSpec {
  if (spec === undefined) {
    into.push({ field, rule: 'is required' });
    return convert(ProtoServiceSpec.create(), field, []);
  }
  return convert(spec, field, into);
}

function convert(spec: ProtoServiceSpec, field: string, into: FieldViolation[]): ServiceSpec {
  const { image, drainTimeoutMs = 30_000, stopGraceMs = 10_000 } = spec;
  validateImage(image, `${field}.image`, into);
  const wait = (name: string) => ({ min: 0, max: maxWaitMs, field: `${field}.${name}` });
  validateRange(drainTimeoutMs, wait('drain_timeout_ms'), into);
  validateRange(stopGraceMs, wait('stop_grace_ms'), into);
  const container = optionsFromProto(spec.container, `${field}.container`, into);
  requireRoomForAddress(spec, field, into);
  validateRange(spec.maxPerNode, { min: 0, max: 1000, field: `${field}.max_per_node` }, into);
  const { network } = container;
  const ports = portsFromProto(spec.ports, { field: `${field}.ports`, network }, into);
  const apiRole = wordOf(apiRoles, spec.apiRole);
  if (apiRole === 'proxy') {
    const what = 'port of a proxy on a plain host';
    const keys = ports.map((port) => (port.protocol === 'tcp' ? `${portOnHost(port)}` : undefined));
    validateUnique(keys, { field: `${field}.ports`, what }, into);
  }
  return {
    image,
    replicas: replicasFromProto(spec, `${field}.replicas`, into),
    command: argumentsFromProto(spec.command, `${field}.command`, into),
    entrypoint: argumentsFromProto(spec.entrypoint, `${field}.entrypoint`, into),
    environment: environmentFromProto(spec.environment, `${field}.environment`, into),
    labels: labelsFromProto(spec.labels, `${field}.labels`, into),
    ports,
    links: linksFromProto(spec.links, `${field}.links`, into),
    ...tagsFromProto(spec, field, into),
    strategy: wordOf(strategies, spec.strategy),
    restart: wordOf(restartPolicies, spec.restart),
    readiness: readinessFromProto(spec.readiness, { field: `${field}.readiness`, ports }, into),
    update: updateFromProto(spec.update, `${field}.update`, into),
    drainTimeoutMs,
    stopGraceMs,
    apiRole,
    container,
    volumes: volumesFromProto(spec.volumes, `${field}.volumes`, into),
    volumesFrom: volumesFromFromProto(spec.volumesFrom, `${field}.volumes_from`, into),
    reservation: reservationFromProto(spec.reservation, `${field}.reservation`, into),
    maxPerNode: spec.maxPerNode,
    spreadOver: spreadFromProto(spec, `${field}.spread_over`, into),
    platforms: platformsFromProto(spec.platforms, `${field}.platforms`, into),
    restartLimit: restartLimitFromProto(spec, `${field}.restart_limit`, into),
    sequential: spec.sequential,
    tls: tlsFromProto(spec.tls, { field: `${field}.tls`, ports, apiRole }, into),
    liveness: livenessFromProto(spec.liveness, { field: `${field}.liveness`, ports }, into),
    routes: routesFromProto(
      spec.routes,
      { field: `${field}.routes`, ports, isLoadBalancer: apiRole === 'proxy' },
      into,
    ),
    balancing: balancingFromProto(spec.balancing, { field: `${field}.balancing`, ports }, into),
    forwarding: forwardingFromProto(
      spec.forwarding,
      { field: `${field}.forwarding`, ports, isLoadBalancer: apiRole === 'proxy' },
      into,
    ),
    autodestroy: autodestroyFromProto(spec, field, into),
  };
}

/** Tags that a node must have, and those that it must not have: one in both would leave no node. */
function tagsFromProto(
  { tags, avoidTags }: ProtoServiceSpec,
  field: string,
  into: FieldViolation[],
): Pick<ServiceSpec, 'tags' | 'avoidTags'> {
  validateTags(tags, `${field}.tags`, into);
  validateTags(avoidTags, `${field}.avoid_tags`, into);
  for (const [index, tag] of avoidTags.entries()) {
    if (!tags.includes(tag)) continue;
    const rule = `must not be in ${field}.tags too, as no node can have it and not have it, and is ${quote(tag)}`;
    into.push({ field: `${field}.avoid_tags[${index}]`, rule });
  }
  return { tags: [...tags], avoidTags: [...avoidTags] };
}

function requireRoomForAddress(
  { container, update }: ProtoServiceSpec,
  field: string,
  into: FieldViolation[],
): void {
  if ((container?.macAddress ?? '') === '' || update?.order !== UpdateOrder.START_FIRST) return;
  const rule = 'must not be START_FIRST with a mac_address, which two containers cannot have';
  into.push({ field: `${field}.update.order`, rule });
}

function autodestroyFromProto(
  { restart, autodestroy }: ProtoServiceSpec,
  field: string,
  into: FieldViolation[],
): ServiceSpec['autodestroy'] {
  const wanted = wordOf(autodestroys, autodestroy);
  if (wanted !== 'never' && wordOf(restartPolicies, restart) === 'always') {
    const rule =
      'must be NEVER with the restart policy ALWAYS, under which no container stays ended';
    into.push({ field: `${field}.autodestroy`, rule });
  }
  return wanted;
}

function restartLimitFromProto(
  { restart, restartLimit }: ProtoServiceSpec,
  field: string,
  into: FieldViolation[],
): number {
  validateRange(restartLimit, { min: 0, max: 1000, field }, into);
  if (restartLimit !== 0 && restart !== RestartPolicy.ON_FAILURE) {
    into.push({ field, rule: 'must only be set with the restart policy ON_FAILURE' });
  }
  return restartLimit;
}

function replicasFromProto(
  { replicas, strategy }: ProtoServiceSpec,
  field: string,
  into: FieldViolation[],
): number {
  if (replicas === undefined) return 1;
  if (strategy === PlacementStrategy.EVERY_NODE) {
    into.push({ field, rule: 'must not be set with the strategy EVERY_NODE' });
  } else {
    validateReplicas(replicas, field, into);
  }
  return replicas;
}

/** The message of a spec, with nothing left to default. */
export function specToProto(spec: ServiceSpec): ProtoServiceSpec {
  return {
    image: spec.image,
    replicas: spec.strategy === 'every-node' ? undefined : spec.replicas,
    command: [...spec.command],
    entrypoint: [...spec.entrypoint],
    environment: { ...spec.environment },
    labels: { ...spec.labels },
    ports: spec.ports.map(portToProto),
    links: spec.links.map((link) => ({ ...link })),
    tags: [...spec.tags],
    avoidTags: [...spec.avoidTags],
    strategy: numberOf(strategies, spec.strategy),
    restart: numberOf(restartPolicies, spec.restart),
    readiness: readinessToProto(spec.readiness),
    update: updateToProto(spec.update),
    drainTimeoutMs: spec.drainTimeoutMs,
    stopGraceMs: spec.stopGraceMs,
    apiRole: numberOf(apiRoles, spec.apiRole),
    container: optionsToProto(spec.container),
    volumes: spec.volumes.map(volumeToProto),
    volumesFrom: [...spec.volumesFrom],
    reservation: { ...spec.reservation },
    maxPerNode: spec.maxPerNode,
    spreadOver: [...spec.spreadOver],
    platforms: [...spec.platforms],
    restartLimit: spec.restartLimit,
    liveness: livenessToProto(spec.liveness),
    tls: tlsToProto(spec),
    sequential: spec.sequential,
    routes: spec.routes.map(shownRoute),
    balancing: balancingToProto(spec.balancing),
    forwarding: forwardingToProto(spec.forwarding),
    autodestroy: numberOf(autodestroys, spec.autodestroy),
  };
}

/**
 * The current spec with the masked fields replaced; all of them if the mask is empty. A masked field
 * that the change leaves empty goes back to its default.
 */
export function mergeSpec(
  current: ServiceSpec,
  change: ProtoServiceSpec | undefined,
  mask: readonly string[],
  into: FieldViolation[],
): ServiceSpec {
  if (change === undefined) return specFromProto(change, 'spec', into);
  if (mask.length === 0) {
    const routes = withKeptHashes(change.routes, current.routes);
    return specFromProto({ ...change, routes }, 'spec', into);
  }
  const merged = applyMask(specToProto(current), { change, mask }, into);
  // Whoever changes only the strategy doesn't have to know that the count must go.
  const everyNode = merged.strategy === PlacementStrategy.EVERY_NODE;
  if (everyNode && !mask.includes('replicas')) merged.replicas = undefined;
  // Nor whoever makes something else of a load balancer, that settings of its own must go.
  const isProxy = merged.apiRole === ApiRole.PROXY;
  if (!isProxy && !mask.some((path) => path.startsWith('tls'))) merged.tls = undefined;
  merged.routes = withKeptHashes(merged.routes, current.routes);
  return specFromProto(merged, 'spec', into);
}

/**
 * Whether containers of `before` cannot serve as containers of `after`. Count, links, routes, tags
 * that nodes must have or not have, strategy, spread, update policy and drain timeout are no part of a container.
 */
export function needsNewContainers(before: ServiceSpec, after: ServiceSpec): boolean {
  return definitionOf(before) !== definitionOf(after);
}

/** What a container is made of, written so that equal definitions are equal strings. */
function definitionOf(spec: ServiceSpec): string {
  const { ports } = spec;
  // The order of the ports says nothing but which one is checked when none is named.
  const firstTcp = ports.find(({ protocol }) => protocol === 'tcp')?.containerPort;
  const checked = (checks: Readiness | Liveness | null) => {
    const check = checks?.check;
    const isFirst = (check?.kind === 'http' || check?.kind === 'grpc') && check.port === 0;
    return isFirst ? { ...checks, check: { ...check, port: firstTcp } } : checks;
  };
  return JSON.stringify([
    spec.image,
    spec.command,
    spec.entrypoint,
    sorted(Object.entries(spec.environment)),
    sorted(Object.entries(spec.labels)),
    sorted(
      ports.map(({ containerPort, protocol, published, hostPort }) => [
        `${protocol} ${containerPort}`,
        published,
        hostPort,
      ]),
    ),
    spec.restart,
    checked(spec.readiness),
    spec.restartLimit,
    checked(spec.liveness),
    spec.stopGraceMs,
    spec.apiRole,
    spec.container,
    sorted(spec.volumes.map((volume) => [volume.containerPath, volume])),
    spec.volumesFrom,
  ]);
}

function sorted<Entry extends readonly [string, ...unknown[]]>(entries: readonly Entry[]): Entry[] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
}

export function restartToProto(policy: ServiceSpec['restart']): RestartPolicy {
  return numberOf(restartPolicies, policy);
}
