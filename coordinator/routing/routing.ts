import type { Clock } from '../../shared/clock.ts';
import type { ContainerId, NodeId, ProxyId, ServiceId } from '../../shared/ids.ts';
import type { Container, Service, Target } from '../model.ts';
import type { Admission } from '../orchestrator/views.ts';
import type { Observation, ObservedState } from '../observed/observed-state.ts';
import type { Change, Store } from '../store/store.ts';
import { BackendList } from './backend-list.ts';
import { EarlierRevisions } from './earlier-revisions.ts';
import { mayReturn } from './host-proxies.ts';
import { ProxyChecks } from './proxy-checks.ts';
import { ProxyRecord, type ProxyIdentity } from './proxy-record.ts';
import {
  planRoutes,
  stillReaches,
  targetsOf,
  type ProxyPlace,
  type RoutedContainer,
} from './routes.ts';
import type { Settling } from './settling.ts';

/**
 * How long rollouts wait for a proxy that is away, since it left or the coordinator restarted, and for one
 * that is not there yet. Drain deadlines hold besides.
 */
const proxyGraceMs = 60_000;
const proxyStartMs = 15_000;

export interface RoutingDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly settling: Settling;
  readonly clock: Clock;
}

/**
 * Keeps the backend list of every load balancer service and what each proxy has acknowledged of it.
 *
 * Follows single containers: the work for one change does not grow with the fleet, and none of it waits
 * for anything.
 */
export class Routing {
  readonly #deps: RoutingDeps;
  readonly #lists = new Map<ServiceId, BackendList>();
  readonly #proxies = new Map<ProxyId, ProxyRecord>();
  /** Load balancer services by the name of a service that they link to. */
  #linkers = new Map<string, Service[]>();
  readonly #listeners = new Set<(serviceIds: Iterable<ServiceId>) => void>();
  readonly #startedAtMs: number;
  /** The same on the wall clock, as it was then. */
  readonly #startedOnMs: number;
  /** Containers with targets that are wanted no more, but may have requests in flight. */
  readonly #leaving = new Map<ServiceId, Set<ContainerId>>();
  readonly #checks: ProxyChecks;
  readonly #earlier: EarlierRevisions;
  #built = false;

  constructor(deps: RoutingDeps) {
    this.#deps = deps;
    this.#checks = new ProxyChecks(deps.store);
    this.#earlier = new EarlierRevisions(deps.store.revisions);
    this.#startedAtMs = deps.clock.monotonic();
    this.#startedOnMs = deps.clock.now();
  }

