import type { Volume } from '../../shared/container-options.ts';
import type { ContainerId, NodeId, ServiceId, TokenId } from '../../shared/ids.ts';
import type { Clock } from '../../shared/clock.ts';
import type { Random } from '../../shared/random.ts';
import type {
  ApiRole,
  Container,
  ContainerDefinition,
  Node,
  NodeCluster,
  PlacementReason,
  Role,
  Service,
  Token,
} from '../model.ts';
import type { TokenIssuer } from '../identity/tokens.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import {
  explainUnplaceable,
  isEligible,
  schedule,
  type Decision,
  type NodeView,
  type PendingView,
  type PlacedView,
} from '../scheduler/schedule.ts';
import { failingNodes } from '../scheduler/failing.ts';
import { portsOnNode } from '../scheduler/node-ports.ts';
import { tagsOf } from '../scheduler/node-tags.ts';
import type { Store, Transaction } from '../store/store.ts';
import {
  containerEnvironment,
  linkHosts,
  linkVariables,
  type ApiAddresses,
  type LinkedService,
} from './container-environment.ts';
import { note } from './actions.ts';
import { isCanary } from './canary.ts';
import { mayStay } from './rollout.ts';
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

/** A node or a cluster as it would be after a change that is only considered. */
export interface FleetChange {
  readonly node?: Node;
  readonly cluster?: NodeCluster;
}

/** Finds nodes for containers that have none, and freezes what they will run. */
export class Placement {
  readonly #deps: PlacementDeps;
  readonly #reasons = new Map<ContainerId, readonly PlacementReason[]>();
  readonly #sentences = new Map<string, string>();
  /** Nodes where a slot's last attempts failed, until one succeeds. */
  readonly #failedOn = new Map<string, NodeId[]>();

  constructor(deps: PlacementDeps) {
    this.#deps = deps;
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
  coverage(service: Service, change: FleetChange = {}): NodeId[] | null {
    if (service.spec.strategy !== 'every-node') return null;
    return this.#nodeViews(change)
      .filter(({ availability }) => availability !== 'draining')
      .filter((node) => isEligible(service.spec, { ...node, availability: 'active' }))
      .map(({ id }) => id);
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
    return this.#decide(service, pending, this.#placed(), change);
  }

  /** The same, as if `gone` and all else that is being taken away were gone already. */
  decideWithout(
    gone: ReadonlySet<ContainerId>,
    service: Service,
    pending: readonly Container[],
  ): Decision[] {
    const staying = this.#placed().filter(
      ({ id, wanted }) => wanted === 'running' && !gone.has(id),
    );
    return this.#decide(service, pending, staying);
  }

  /** Where another container like this one could go now, or why nowhere. */
  decideAgain(service: Service, container: Container): Decision | undefined {
    const again = { ...container, nodeId: null, pinnedTo: null, eviction: null };
    return this.decide(service, [again])[0];
  }

