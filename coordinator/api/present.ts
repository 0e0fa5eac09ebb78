import type {
  Container as ProtoContainer,
  ContainerFailure as ProtoContainerFailure,
} from '../../shared/gen/fairlead/v1/container.ts';
import {
  CertificateSource,
  type Certificate as ProtoCertificate,
} from '../../shared/gen/fairlead/v1/tls.ts';
import {
  EndpointKind,
  type Endpoint as ProtoEndpoint,
} from '../../shared/gen/fairlead/v1/event.ts';
import {
  TargetHealth,
  TargetMode,
  type Proxy as ProtoProxy,
  type ProxyCertificate,
} from '../../shared/gen/fairlead/v1/load_balancer.ts';
import type { Node as ProtoNode, NodeDrain } from '../../shared/gen/fairlead/v1/node.ts';
import type { NodeCluster as ProtoNodeCluster } from '../../shared/gen/fairlead/v1/node_cluster.ts';
import type { Service as ProtoService } from '../../shared/gen/fairlead/v1/service.ts';
import type {
  Container,
  ContainerFailure,
  Node,
  NodeCluster,
  Observed,
  Service,
} from '../model.ts';
import type { Certificate } from '../tls-model.ts';
import type { CertificateId } from '../../shared/ids.ts';
import { refOf } from './certificate-news.ts';
import { expiryNotice, expiryWords } from '../certificates/expiry.ts';
import type { Dispatcher } from '../dispatcher/dispatcher.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import { isCanary } from '../orchestrator/canary.ts';
import type { Orchestrator } from '../orchestrator/orchestrator.ts';
import type { ContainerView } from '../orchestrator/views.ts';
import type { Placement } from '../orchestrator/placement.ts';
import { viewOf } from '../orchestrator/view-of.ts';
import { endpointsOf } from '../routing/endpoints.ts';
import type { ProxyRecord } from '../routing/proxy-record.ts';
import { routeWarning } from '../routing/route-warnings.ts';
import type { Routing } from '../routing/routing.ts';
import { clusterState } from '../scheduler/cluster-state.ts';
import { tagsOf } from '../scheduler/node-tags.ts';
import type { Store } from '../store/store.ts';
import { historyToProto } from './convert-proxy.ts';
import {
  availabilities,
  bindingToProto,
  dateOf,
  nodeClusterStates,
  nodeStates,
  phaseOf,
  reasonToProto,
  rolloutToProto,
  serviceStates,
} from './convert.ts';
import { specToProto } from './convert-spec.ts';
import { hidden } from './discretion.ts';

export interface PresenterDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly routing: Routing;
  readonly orchestrator: Orchestrator;
  readonly placement: Placement;
  readonly dispatcher: Dispatcher;
}

/** Puts together what users see of an object: what is wanted of it, and what is observed. */
export class Presenter {
  readonly #deps: PresenterDeps;

  constructor(deps: PresenterDeps) {
    this.#deps = deps;
  }

  service(service: Service): ProtoService {
    const { store, orchestrator, placement } = this.#deps;
    const { state, message, containers } = orchestrator.status(service);
    const linkers = [...store.services.values()].filter(({ spec }) =>
      spec.links.some((link) => link.service === service.name),
    );
    return {
      id: service.id,
      name: service.name,
      spec: specToProto(service.spec),
      revision: service.revision,
      version: service.version,
      state: serviceStates[state],
      message: message === '' ? routeWarning(service, store.services.values()) : message,
      started: service.started,
      currentContainers: containers.length,
      runningContainers: containers.filter((c) => c.phase === 'running' && !c.lost).length,
      readyContainers: containers.filter((c) => c.ready && c.wanted === 'running').length,
      linkedFrom: linkers.map(({ name }) => name),
      linkVariables: placement.linkVariablesOf(service),
      createdAt: new Date(service.createdAtMs),
      updatedAt: new Date(service.updatedAtMs),
      rollout: rolloutToProto(service),
    };
  }

