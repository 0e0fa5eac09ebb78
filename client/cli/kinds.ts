import { Action, type PlanStep } from '../../shared/gen/fairlead/v1/action.ts';
import { Container, ContainerPhase } from '../../shared/gen/fairlead/v1/container.ts';
import { Endpoint, EndpointKind, Event } from '../../shared/gen/fairlead/v1/event.ts';
import { Proxy, ProxyServer, TargetHealth } from '../../shared/gen/fairlead/v1/load_balancer.ts';
import { Node, Orphan } from '../../shared/gen/fairlead/v1/node.ts';
import { NodeCluster } from '../../shared/gen/fairlead/v1/node_cluster.ts';
import {
  FieldChange,
  PlacementStrategy,
  Revision,
  Service,
  type PortSpec,
  type ServiceSpec,
} from '../../shared/gen/fairlead/v1/service.ts';
import { Token } from '../../shared/gen/fairlead/v1/token.ts';
import { certificatesOf } from './certificate-cells.ts';
import { age, type Cell, type Column } from './table.ts';
import {
  actionStateWords,
  availabilityWords,
  containerPhaseWords,
  nodeClusterStateWords,
  nodeStateWords,
  planStepWords,
  protocolWords,
  proxyLoadingWords,
  roleWords,
  serviceStateWords,
  stateCell,
  targetHealthWords,
  targetModeWords,
} from './words.ts';

/** How objects of one kind are shown. */
export interface Kind<T> {
  /** In proto3's JSON form. */
  readonly toJSON: (item: T) => unknown;
  /** What `--quiet` prints. */
  readonly nameOf: (item: T) => string;
  readonly columns: readonly Column<T>[];
  /** The order of tables; without it, by name. */
  readonly compare?: (a: T, b: T) => number;
}

const naturally = new Intl.Collator('en', { numeric: true });

/** In the order in which people expect them: `web-9` before `web-10`. */
export function sorted<T>({ nameOf, compare }: Kind<T>, items: readonly T[]): T[] {
  return [...items].sort(compare ?? ((a, b) => naturally.compare(nameOf(a), nameOf(b))));
}

export const serviceKind: Kind<Service> = {
  toJSON: (service) => Service.toJSON(service),
  nameOf: ({ name }) => name,
  columns: [
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'STATE', cell: ({ state }) => stateCell(serviceStateWords(state)) },
    { title: 'READY', cell: (service) => `${service.readyContainers}/${wantedOf(service)}` },
    { title: 'IMAGE', cell: ({ spec }) => spec?.image ?? '' },
    { title: 'PORTS', cell: ({ spec }) => portsOf(spec), optional: true },
    { title: 'LINKS', cell: ({ spec }) => linksOf(spec), optional: true },
    { title: 'REVISION', cell: ({ revision }) => String(revision) },
    { title: 'AGE', cell: ({ createdAt }, nowMs) => age(createdAt, nowMs) },
    { title: 'MESSAGE', cell: ({ message }) => message, optional: true },
  ],
};

/** Containers wanted: as many as there are nodes is for the coordinator to count. */
function wantedOf({ spec, started, currentContainers }: Service): number {
  if (!started) return 0;
  if (spec?.strategy === PlacementStrategy.EVERY_NODE) return currentContainers;
  return spec?.replicas ?? 1;
}

function portsOf(spec: ServiceSpec | undefined): string {
  return (spec?.ports ?? []).map(portSpecWords).join(' ');
}

function portSpecWords({ containerPort, protocol, published, hostPort }: PortSpec): string {
  const inner = `${containerPort}/${protocolWords(protocol)}`;
  if (!published) return inner;
  return `${hostPort === 0 ? 'dynamic' : hostPort}->${inner}`;
}

function linksOf(spec: ServiceSpec | undefined): string {
  return (spec?.links ?? [])
    .map(({ service, alias }) =>
      alias === '' || alias === service ? service : `${service}:${alias}`,
    )
    .join(' ');
}

export const revisionKind: Kind<Revision> = {
  toJSON: (revision) => Revision.toJSON(revision),
  nameOf: ({ revision }) => String(revision),
  compare: (a, b) => b.revision - a.revision,
  columns: [
    { title: 'REVISION', cell: ({ revision }) => String(revision) },
    { title: 'CURRENT', cell: ({ current }) => (current ? 'yes' : '') },
    { title: 'CONTAINERS', cell: ({ containers }) => (containers === 0 ? '' : String(containers)) },
    { title: 'IMAGE', cell: ({ spec }) => spec?.image ?? '' },
    { title: 'BY', cell: ({ principal }) => principal },
    { title: 'ACTION', cell: ({ method }) => method },
    { title: 'AGE', cell: ({ createdAt }, nowMs) => age(createdAt, nowMs) },
  ],
};