  /** Follows the store and the agents' reports until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, observed, settling, clock } = this.#deps;
    while (!settling.settled && !signal.aborted) await clock.sleep(50, signal);
    this.#rebuild();
    this.#built = true;
    using _store = store.subscribe((changes) => {
      this.#follow(changes);
    });
    using _observed = observed.subscribe((observation) => {
      this.#observe(observation);
    });
    this.#publish(this.#lists.keys());
    // Graces end without an event: what waits for a proxy looks again.
    while (!signal.aborted) {
      await clock.sleep(60_000, signal);
      this.#forgetLost();
    }
  }

  get ready(): boolean {
    return this.#built;
  }

  list(service: ServiceId): BackendList | undefined {
    return this.#built ? this.#lists.get(service) : undefined;
  }

  proxies(): Iterable<ProxyRecord> {
    return this.#proxies.values();
  }

  /** The record of a proxy that dialled; the same one over all its sessions. */
  attach(identity: ProxyIdentity, place: ProxyPlace): ProxyRecord {
    const known = this.#proxies.get(identity.id);
    if (known !== undefined && known.identity.serviceId === identity.serviceId) return known;
    const record = new ProxyRecord(identity, place, this.#deps.clock.now());
    this.#proxies.set(identity.id, record);
    return record;
  }

  /** The service whose proxy is connected under an id; undefined: none is. */
  serviceOf(id: ProxyId): ServiceId | undefined {
    const record = this.#proxies.get(id);
    return record === undefined || record.session === null ? undefined : record.identity.serviceId;
  }

  /** For how long a proxy was away; 0 while it has a session, Infinity if it had none yet. */
  silentMs(id: ProxyId): number {
    const record = this.#proxies.get(id);
    if (record === undefined) return Infinity;
    return record.session === null ? this.#deps.clock.monotonic() - record.awaySinceMs : 0;
  }

  detached(record: ProxyRecord): void {
    record.session = null;
    record.awaySinceMs = this.#deps.clock.monotonic();
    if (this.#cannotReturn(record)) this.#proxies.delete(record.identity.id);
    this.acknowledged(record);
  }

  /** It is away and does not come back: nothing waits for it any more. */
  forgetProxy(record: ProxyRecord): void {
    if (this.#proxies.get(record.identity.id) !== record) return;
    this.#proxies.delete(record.identity.id);
    this.acknowledged(record);
  }

  /** A proxy reported: services behind it may go on. */
  acknowledged(record: ProxyRecord): void {
    const lb = this.#deps.store.services.get(record.identity.serviceId);
    if (lb !== undefined) this.#sweepLeaving(lb.id);
    const linked = (lb?.spec.links ?? []).flatMap(
      ({ service }) => this.#deps.store.serviceNamed(service)?.id ?? [],
    );
    this.#publish([...linked, record.identity.serviceId]);
  }

  /** Which proxies have taken the container in, and out. */
  admissionOf(container: Container): Admission {
    if (!this.#built) return { admitted: false, drained: false };
    const each = this.#listsWith(container.id).flatMap(([lb, list]) =>
      this.#admissionsBy(lb, list, container.id),
    );
    return {
      admitted: each.every(({ admitted }) => admitted),
      drained: !this.#mayRunUnseen(container) && each.every(({ drained }) => drained),
    };
  }

  /** Nobody has told of it, and its node is away: proxies may send to it for all that is known. */
  #mayRunUnseen({ id, nodeId }: Container): boolean {
    const { observed } = this.#deps;
    if (nodeId === null || observed.container(id) !== undefined) return false;
    return observed.node(nodeId).state !== 'ready';
  }

  /** Every list that has the container: also that of a load balancer which it was just unlinked from. */
  #listsWith(id: ContainerId): [ServiceId, BackendList][] {
    return [...this.#lists].filter(([, list]) => list.targetsOf(id).length > 0);
  }

  /** One entry for each proxy of the load balancer that matters. */
  #admissionsBy(lb: ServiceId, list: BackendList, id: ContainerId): Admission[] {
    const targets = list.targetsOf(id);
    const ready = targets.filter(({ mode }) => mode === 'ready');
    const drains = ready.length === 0;
    return [...this.#expected(lb)].map((proxy) => {
      if (proxy === 'starting') return { admitted: false, drained: false };
      if (proxy === 'unheard') return { admitted: true, drained: false };
      return {
        admitted: !drains && ready.every((each) => proxy.hasAdmitted(each, list.sinceOf(each))),
        drained: drains && targets.every((each) => proxy.hasDrained(each, list.sinceOf(each))),
      };
    });
  }

  /** Proxies that still have requests of a draining container in flight, or have not said. */
  drainingAt(container: Container): { inFlight: number; waitingFor: string[] } {
    let inFlight = 0;
    const waitingFor: string[] = [];
    for (const [lb, list] of this.#listsWith(container.id)) {
      const drains = list.targetsOf(container.id).filter(({ mode }) => mode === 'drain');
      if (drains.length === 0) continue;
      for (const proxy of this.#expected(lb)) {
        if (typeof proxy === 'string') continue;
        for (const { id } of drains) inFlight += proxy.target(id)?.inFlight ?? 0;
        const isDone = drains.every((each) => proxy.hasDrained(each, list.sinceOf(each)));
        if (!isDone) waitingFor.push(proxy.identity.name);
      }
    }
    return { inFlight, waitingFor };
  }

  /** Calls `listener` with the services whose admission or proxies may have changed. */
  subscribe(listener: (serviceIds: Iterable<ServiceId>) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #publish(serviceIds: Iterable<ServiceId>): void {
    const ids = [...serviceIds];
    for (const listener of this.#listeners) listener(ids);
  }

  #linkersOf(service: Service): readonly Service[] {
    return this.#linkers.get(service.name) ?? [];
  }