  container(container: Container): ProtoContainer {
    const { store, observed, placement } = this.#deps;
    const service = store.services.get(container.serviceId);
    const seen = observed.container(container.id);
    const view = viewOf(container, this.#deps);
    const node = container.nodeId === null ? undefined : store.nodes.get(container.nodeId);
    return {
      id: container.id,
      name: container.name,
      service: service?.name ?? '',
      serviceId: container.serviceId,
      slot: container.slot,
      revision: container.revision,
      node: node?.name ?? '',
      nodeId: node?.id ?? '',
      phase: phaseOf(view),
      ready: view.ready && container.wanted === 'running',
      placement: placement.reasonsOf(container.id).map(reasonToProto),
      environment: this.#environmentOf(container),
      drain: container.wanted === 'draining' ? this.#drainOf(container) : undefined,
      canary: service !== undefined && isCanary(service, container),
      stale: node !== undefined && observed.node(node.id).state !== 'ready',
      createdAt: new Date(container.createdAtMs),
      ...observedPart(seen),
      failure: failureToProto(observed.failure(container.id)),
      message: this.#messageOf(container, view, seen),
    };
  }

  #environmentOf(container: Container): Record<string, string> {
    const hasToken = container.definition?.tokenId != null;
    const masked: Record<string, string> = hasToken ? { FAIRLEAD_AUTH: hidden } : {};
    return { ...this.#deps.placement.environmentOf(container), ...masked };
  }

  node(node: Node): ProtoNode {
    const { store, observed, dispatcher } = this.#deps;
    const { state, message, warnings, orphans } = observed.node(node.id);
    const cluster = store.clusterOf(node);
    const tags = tagsOf(node, cluster);
    return {
      id: node.id,
      name: node.name,
      state: nodeStates[state],
      availability: availabilities[node.availability],
      tags: [...tags.own],
      cluster: cluster?.name ?? '',
      clusterId: cluster?.id ?? '',
      clusterTags: [...tags.cluster],
      automaticTags: [...tags.automatic],
      description: node.description ?? undefined,
      advertiseAddress: node.advertiseAddress,
      publicAddress: node.publicAddress,
      containers: store.containersOn(node.id).length,
      message: [message, ...warnings].filter((part) => part !== '').join('; '),
      version: node.version,
      joinedAt: new Date(node.joinedAtMs),
      lastSeenAt: dateOf(dispatcher.lastSeenAtMs(node.id)),
      orphaned: orphans.map(({ phase, ...orphan }) => ({
        ...orphan,
        running: phase === 'running',
      })),
      volumes: [...node.volumes],
      drain: drainOf(node, store.containersOn(node.id)),
    };
  }

  nodeCluster(cluster: NodeCluster): ProtoNodeCluster {
    const { store, observed } = this.#deps;
    const members = store.nodesIn(cluster.id);
    const { state, message } = clusterState(cluster, members.length);
    return {
      id: cluster.id,
      name: cluster.name,
      targetNodes: cluster.targetNodes,
      tags: [...cluster.tags],
      state: nodeClusterStates[state],
      message,
      currentNodes: members.length,
      readyNodes: members.filter(({ id }) => observed.node(id).state === 'ready').length,
      version: cluster.version,
      createdAt: new Date(cluster.createdAtMs),
    };
  }

  certificate(certificate: Certificate, nowMs: number): ProtoCertificate {
    const { facts, source, serviceIds } = certificate;
    const { notBeforeMs, notAfterMs, warnings, hosts, ...shown } = facts;
    const services = serviceIds.flatMap((id) => this.#deps.store.services.get(id)?.name ?? []);
    const isEnding = expiryNotice(facts, nowMs) !== null;
    return {
      ...shown,
      id: certificate.id,
      name: certificate.name,
      hosts: [...hosts],
      notBefore: new Date(notBeforeMs),
      notAfter: new Date(notAfterMs),
      source: source === 'folder' ? CertificateSource.FOLDER : CertificateSource.CALLER,
      services: services.sort(byName),
      stranded: serviceIds.length > 0 && services.length === 0,
      warnings: [...(isEnding ? [expiryWords(notAfterMs, nowMs)] : []), ...warnings],
      version: certificate.version,
      createdAt: new Date(certificate.createdAtMs),
      updatedAt: new Date(certificate.updatedAtMs),
    };
  }

  /** Endpoints of one service: those for all of it first. */
  endpoints(service: Service): ProtoEndpoint[] {
    const { store, observed } = this.#deps;
    return store
      .containersOf(service.id)
      .flatMap((container) =>
        endpointsOf({
          service,
          container,
          observed: observed.container(container.id),
          node: container.nodeId === null ? undefined : store.nodes.get(container.nodeId),
        }),
      )
      .map((endpoint) => ({
        ...endpoint,
        kind: endpoint.kind === 'service' ? EndpointKind.SERVICE : EndpointKind.CONTAINER,
      }))
      .sort((a, b) => b.kind - a.kind || byName(a.container, b.container));
  }

  proxy(proxy: ProxyRecord): ProtoProxy {
    const { store, routing } = this.#deps;
    const { identity, status, session } = proxy;
    const list = routing.list(identity.serviceId);
    return {
      id: identity.id,
      name: identity.name,
      service: store.services.get(identity.serviceId)?.name ?? '',
      connected: session !== null,
      publishedVersion: proxy.publishedVersion,
      appliedVersion: proxy.appliedVersion,
      serversVersion: proxy.serversVersion,
      haproxyVersion: status.haproxyVersion,
      haproxyPid: status.haproxyPid,
      message: status.message === '' ? proxy.firstError : status.message,
      history: historyToProto(status.history),
      clientConnections: proxy.clientConnections,
      servers: [...(list?.targets() ?? [])].map((target) => {
        const seen = proxy.target(target.id);
        return {
          backend: target.backend,
          name: target.id,
          container: target.container,
          address: `${target.address}:${target.port}`,
          mode: target.mode === 'ready' ? TargetMode.READY : TargetMode.DRAIN,
          health: healths[seen?.health ?? 'unknown'],
          inFlight: seen?.inFlight ?? 0,
          requests: seen?.requests ?? 0,
          healthMessage: seen?.healthMessage ?? '',
          error: proxy.errorOf(target) ?? '',
        };
      }),
      certificates: this.#certificatesOf(proxy),
      lastSeenAt: new Date(proxy.lastSeenAtMs),
    };
  }

  /** What a proxy holds of certificates that are there still. */
  #certificatesOf({ certificates }: ProxyRecord): ProxyCertificate[] {
    return certificates.flatMap(({ certificate: ref, message }) => {
      const certificate = this.#deps.store.certificates.get((ref?.id ?? '') as CertificateId);
      if (certificate === undefined) return [];
      const current = message === '' && ref?.digest === refOf(certificate).digest;
      const notAfter = new Date(certificate.facts.notAfterMs);
      return [{ certificate: certificate.name, notAfter, current, message }];
    });
  }

  #messageOf(container: Container, view: ContainerView, seen: Observed | undefined): string {
    const { observed, placement } = this.#deps;
    if (container.nodeId === null) return placement.unplaceable.get(container.id) ?? '';
    if (view.phase === 'pending' && view.message !== '') return view.message;
    const node = observed.node(container.nodeId);
    if (node.state !== 'ready' && node.message !== '') return node.message;
    return seen?.message ?? '';
  }