export const fieldChangeKind: Kind<FieldChange> = {
  toJSON: (change) => FieldChange.toJSON(change),
  nameOf: ({ path }) => path,
  columns: [
    { title: 'FIELD', cell: ({ path }) => path },
    { title: 'BEFORE', cell: ({ before }) => before },
    { title: 'AFTER', cell: ({ after }) => after },
  ],
};

export const containerKind: Kind<Container> = {
  toJSON: (container) => Container.toJSON(container),
  nameOf: ({ name }) => name,
  columns: [
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'STATE', cell: containerState },
    { title: 'NODE', cell: ({ node }) => node },
    { title: 'PORTS', cell: bindingsOf, optional: true },
    {
      title: 'REVISION',
      cell: ({ revision, canary }) => `${revision}${canary ? ', canary' : ''}`,
    },
    {
      title: 'RESTARTS',
      cell: ({ restarts }) => (restarts === 0 ? '' : String(restarts)),
      optional: true,
    },
    { title: 'AGE', cell: ({ createdAt }, nowMs) => age(createdAt, nowMs) },
    { title: 'ID', cell: ({ id }) => id.slice(0, 8) },
    { title: 'MESSAGE', cell: ({ message }) => message, optional: true },
  ],
};

function containerState({ phase, ready, stale, exitCode }: Container): Cell {
  const isRunning = phase === ContainerPhase.RUNNING;
  const cell = stateCell(isRunning && ready ? 'ready' : containerPhaseWords(phase));
  const text = exitCode === undefined ? cell.text : `${cell.text} (${exitCode})`;
  if (stale) return { text: `${text}, stale`, tone: 'busy' };
  return isRunning && !ready ? { text: 'running, not ready', tone: 'busy' } : { ...cell, text };
}

function bindingsOf({ ports }: Container): string {
  return ports
    .map(
      ({ hostAddress, hostPort, containerPort, protocol }) =>
        `${hostAddress}:${hostPort}->${containerPort}/${protocolWords(protocol)}`,
    )
    .join(' ');
}

export const nodeKind: Kind<Node> = {
  toJSON: (node) => Node.toJSON(node),
  nameOf: ({ name }) => name,
  columns: [
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'STATE', cell: ({ state }) => stateCell(nodeStateWords(state)) },
    {
      title: 'AVAILABILITY',
      cell: availabilityCell,
    },
    { title: 'CLUSTER', cell: ({ cluster }) => cluster, optional: true },
    { title: 'TAGS', cell: ({ tags }) => tags.join(' ') },
    { title: 'CLUSTER TAGS', cell: ({ clusterTags }) => clusterTags.join(' '), optional: true },
    { title: 'CONTAINERS', cell: ({ containers }) => String(containers) },
    { title: 'ADDRESS', cell: ({ publicAddress }) => publicAddress },
    { title: 'ENGINE', cell: ({ description }) => description?.engineVersion ?? '' },
    { title: 'AGENT', cell: ({ description }) => description?.agentVersion ?? '' },
    { title: 'SEEN', cell: ({ lastSeenAt }, nowMs) => age(lastSeenAt, nowMs) },
    { title: 'MESSAGE', cell: ({ message }) => message, optional: true },
  ],
};

/** With what is still to go while it is emptied. */
function availabilityCell({ availability, drain }: Node): Cell {
  if (drain === undefined) return stateCell(availabilityWords(availability) || 'active');
  const { remaining } = drain;
  if (remaining === 0) return stateCell('drained');
  return { ...stateCell('draining'), text: `draining, ${remaining} to go` };
}

/** An orphan, and the name of its node. */
export interface FoundOrphan {
  readonly node: string;
  readonly orphan: Orphan;
}

export const orphanKind: Kind<FoundOrphan> = {
  toJSON: ({ node, orphan }) => ({ node, ...(Orphan.toJSON(orphan) as object) }),
  nameOf: ({ orphan }) => orphan.name,
  columns: [
    { title: 'NAME', cell: ({ orphan }) => orphan.name },
    { title: 'NODE', cell: ({ node }) => node },
    { title: 'STATE', cell: ({ orphan }) => stateCell(orphan.running ? 'running' : 'stopped') },
    { title: 'CONTAINER', cell: ({ orphan }) => orphan.containerId },
    { title: 'ENGINE', cell: ({ orphan }) => orphan.engineId.slice(0, 12) },
  ],
};

