import type { Volume } from '../../shared/container-options.ts';
import type { ContainerId, NodeId, ServiceId, TokenId } from '../../shared/ids.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Random } from '../../shared/random.ts';
import type {
  ApiRole,
  Container,
  ContainerDefinition,
  Node,
  PlacementReason,
  Role,
  Service,
  ServiceSpec,
  Token,
} from '../model.ts';
import type { TokenIssuer } from '../identity/tokens.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import { orphanBefore } from '../observed/seen-orphans.ts';
import {
  explainUnplaceable,
  indexPlaced,
  isEligible,
  schedule,
  type Decision,
  type NodeView,
  type Occupancy,
  type PendingView,
} from '../scheduler/schedule.ts';
import { failingNodes } from '../scheduler/failing.ts';
import { portsOnNode } from '../scheduler/node-ports.ts';
import { rebalance, type BetterPlace } from '../scheduler/rebalance.ts';
import { groupsOf, type Groups } from '../scheduler/spread.ts';
import type { Store, Transaction } from '../store/store.ts';
import {
  givenVariables,
  identityVariables,
  linkHosts,
  linkVariables,
  type ApiAddresses,
  type LinkedService,
} from './container-environment.ts';
import { noteAll } from './actions.ts';
import { isCanary } from './canary.ts';
import { NodeViews, type FleetChange } from './node-views.ts';
import { placedView, PlacedIndex } from './placed-index.ts';
import { reasonToWaitFor } from './slot-orphans.ts';
import { hostnameOf } from './templates.ts';
import { volumesOf } from './volumes.ts';

export interface PlacementDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly tokens: TokenIssuer;
  readonly random: Random;
  readonly clock: Clock;
  readonly api: ApiAddresses;
}

interface Covered {
  readonly nodes: readonly NodeView[];
  readonly ids: readonly NodeId[];
}

/** How many were placed: none, all that can be, or a piece of them, with more to come. */
export type PlacedNow = 'none' | 'some' | 'piece';

/** Finds nodes for containers that have none, and freezes what they will run. */
export class Placement implements Disposable {
  readonly #deps: PlacementDeps;
  readonly #placed: PlacedIndex;
  readonly #nodes: NodeViews;
  /** The nodes that a definition covers, as long as they are the same. */
  readonly #covered = new WeakMap<ServiceSpec, Covered>();
  readonly #reasons = new Map<ContainerId, readonly PlacementReason[]>();
  readonly #sentences = new Map<string, string>();
  /** Nodes where a slot's last attempts failed, until one succeeds. */
  readonly #failedOn = new Map<string, NodeId[]>();

  constructor(deps: PlacementDeps) {
    this.#deps = deps;
    this.#placed = new PlacedIndex(deps);
    this.#nodes = new NodeViews(deps);
  }

  [Symbol.dispose](): void {
    this.#placed[Symbol.dispose]();
  }

  /** Why each node refuses a pending container, as of the last try. */
  reasonsOf(id: ContainerId): readonly PlacementReason[] {
    return this.#reasons.get(id) ?? [];
  }

  /** The same in one sentence each, for all pending containers. */
  get unplaceable(): ReadonlyMap<string, string> {
    return this.#sentences;
  }

  /** Nodes that an every-node service covers, whatever their state; null for other strategies. */
  coverage(service: Service, change: FleetChange = {}): readonly NodeId[] | null {
    const { spec } = service;
    if (spec.strategy !== 'every-node') return null;
    const nodes = this.#nodes.all(change);
    const known = this.#covered.get(spec);
    if (known?.nodes === nodes) return known.ids;
    const ids = nodes.filter((node) => isCovered(spec, node)).map(({ id }) => id);
    this.#covered.set(spec, { nodes, ids });
    return ids;
  }