  #decide(
    service: Service,
    pending: readonly Container[],
    placed: readonly Container[],
    change: FleetChange = {},
  ): Decision[] {
    if (pending.length === 0) return [];
    return schedule(
      pending.map((container) => this.#pendingView(service, container)),
      this.#nodeViews(change),
      placed.flatMap((container) => this.#placedView(container)),
    );
  }

  /** Places what can be placed in one transaction; true if anything was. */
  place(service: Service, pending: readonly Container[]): boolean {
    const decisions = this.decide(service, pending);
    const placed = decisions.filter((decision) => decision.kind === 'placed');
    for (const [index, decision] of decisions.entries()) {
      this.#remember(decision, pending[index]?.pinnedTo ?? null);
    }
    if (placed.length === 0) return false;
    this.#deps.store.transact((tx) => {
      for (const { containerId, nodeId } of placed) {
        const container = tx.containers.get(containerId);
        const node = tx.nodes.get(nodeId);
        if (container === undefined || node === undefined) continue;
        tx.containers.put({
          ...container,
          nodeId,
          definition: this.define(tx, service, container, node),
        });
        note(tx, service.id, container.name, `deploying on ${node.name}`);
      }
    });
    return true;
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
      environment: containerEnvironment({ service, container, node, linked, api }),
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
    const { replicas, links, tags, strategy, maxPerNode } = service.spec;
    const placement = { replicas, links, tags, strategy, maxPerNode };
    return { ...service, spec: { ...kept.spec, ...placement } };
  }

  #pendingView(service: Service, container: Container): PendingView {
    const { id: serviceId, spec } = this.#asOf(service, container.revision);
    return {
      id: container.id,
      serviceId,
      slot: container.slot,
      tags: spec.tags,
      strategy: spec.strategy,
      ports: portsOnNode(spec),
      pinnedTo: container.pinnedTo,
      volumes: this.#volumesOf(service, container).flatMap(({ source }) =>
        source.kind === 'named' ? [source] : [],
      ),
      reservation: spec.reservation,
      maxPerNode: spec.maxPerNode,
      platforms: spec.platforms,
      cpus: cpusNeeded(spec.container.limits.cpus),
      avoid: this.#failedOn.get(slotKey(container)) ?? [],
      failing: failingNodes(service.failures, container.revision, this.#deps.clock.now()),
    };
  }

  #nodeViews(change: FleetChange): NodeView[] {
    const { store, observed } = this.#deps;
    return [...store.nodes.values()].map((stored) => {
      const node = stored.id === change.node?.id ? change.node : stored;
      const { id, name, availability, clusterId } = node;
      const { state, message } = observed.node(id);
      const changed = change.cluster?.id === clusterId ? change.cluster : undefined;
      const tags = tagsOf(node, changed ?? store.clusterOf(node)).all;
      const { os = '', architecture = '', cpus = 0, memoryBytes = 0 } = node.description ?? {};
      const platform = os === '' ? '' : `${os}/${architecture}`;
      const { volumes } = node;
      return {
        ...{ id, name, tags, availability, state, message },
        ...{ platform, cpus, memoryBytes, volumes },
      };
    });
  }

  /** Containers whose place is busy: until they are observed gone, or stopped to stay. */
  #placed(): Container[] {
    const { store, observed } = this.#deps;
    return [...store.containers.values()].filter(({ id, nodeId, wanted }) => {
      const phase = observed.container(id)?.phase;
      if (nodeId === null || phase === 'removed') return false;
      return wanted !== 'stopped' || (phase !== 'stopped' && phase !== 'failed');
    });
  }

  #placedView(container: Container): PlacedView[] {
    const { nodeId, serviceId, name: containerName, definition } = container;
    if (nodeId === null) return [];
    const ports = definition?.ports ?? [];
    const service = this.#deps.store.services.get(serviceId);
    const leaving = isLeaving(container, service);
    const volumes = (definition?.volumes ?? []).flatMap(({ source }) =>
      source.kind === 'named' ? [source.name] : [],
    );
    const phase = this.#deps.observed.container(container.id)?.phase;
    const hasEnded = phase === 'stopped' || phase === 'failed';
    const reservation = (hasEnded ? undefined : service?.spec.reservation) ?? nothing;
    return [{ nodeId, serviceId, containerName, ports, leaving, volumes, reservation }];
  }
}

const nothing = { cpuMillis: 0, memoryBytes: 0 };

/** How many processors a node needs so that a list like `0-2,4` names none that it lacks. */
function cpusNeeded(list: string): number {
  return list === '' ? 0 : Math.max(...list.split(/[,-]/).map(Number)) + 1;
}

/** What is being taken away or replaced leaves its place soon: the balance is that of what stays. */
function isLeaving(container: Container, service: Service | undefined): boolean {
  const { wanted, outdated, eviction } = container;
  if (wanted !== 'running' || outdated || eviction !== null || service === undefined) return true;
  return !mayStay(service, container);
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
