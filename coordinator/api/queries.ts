import { ActionState } from '../../shared/gen/fairlead/v1/action.ts';
import type * as proto from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Clock } from '../../shared/clock.ts';
import { type FieldViolation } from '../../shared/errors.ts';
import type { Service } from '../model.ts';
import type { Routing } from '../routing/routing.ts';
import { tagsOf } from '../scheduler/node-tags.ts';
import type { Store } from '../store/store.ts';
import type { Authenticator } from './authentication.ts';
import { inClusters, inScope, reachesCertificate } from './authorization.ts';
import type { Call } from './call.ts';
import type { ChangeLog, Topic } from './change-log.ts';
import { actionToProto, tokenToProto } from './convert.ts';
import { removedNode } from './convert-nodes.ts';
import { limitFromProto, roleFromProto } from './convert-requests.ts';
import { actionFor, containerFor, serviceFor } from './discretion.ts';
import type { Lookup } from './lookup.ts';
import { byName, type Presenter } from './present.ts';
import { definitionFilter } from './service-filter.ts';
import { throwIfInvalid } from './validate.ts';
import { watch, type WatchMessage } from './watch.ts';

export interface QueryApiDeps {
  readonly store: Store;
  readonly routing: Routing;
  readonly authenticator: Authenticator;
  readonly lookup: Lookup;
  readonly presenter: Presenter;
  readonly changes: ChangeLog;
  readonly clock: Clock;
}

type Named<Key extends string, T> = Record<Key, T[]>;

/** The API's lists, and the watch twin of each. */
export class QueryApi {
  readonly #deps: QueryApiDeps;

  constructor(deps: QueryApiDeps) {
    this.#deps = deps;
  }