  /** The groups of nodes that a service is spread over, the largest first. */
  groups({ spec }: Service, change: FleetChange = {}): readonly Groups[] {
    return spec.spreadOver.length === 0 ? [] : groupsOf(this.#nodes.all(change), spec.spreadOver);
  }

  failedHere(container: Container): void {
    if (container.nodeId === null) return;
    const key = slotKey(container);
    this.#failedOn.set(key, [...(this.#failedOn.get(key) ?? []), container.nodeId]);
  }

  succeeded(container: Container): void {
    this.#failedOn.delete(slotKey(container));
  }

  forget(id: ContainerId): void {
    this.#reasons.delete(id);
    this.#sentences.delete(id);
  }

  /** Decides without acting, as if `pending` were to be placed now. */
  decide(service: Service, pending: readonly Container[], change: FleetChange = {}): Decision[] {
    return this.#decide(service, pending, this.#placed.occupancy, change);
  }

  /** The same, as if `gone` and all else that is being taken away were gone already. */
  decideWithout(
    gone: ReadonlySet<ContainerId>,
    service: Service,
    pending: readonly Container[],
  ): Decision[] {
    const staying = [...this.#deps.store.containers.values()].filter(
      ({ id, wanted }) => wanted === 'running' && !gone.has(id),
    );
    const placed = staying.flatMap((container) => placedView(container, this.#deps) ?? []);
    return this.#decide(service, pending, indexPlaced(placed));
  }

  /** Where another container like this one could go now, or why nowhere. */
  decideAgain(service: Service, container: Container): Decision | undefined {
    const again = { ...container, nodeId: null, pinnedTo: null, eviction: null };
    return this.decide(service, [again])[0];
  }

  #decide(
    service: Service,
    pending: readonly Container[],
    placed: Occupancy,
    change: FleetChange = {},
  ): Decision[] {
    if (pending.length === 0) return [];
    return schedule(
      pending.map((container) => this.#pendingView(service, container)),
      this.#nodes.all(change),
      placed,
    );
  }

  /** The moves that would make a service even, at most `limit`. */
  betterPlaces(service: Service, limit: number): BetterPlace[] {
    const movables = this.#deps.store
      .containersOf(service.id)
      .filter(({ wanted, eviction }) => wanted === 'running' && eviction === null)
      .sort((a, b) => a.slot - b.slot)
      .flatMap((container) => {
        const { nodeId, pinnedTo } = container;
        if (nodeId === null || pinnedTo !== null) return [];
        const needs = this.#pendingView(service, container);
        return needs.inTheWay === null ? [{ nodeId, needs: { ...needs, avoid: [] } }] : [];
      });
    return rebalance(movables, this.#nodes.all({}), this.#placed.occupancy, limit);
  }

  /** Places what can be placed of the first `pieceSize` of which any can, in one transaction. */
  place(service: Service, pending: readonly Container[], pieceSize: number): PlacedNow {
    for (let at = 0; at < pending.length; at += pieceSize) {
      const piece = pending.slice(at, at + pieceSize);
      const decisions = this.decide(service, piece);
      for (const [index, decision] of decisions.entries()) {
        this.#remember(decision, piece[index]?.pinnedTo ?? null);
      }
      const placed = decisions.filter((decision) => decision.kind === 'placed');
      if (placed.length === 0) continue;
      this.#assign(service, placed);
      return at + pieceSize < pending.length ? 'piece' : 'some';
    }
    return 'none';
  }

  #assign(service: Service, placed: readonly Extract<Decision, { kind: 'placed' }>[]): void {
    this.#deps.store.transact((tx) => {
      const lines = placed.flatMap(({ containerId, nodeId }) => {
        const container = tx.containers.get(containerId);
        const node = tx.nodes.get(nodeId);
        if (container === undefined || node === undefined) return [];
        const definition = this.define(tx, service, container, node);
        tx.containers.put({ ...container, nodeId, definition });
        return [{ container: container.name, message: `deploying on ${node.name}` }];
      });
      noteAll(tx, service.id, lines);
    });
  }

  /** What a container on a node is to run: the service as it was at its revision, frozen. */
  define(tx: Transaction, current: Service, container: Container, node: Node): ContainerDefinition {
    const service = this.#asOf(current, container.revision);
    const { spec } = service;
    const linked = spec.links.flatMap((link) => {
      const target = this.#deps.store.serviceNamed(link.service);
      return target === undefined ? [] : [this.#linked(link, target)];
    });
    const { api } = this.#deps;
    return {
      image: spec.image,
      command: spec.command,
      entrypoint: spec.entrypoint,
      environment: givenVariables({ service, container, node, linked, api }),
      labels: spec.labels,
      hostname: hostnameOf(service, container, node),
      ports: portsOnNode(spec),
      hosts: linked.flatMap((each) => linkHosts(each)),
      restart: spec.restart,
      restartLimit: spec.restartLimit,
      readiness: spec.readiness,
      liveness: spec.liveness,
      drainTimeoutMs: spec.drainTimeoutMs,
      stopGraceMs: spec.stopGraceMs,
      options: spec.container,
      volumes: this.#volumesOf(service, container),
      tokenId: this.#issueToken(tx, service, container),
    };
  }

  /** All variables of a container but FAIRLEAD_AUTH; none until it is placed. */
  environmentOf(container: Container): Record<string, string> {
    const { store, api } = this.#deps;
    const { definition, nodeId, serviceId } = container;
    const service = store.services.get(serviceId);
    const node = nodeId === null ? undefined : store.nodes.get(nodeId);
    if (definition === null || service === undefined || node === undefined) return {};
    return { ...definition.environment, ...identityVariables({ service, container, node, api }) };
  }

  /** What the service would give to a container that links to it under its own name. */
  linkVariablesOf(service: Service): Record<string, string> {
    const link = { service: service.name, alias: service.name };
    return linkVariables(this.#linked(link, service), this.#deps.api);
  }

  #volumesOf(service: Service, { slot }: Container): Volume[] {
    const { store } = this.#deps;
    return volumesOf(service, { slot, serviceNamed: (name) => store.serviceNamed(name) });
  }

  #remember(decision: Decision, pinnedTo: NodeId | null): void {
    if (decision.kind === 'placed') {
      this.forget(decision.containerId);
      return;
    }
    this.#reasons.set(decision.containerId, decision.reasons);
    this.#sentences.set(decision.containerId, explainUnplaceable(decision.reasons, { pinnedTo }));
  }

  #issueToken(tx: Transaction, service: Service, container: Container): TokenId | null {
    const role = roleOf(service.spec.apiRole);
    if (role === null) return null;
    const id = this.#deps.random.id().slice(0, 16) as TokenId;
    const token: Token = {
      id,
      name: `container:${container.name}:${container.id.slice(0, 8)}`,
      role,
      serviceIds: [service.id],
      clusterIds: [],
      tags: [],
      clusterId: null,
      maxUses: 0,
      uses: 0,
      hash: this.#deps.tokens.containerTokenHash(id),
      containerId: container.id,
      createdAtMs: tx.nowMs,
      expiresAtMs: null,
    };
    tx.tokens.put(token);
    return id;
  }