  #drainOf(container: Container) {
    const { retirement } = container;
    if (retirement === null) return undefined;
    return {
      startedAt: new Date(retirement.startedAtMs),
      deadlineAt: new Date(retirement.deadlineAtMs),
      ...this.#deps.routing.drainingAt(container),
    };
  }
}

/** What an agent reported, as users see it. */
function observedPart(seen: Observed | undefined) {
  if (seen === undefined) {
    return {
      ports: [],
      exitCode: undefined,
      restarts: 0,
      engineId: '',
      startedAt: undefined,
      endedAt: undefined,
    };
  }
  return {
    ports: seen.phase === 'running' ? seen.ports.map(bindingToProto) : [],
    exitCode: seen.exitCode ?? undefined,
    restarts: seen.restarts,
    engineId: seen.engineId,
    startedAt: dateOf(seen.startedAtMs),
    endedAt: dateOf(seen.endedAtMs),
  };
}

function failureToProto(failure: ContainerFailure | undefined): ProtoContainerFailure | undefined {
  if (failure === undefined) return undefined;
  const { exitCode, endedAtMs, lines } = failure;
  const endedAt = dateOf(endedAtMs);
  return { endedAt, lines: [...lines], ...(exitCode !== null && { exitCode }) };
}

/** How a node is emptied; what a user stopped stays there. */
function drainOf({ drain }: Node, containers: readonly Container[]): NodeDrain | undefined {
  if (drain === null) return undefined;
  const { sinceMs, parallelism, deadlineAtMs, force } = drain;
  const remaining = containers.filter(({ wanted }) => wanted !== 'stopped').length;
  const since = new Date(sinceMs);
  return { since, parallelism, deadlineAt: dateOf(deadlineAtMs), force, remaining };
}

/** Made once: to ask each pair of strings makes a list of 2,000 nodes take ten times as long. */
const names = new Intl.Collator('en', { numeric: true });

/** Containers of a service by number, then by name. */
export function byName(a: string, b: string): number {
  return names.compare(a, b);
}

const healths = {
  unknown: TargetHealth.UNSPECIFIED,
  up: TargetHealth.UP,
  down: TargetHealth.DOWN,
} as const;