  /**
   * The proxies of a load balancer that matter: connected, away for less than the grace, so young that
   * they have not dialled yet ('starting'), or on plain hosts and not back yet since the coordinator
   * restarted, for all it knows ('unheard').
   */
  *#expected(lb: ServiceId): Iterable<ProxyRecord | 'starting' | 'unheard'> {
    const { store, clock } = this.#deps;
    const nowMs = clock.monotonic();
    for (const proxy of this.#proxies.values()) {
      if (proxy.identity.serviceId !== lb) continue;
      if (proxy.session === null && this.#isOver(proxy, nowMs)) continue;
      yield proxy;
    }
    for (const container of store.containersOf(lb)) {
      if (this.#isStarting(container)) yield 'starting';
    }
    if (nowMs - this.#startedAtMs < proxyGraceMs && this.#mayRunOnHosts(lb)) yield 'unheard';
  }

  /** It runs, and the proxy in it has not dialled yet: since it started, or the coordinator did. */
  #isStarting({ id, wanted }: Container): boolean {
    const { observed, clock } = this.#deps;
    const seen = observed.container(id);
    if (this.#proxies.has(id as string as ProxyId)) return false;
    if (seen?.phase !== 'running' || wanted !== 'running') return false;
    const isYoung = clock.now() - seen.sinceMs < proxyStartMs;
    return isYoung || clock.monotonic() - this.#startedAtMs < proxyGraceMs;
  }

  /** Somebody had a token for a proxy of this load balancer before the coordinator started, and it is good still. */
  #mayRunOnHosts(lb: ServiceId): boolean {
    const restart = {
      ...{ startedAtMs: this.#startedOnMs, nowMs: this.#deps.clock.now() },
      isBack: (id: ProxyId) => this.#proxies.has(id),
    };
    return [...this.#deps.store.tokens.values()].some((token) => mayReturn(token, lb, restart));
  }

  #isOver(proxy: ProxyRecord, nowMs: number): boolean {
    if (nowMs - proxy.awaySinceMs >= proxyGraceMs) return true;
    if (proxy.place === 'host') return false;
    const id = proxy.identity.id as string as ContainerId;
    const phase = this.#deps.observed.container(id)?.phase;
    return phase !== 'running' && phase !== 'starting' && phase !== 'stopping';
  }

  #rebuild(): void {
    this.#linkers = new Map();
    this.#earlier.forget();
    this.#checks.forget();
    const kept = new Set<ServiceId>();
    for (const lb of this.#deps.store.services.values()) {
      if (lb.spec.apiRole !== 'proxy') continue;
      kept.add(lb.id);
      for (const { service } of lb.spec.links) {
        this.#linkers.set(service, [...(this.#linkers.get(service) ?? []), lb]);
      }
      this.#rebuildList(lb);
    }
    for (const id of this.#lists.keys()) if (!kept.has(id)) this.#lists.delete(id);
  }

  #rebuildList(lb: Service): void {
    const linked = lb.spec.links.flatMap(
      ({ service }) => this.#deps.store.serviceNamed(service) ?? [],
    );
    const plan = planRoutes(lb, [...new Set(linked)], (service) => this.#checks.of(service));
    const list = this.#lists.get(lb.id) ?? new BackendList(plan);
    this.#lists.set(lb.id, list);
    let changed = list.restructure(plan);
    const gone = new Set(list.containers());
    for (const service of plan.memberships.keys()) {
      for (const container of this.#deps.store.containersOf(service)) {
        gone.delete(container.id);
        changed = this.#set(lb.id, list, container.id) || changed;
      }
    }
    for (const id of gone) changed = this.#set(lb.id, list, id) || changed;
    if (changed) this.#wake(lb.id);
  }

  /**
   * Brings the targets of one container up to date. True: that changed the list. What is wanted no more may
   * finish what is in flight, if it can still be reached.
   */
  #set(lb: ServiceId, list: BackendList, id: ContainerId): boolean {
    const { store } = this.#deps;
    const container = store.containers.get(id);
    const service = container === undefined ? undefined : store.services.get(container.serviceId);
    if (container === undefined || service === undefined) {
      this.#leaving.get(lb)?.delete(id);
      return list.set(id, []);
    }
    const routed = this.#routed(container, service);
    const wanted = targetsOf(service, routed, list.usesOf(service.id));
    const leaving = leavingOf(list.targetsOf(id), wanted, routed);
    if (leaving.length === 0) {
      this.#leaving.get(lb)?.delete(id);
      return list.set(id, wanted);
    }
    const all = this.#leaving.get(lb) ?? new Set();
    this.#leaving.set(lb, all.add(id));
    return list.set(id, [...wanted, ...leaving]);
  }

  /** Takes what is wanted no more and has drained off the list. */
  #sweepLeaving(lb: ServiceId): void {
    const list = this.#lists.get(lb);
    const leaving = this.#leaving.get(lb);
    if (list === undefined || leaving === undefined || leaving.size === 0) return;
    const proxies = [...this.#expected(lb)];
    let changed = false;
    for (const id of leaving) {
      const kept = list
        .targetsOf(id)
        .filter(
          (target) =>
            !target.leaving ||
            !proxies.every(
              (p) => typeof p !== 'string' && p.hasDrained(target, list.sinceOf(target)),
            ),
        );
      if (!kept.some((target) => target.leaving)) leaving.delete(id);
      changed = list.set(id, kept) || changed;
    }
    if (changed) this.#wake(lb);
  }

  #follow(changes: readonly Change[]): void {
    if (changes.some(({ table }) => table === 'services')) this.#rebuild();
    const services = new Set<ServiceId>();
    const containers = changes.flatMap(({ table, id }) =>
      table === 'containers' ? [id as ContainerId] : [],
    );
    for (const service of this.#checks.changedBy(containers)) {
      for (const lb of this.#linkersOf(service)) this.#rebuildList(lb);
    }
    for (const id of containers) {
      this.#refresh(id, services);
      this.#forgetProxy(id);
    }
    for (const { table, id } of changes) {
      if (table === 'nodes') this.#refreshNode(id as NodeId, services);
    }
    if (changes.some(({ table }) => table === 'tokens')) this.#forgetLost();
    if (services.size > 0) this.#publish(services);
  }

  /** The proxy of a container that is gone does not come back. */
  #forgetProxy(id: ContainerId): void {
    const proxyId = id as string as ProxyId;
    const gone = this.#deps.store.containers.get(id) === undefined;
    if (gone && this.#proxies.get(proxyId)?.session === null) this.#proxies.delete(proxyId);
  }

  /** Proxies on plain hosts that are away and cannot come back, as they are now. */
  #forgetLost(): void {
    for (const record of [...this.#proxies.values()]) {
      if (record.session === null && this.#cannotReturn(record)) this.forgetProxy(record);
    }
  }

  /**
   * On a plain host, and its token was revoked, or its certificate has expired while it was away: only who sets it up
   * anew brings it back. One that is merely away is kept. The clock may be wrong that a certificate ends by, so that
   * alone does not shorten the grace.
   */
  #cannotReturn({ place, tokenId, certificate, awaySinceMs }: ProxyRecord): boolean {
    const { store, clock } = this.#deps;
    if (place === 'container') return false;
    if (tokenId !== null && store.tokens.get(tokenId) === undefined) return true;
    const hasExpired = certificate !== null && certificate.untilMs <= clock.now();
    return hasExpired && clock.monotonic() - awaySinceMs >= proxyGraceMs;
  }

  #observe(observation: Observation): void {
    const services = new Set<ServiceId>();
    if (observation.kind === 'container') this.#refresh(observation.id, services);
    else this.#refreshNode(observation.id, services);
  }