export const nodeClusterKind: Kind<NodeCluster> = {
  toJSON: (cluster) => NodeCluster.toJSON(cluster),
  nameOf: ({ name }) => name,
  columns: [
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'STATE', cell: ({ state }) => stateCell(nodeClusterStateWords(state)) },
    { title: 'NODES', cell: nodesOf },
    { title: 'READY', cell: ({ readyNodes }) => String(readyNodes) },
    { title: 'TAGS', cell: ({ tags }) => tags.join(' '), optional: true },
    { title: 'AGE', cell: ({ createdAt }, nowMs) => age(createdAt, nowMs) },
    { title: 'MESSAGE', cell: ({ message }) => message, optional: true },
  ],
};

function nodesOf({ currentNodes, targetNodes }: NodeCluster): string {
  return targetNodes === 0 ? String(currentNodes) : `${currentNodes}/${targetNodes}`;
}

export const endpointKind: Kind<Endpoint> = {
  toJSON: (endpoint) => Endpoint.toJSON(endpoint),
  nameOf: ({ url }) => url,
  compare: (a, b) =>
    naturally.compare(`${a.service} ${a.container}`, `${b.service} ${b.container}`) ||
    a.containerPort - b.containerPort,
  columns: [
    { title: 'SERVICE', cell: ({ service }) => service },
    {
      title: 'OF',
      cell: ({ kind, container }) => (kind === EndpointKind.SERVICE ? 'service' : container),
    },
    { title: 'URL', cell: ({ url }) => url },
    { title: 'NODE', cell: ({ node }) => node },
    { title: 'READY', cell: ({ ready }) => (ready ? stateCell('ready') : stateCell('not ready')) },
  ],
};

export const proxyKind: Kind<Proxy> = {
  toJSON: (proxy) => Proxy.toJSON(proxy),
  nameOf: ({ name }) => name,
  columns: [
    { title: 'PROXY', cell: ({ name }) => name },
    { title: 'SERVICE', cell: ({ service }) => service },
    { title: 'STATE', cell: proxyState },
    { title: 'APPLIED', cell: (proxy) => `${proxy.appliedVersion}/${proxy.publishedVersion}` },
    { title: 'UP', cell: ({ servers }) => `${countUp(servers)}/${servers.length}` },
    {
      title: 'IN FLIGHT',
      cell: ({ servers }) => String(servers.reduce((sum, { inFlight }) => sum + inFlight, 0)),
    },
    { title: 'CLIENTS', cell: ({ clientConnections }) => String(clientConnections) },
    { title: 'HAPROXY', cell: ({ haproxyVersion }) => haproxyVersion },
    { title: 'CERTIFICATES', cell: certificatesOf, optional: true },
    { title: 'RELOADS', cell: ({ history }) => String(history?.reloads ?? 0) },
    { title: 'LAST', cell: lastLoading, optional: true },
    { title: 'SEEN', cell: ({ lastSeenAt }, nowMs) => age(lastSeenAt, nowMs) },
    { title: 'MESSAGE', cell: messageOfProxy, optional: true },
  ],
};

/** Containers that come and go need no reload, so each has a reason that is worth reading. */
function lastLoading({ history }: Proxy, nowMs: number): string {
  const [last] = history?.loadings ?? [];
  if (last === undefined) return '';
  return `${proxyLoadingWords(last.kind)} ${age(last.at, nowMs)} ago: ${last.reason}`;
}

/** What is wrong now, else what was wrong last. */
function messageOfProxy({ message, history }: Proxy, nowMs: number): string {
  if (message !== '' || history === undefined || history.lastError === '') return message;
  return `well again; ${age(history.lastErrorAt, nowMs)} ago: ${history.lastError}`;
}

function proxyState(proxy: Proxy): Cell {
  const { connected, appliedVersion, serversVersion, publishedVersion } = proxy;
  if (!connected) return { text: 'away', tone: 'bad' };
  if (appliedVersion === publishedVersion) return { text: 'up to date', tone: 'good' };
  // It has all servers, and for ports and routes HAProxy goes on with what it had.
  return serversVersion > appliedVersion
    ? { text: 'partly applied', tone: 'bad' }
    : { text: 'applying', tone: 'busy' };
}

function countUp(servers: readonly ProxyServer[]): number {
  return servers.filter(({ health }) => health === TargetHealth.UP).length;
}

/** A server with the proxy that has it. */
export interface ServerOfProxy {
  readonly proxy: string;
  readonly server: ProxyServer;
}