  #linked(link: { service: string; alias: string }, service: Service): LinkedService {
    const { store, observed } = this.#deps;
    const containers = store
      .containersOf(service.id)
      .filter((container) => container.wanted === 'running' && !isCanary(service, container))
      .map((container) => ({
        container,
        observed: observed.container(container.id),
        node: container.nodeId === null ? undefined : store.nodes.get(container.nodeId),
      }));
    return { link, service, containers };
  }

  /**
   * The service as a container of a revision is made from it: its definition as it was then; where containers
   * go and what they are linked to, as it is now.
   */
  #asOf(service: Service, revision: number): Service {
    if (revision === service.revision) return service;
    const kept = this.#deps.store.revisions.get(service.id, revision);
    if (kept === undefined) return service;
    const { replicas, links, tags, avoidTags, strategy, maxPerNode, spreadOver } = service.spec;
    const placement = { replicas, links, tags, avoidTags, strategy, maxPerNode, spreadOver };
    return { ...service, spec: { ...kept.spec, ...placement } };
  }

  #pendingView(service: Service, container: Container): PendingView {
    const then = this.#asOf(service, container.revision);
    const { id: serviceId, spec } = then;
    const volumes = this.#volumesOf(then, container);
    const orphan = orphanBefore(container, then, volumes, this.#deps);
    return {
      id: container.id,
      serviceId,
      slot: container.slot,
      tags: spec.tags,
      avoidTags: spec.avoidTags,
      strategy: spec.strategy,
      spreadOver: spec.spreadOver,
      ports: portsOnNode(spec),
      pinnedTo: container.pinnedTo,
      volumes: volumes.flatMap(({ source }) => (source.kind === 'named' ? [source] : [])),
      reservation: spec.reservation,
      // Two of them with one hardware address would disturb each other.
      maxPerNode: spec.container.macAddress === '' ? spec.maxPerNode : 1,
      platforms: spec.platforms,
      cpus: cpusNeeded(spec.container.limits.cpus),
      avoid: this.#failedOn.get(slotKey(container)) ?? [],
      failing: failingNodes(service.failures, container.revision, this.#deps.clock.now()),
      inTheWay: orphan === undefined ? null : reasonToWaitFor(orphan),
    };
  }
}

/** A node that is paused keeps what it has, and may get it again. */
function isCovered(spec: ServiceSpec, node: NodeView): boolean {
  const { availability } = node;
  if (availability === 'draining') return false;
  return isEligible(spec, availability === 'active' ? node : { ...node, availability: 'active' });
}

/** How many processors a node needs so that a list like `0-2,4` names none that it lacks. */
function cpusNeeded(list: string): number {
  return list === '' ? 0 : Math.max(...list.split(/[,-]/).map(Number)) + 1;
}

function slotKey({ serviceId, slot }: { serviceId: ServiceId; slot: number }): string {
  return `${serviceId}/${slot}`;
}

function roleOf(role: ApiRole): Role | null {
  switch (role) {
    case 'none':
      return null;
    case 'proxy':
    case 'viewer':
    case 'operator':
      return role;
  }
}