  listServices(request: proto.ListServicesRequest, call: Call) {
    return { services: this.#serviceList(request, call)() };
  }

  watchServices(request: proto.WatchServicesRequest, call: Call) {
    return this.#watch('services', this.#serviceList(request, call), request.cursor, call);
  }

  listContainers(request: proto.ListContainersRequest, call: Call) {
    return { containers: this.#containerList(request, call)() };
  }

  watchContainers(request: proto.WatchContainersRequest, call: Call) {
    return this.#watch('containers', this.#containerList(request, call), request.cursor, call);
  }

  listNodes({ tags, removed }: proto.ListNodesRequest, call: Call) {
    const nodes = [...this.#deps.store.nodes.values()]
      .filter(({ clusterId }) => inClusters(call, clusterId))
      .filter((node) => {
        const { all } = tagsOf(node, this.#deps.store.clusterOf(node));
        return tags.every((tag) => all.includes(tag));
      })
      .map((node) => this.#deps.presenter.node(node));
    // Of one that is gone nobody knows the cluster.
    if (removed && tags.length === 0 && inClusters(call, null)) nodes.push(...this.#removedNodes());
    return { nodes: nodes.sort((a, b) => byName(a.name, b.name)) };
  }

  #removedNodes() {
    const { store } = this.#deps;
    return [...store.actions.values()]
      .filter(({ method, state }) => method === 'RemoveNode' && state === 'succeeded')
      .map(removedNode);
  }

  watchNodes(request: proto.WatchNodesRequest, call: Call) {
    // When a node was last heard of changes all the time; by itself it is no news.
    const list = () =>
      this.listNodes(request, call).nodes.map((node) => ({ ...node, lastSeenAt: undefined }));
    return this.#watch('nodes', list, request.cursor, call);
  }

  listNodeClusters(call: Call) {
    const { store, presenter } = this.#deps;
    const nodeClusters = [...store.clusters.values()]
      .filter(({ id }) => inClusters(call, id))
      .map((cluster) => presenter.nodeCluster(cluster))
      .sort((a, b) => byName(a.name, b.name));
    return { nodeClusters };
  }

  watchNodeClusters({ cursor }: proto.WatchNodeClustersRequest, call: Call) {
    const list = () => this.listNodeClusters(call).nodeClusters;
    return this.#watch('nodeClusters', list, cursor, call);
  }

  listEndpoints(request: proto.ListEndpointsRequest, call: Call) {
    return { endpoints: this.#endpointList(request, call)() };
  }

  watchEndpoints(request: proto.WatchEndpointsRequest, call: Call) {
    return this.#watch('endpoints', this.#endpointList(request, call), request.cursor, call);
  }

  listProxies(request: proto.ListProxiesRequest, call: Call) {
    return { proxies: this.#proxyList(request, call)() };
  }

  watchProxies(request: proto.WatchProxiesRequest, call: Call) {
    const list = this.#proxyList(request, call);
    const timeless = () => list().map((proxy) => ({ ...proxy, lastSeenAt: undefined }));
    return this.#watch('proxies', timeless, request.cursor, call);
  }

  getAction({ action: id }: proto.GetActionRequest, call: Call) {
    const action = this.#deps.lookup.action(call, id);
    return { action: actionFor(call, actionToProto(action)) };
  }

  listActions(request: proto.ListActionsRequest, call: Call) {
    const violations: FieldViolation[] = [];
    const limit = limitFromProto(request.limit, violations);
    throwIfInvalid(violations);
    const actions = [...this.#deps.store.actions.values()]
      .reverse()
      .filter((action) => this.#deps.lookup.reaches(call, action))
      .filter(({ targetId, targetName }) => [targetId, targetName, ''].includes(request.target))
      .map((action) => actionFor(call, actionToProto(action)))
      .filter(({ state }) => !request.inProgress || state === ActionState.IN_PROGRESS)
      .slice(0, limit);
    return { actions };
  }

  watchActions(request: proto.WatchActionsRequest, call: Call) {
    const list = () => this.listActions(request, call).actions;
    return this.#watch('actions', list, request.cursor, call);
  }

  listTokens({ role }: proto.ListTokensRequest) {
    const { store, authenticator } = this.#deps;
    const wanted = roleFromProto(role);
    const tokens = [...store.tokens.values()]
      .filter((token) => wanted === undefined || token.role === wanted)
      .map((token) =>
        tokenToProto(
          store,
          token,
          authenticator.lastUsedAtMs(token.id),
          authenticator.expiresAtMs(token),
        ),
      )
      .sort((a, b) => byName(a.name, b.name));
    return { tokens };
  }

  watchTokens(request: proto.WatchTokensRequest, call: Call) {
    const list = () => this.listTokens(request).tokens;
    return this.#watch('tokens', list, request.cursor, call);
  }

  listCertificates(call: Call) {
    const { store, presenter, clock } = this.#deps;
    const nowMs = clock.now();
    const certificates = [...store.certificates.values()]
      .filter((certificate) => reachesCertificate(call, certificate))
      .map((certificate) => presenter.certificate(certificate, nowMs))
      .sort((a, b) => byName(a.name, b.name));
    return { certificates };
  }

  watchCertificates({ cursor }: proto.WatchCertificatesRequest, call: Call) {
    const list = () => this.listCertificates(call).certificates;
    return this.#watch('certificates', list, cursor, call);
  }

  #serviceList(request: Omit<proto.WatchServicesRequest, 'cursor'>, call: Call) {
    const isDefined = definitionFilter(request);
    const selected = this.#selection(request.services, call);
    const isThere = this.#presence(request.nodes, call);
    const { presenter } = this.#deps;
    return () =>
      selected()
        .filter(isDefined)
        .filter(isThere())
        .map((service) => serviceFor(call, presenter.service(service)))
        .sort((a, b) => byName(a.name, b.name));
  }

  /** Whether services have a container on one of the nodes that a request names, as things are then. */
  #presence(names: readonly string[], call: Call): () => (service: Service) => boolean {
    const { store, lookup } = this.#deps;
    const nodes = names.map((name) => lookup.node(call, name).id);
    if (nodes.length === 0) return () => () => true;
    return () => {
      const there = nodes.flatMap((id) => store.containersOn(id));
      const ids = new Set(there.map(({ serviceId }) => serviceId));
      return ({ id }) => ids.has(id);
    };
  }

  #containerList(request: proto.ListContainersRequest, call: Call) {
    const { store, presenter, lookup } = this.#deps;
    const selected = this.#selection(request.services, call);
    const nodes = new Set(request.nodes.map((node) => lookup.node(call, node).id));
    return () =>
      selected()
        .flatMap(({ id }) => store.containersOf(id))
        .filter(({ nodeId }) => nodes.size === 0 || (nodeId !== null && nodes.has(nodeId)))
        .map((container) => containerFor(call, presenter.container(container)))
        .sort((a, b) => byName(a.name, b.name) || byDate(a.createdAt, b.createdAt));
  }

  #endpointList({ services }: { readonly services: readonly string[] }, call: Call) {
    const selected = this.#selection(services, call);
    const { presenter } = this.#deps;
    return () =>
      selected()
        .sort((a, b) => byName(a.name, b.name))
        .flatMap((service) => presenter.endpoints(service));
  }

  #proxyList({ services }: { readonly services: readonly string[] }, call: Call) {
    const selected = this.#selection(services, call);
    const { routing, presenter } = this.#deps;
    return () => {
      const ids = new Set(selected().map(({ id }) => id));
      return [...routing.proxies()]
        .filter(({ identity }) => ids.has(identity.serviceId))
        .map((proxy) => presenter.proxy(proxy))
        .sort((a, b) => byName(a.name, b.name));
    };
  }

  /** The services that a request names, or all in scope; those that have gone since are left out. */
  #selection(names: readonly string[], call: Call): () => Service[] {
    const { store, lookup } = this.#deps;
    const ids = new Set(names.map((name) => lookup.service(call, name).id));
    return () =>
      [...store.services.values()].filter(
        ({ id }) => (ids.size === 0 || ids.has(id)) && inScope(call, id),
      );
  }

  async *#watch<Key extends Topic, T extends { readonly id: string }>(
    topic: Key,
    list: () => readonly T[],
    cursor: string,
    call: Call,
  ): AsyncGenerator<Omit<WatchMessage<T>, 'objects'> & Named<Key, T>> {
    const { changes, clock } = this.#deps;
    for await (const { objects, ...rest } of watch({ topic, cursor, list, changes, clock }, call)) {
      yield { ...rest, ...({ [topic]: objects } as Named<Key, T>) };
    }
  }
}

function byDate(a: Date | undefined, b: Date | undefined): number {
  return (a?.getTime() ?? 0) - (b?.getTime() ?? 0);
}