export const serverKind: Kind<ServerOfProxy> = {
  toJSON: ({ proxy, server }) => ({ proxy, ...(ProxyServer.toJSON(server) as object) }),
  nameOf: ({ server }) => server.name,
  compare: (a, b) =>
    naturally.compare(
      `${a.proxy} ${a.server.backend} ${a.server.name}`,
      `${b.proxy} ${b.server.backend} ${b.server.name}`,
    ),
  columns: [
    { title: 'PROXY', cell: ({ proxy }) => proxy },
    { title: 'BACKEND', cell: ({ server }) => server.backend },
    { title: 'CONTAINER', cell: ({ server }) => server.container },
    { title: 'ADDRESS', cell: ({ server }) => server.address },
    { title: 'MODE', cell: ({ server }) => stateCell(targetModeWords(server.mode)) },
    { title: 'HEALTH', cell: ({ server }) => stateCell(targetHealthWords(server.health)) },
    { title: 'IN FLIGHT', cell: ({ server }) => String(server.inFlight) },
    { title: 'REQUESTS', cell: ({ server }) => String(server.requests) },
    {
      title: 'MESSAGE',
      cell: ({ server }) => (server.error === '' ? server.healthMessage : server.error),
      optional: true,
    },
  ],
};

export const actionKind: Kind<Action> = {
  toJSON: (action) => Action.toJSON(action),
  nameOf: ({ id }) => id,
  compare: (a, b) => (b.startedAt?.getTime() ?? 0) - (a.startedAt?.getTime() ?? 0),
  columns: [
    { title: 'ID', cell: ({ id }) => id },
    { title: 'ACTION', cell: ({ method }) => method },
    { title: 'TARGET', cell: ({ targetKind, targetName }) => `${targetKind} ${targetName}` },
    { title: 'STATE', cell: ({ state }) => stateCell(actionStateWords(state)) },
    { title: 'BY', cell: ({ principal }) => principal },
    { title: 'AGE', cell: ({ startedAt }, nowMs) => age(startedAt, nowMs) },
    { title: 'TOOK', cell: tookOf, optional: true },
    { title: 'MESSAGE', cell: ({ message }) => message, optional: true },
  ],
};

function tookOf({ startedAt, endedAt }: Action): string {
  if (startedAt === undefined || endedAt === undefined) return '';
  return `${((endedAt.getTime() - startedAt.getTime()) / 1_000).toFixed(1)}s`;
}

export const tokenKind: Kind<Token> = {
  toJSON: (token) => Token.toJSON(token),
  nameOf: ({ name }) => name,
  columns: [
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'ROLE', cell: ({ role }) => roleWords(role) },
    { title: 'SERVICES', cell: servicesOf },
    { title: 'CLUSTERS', cell: clustersOf, optional: true },
    { title: 'TAGS', cell: ({ tags }) => tags.join(' '), optional: true },
    { title: 'JOINED', cell: joinsOf, optional: true },
    { title: 'AGE', cell: ({ createdAt }, nowMs) => age(createdAt, nowMs) },
    { title: 'EXPIRES', cell: ({ expiresAt }) => expiresAt?.toISOString() ?? 'never' },
    { title: 'USED', cell: ({ lastUsedAt }, nowMs) => age(lastUsedAt, nowMs), optional: true },
    { title: 'ID', cell: ({ id }) => id },
  ],
};

/** Who is limited to node clusters reaches no service that is not named. */
function servicesOf({ services, serviceIds, clusterIds }: Token): string {
  return namesOr(services, serviceIds) || (clusterIds.length === 0 ? 'all' : 'none');
}

/** Those that a token is limited to, or that a host joins with it. */
function clustersOf({ clusters, clusterIds, cluster, clusterId }: Token): string {
  return namesOr(clusters, clusterIds) || cluster || clusterId;
}

/** A coordinator of before names were told has ids alone. */
function namesOr(names: readonly string[], ids: readonly string[]): string {
  return (names.length === 0 ? ids : names).join(' ');
}

/** How many nodes joined with it, and of how many. */
function joinsOf({ uses, maxUses }: Token): string {
  if (maxUses > 0) return `${uses}/${maxUses}`;
  return uses === 0 ? '' : String(uses);
}

export const eventKind: Kind<Event> = {
  toJSON: (event) => Event.toJSON(event),
  nameOf: ({ cursor }) => cursor,
  columns: [
    { title: 'TIME', cell: ({ time }) => time?.toISOString() ?? '' },
    { title: 'CURSOR', cell: ({ cursor }) => cursor },
    { title: 'TYPE', cell: ({ type }) => type },
    { title: 'OBJECT', cell: ({ objectName }) => objectName },
    { title: 'MESSAGE', cell: ({ message }) => message },
  ],
};

export const planStepKind: Pick<Kind<PlanStep>, 'columns'> = {
  columns: [
    { title: 'STEP', cell: ({ kind }) => stateCell(planStepWords(kind)) },
    { title: 'CONTAINER', cell: ({ container }) => container },
    { title: 'NODE', cell: ({ node }) => node },
    {
      title: 'WHY',
      cell: ({ reason, placement }) =>
        [reason, ...placement.map(({ node, reason: why }) => `${node}: ${why}`)].join('; '),
    },
  ],
};