  #refreshNode(id: NodeId, services: Set<ServiceId>): void {
    for (const container of this.#deps.store.containersOn(id))
      this.#refresh(container.id, services);
  }

  /** Brings one container's target in every list up to date. */
  #refresh(id: ContainerId, services: Set<ServiceId>): void {
    const { store } = this.#deps;
    const container = store.containers.get(id);
    const service = container === undefined ? undefined : store.services.get(container.serviceId);
    const linkers = service === undefined ? [] : this.#linkersOf(service);
    for (const [lbId, list] of this.#lists) {
      const linked = linkers.some((lb) => lb.id === lbId);
      if (!linked && list.targetsOf(id).length === 0) continue;
      if (!this.#set(lbId, list, id)) continue;
      this.#wake(lbId);
      if (container !== undefined) services.add(container.serviceId);
    }
  }

  #routed(container: Container, service: Service): RoutedContainer {
    const { store, observed } = this.#deps;
    const node = container.nodeId === null ? undefined : store.nodes.get(container.nodeId);
    return {
      container,
      observed: observed.container(container.id),
      advertiseAddress: node?.advertiseAddress ?? '',
      balancing: this.#earlier.balancingOf(container, service),
    };
  }

  #wake(lb: ServiceId): void {
    for (const proxy of this.#proxies.values()) {
      if (proxy.identity.serviceId !== lb) continue;
      proxy.session?.wake();
    }
  }
}

/** Targets that are there and wanted no more, as they are to be until they have drained. */
function leavingOf(
  before: readonly Target[],
  wanted: readonly Target[],
  routed: RoutedContainer,
): Target[] {
  return before
    .filter(({ id }) => !wanted.some((target) => target.id === id))
    .filter((target) => stillReaches(target, routed))
    .map((target) => ({ ...target, mode: 'drain', leaving: true }));
}
