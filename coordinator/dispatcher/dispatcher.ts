import type { Clock } from '../../shared/clock.ts';
import { areSame } from '../../shared/collections.ts';
import { explainClock, isClockWrong } from '../../shared/clock-skew.ts';
import { DomainError } from '../../shared/errors.ts';
import type { ContainerId, NodeId, SessionId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Node, Orphan } from '../model.ts';
import type { ObservedState } from '../observed/observed-state.ts';
import type { Routing } from '../routing/routing.ts';
import type { Settling } from '../routing/settling.ts';
import type { Store } from '../store/store.ts';
import type { NodeUpgrades } from '../upgrades/node-upgrades.ts';
import { HeldBack } from './held-back.ts';
import { unheard, type Liveness } from './liveness.ts';
import { NodeEvents } from './node-events.ts';
import {
  whenMissing,
  type EngineReport,
  type InventoryEntry,
  type NodeHello,
} from './node-hello.ts';
import { asOrphan, keepOrphan } from './orphans.ts';
import { identityShared, notConnected, tooOld } from './node-refusals.ts';
import { NodeLink, type LinkLine, type NodeLinkDeps } from './node-link.ts';
import { explainRivals, judge, nameOfHost, rivalsOf, type AgentRun } from './rivals.ts';

/** How long a node counts as alive without a message, and how often it is to say something. */
export const leaseMs = 3_000;
export const heartbeatMs = 1_000;

/** A coordinator that restarted gives agents the time that their back-off needs, and a crowd of them more. */
const returnMs = 10_000;
const returnGraceMs = 60_000;
/** How long the host that is served keeps its place while another speaks with its identity. */
const rivalryMs = 60_000;

/** Names of volumes that are kept of a node. */
const maxVolumes = 10_000;

export interface DispatcherDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly upgrades: Pick<NodeUpgrades, 'patienceMs' | 'warning' | 'forget'>;
  /** What the load balancers have of a container. */
  readonly routing: Pick<Routing, 'admissionOf' | 'subscribe'>;
  readonly settling: Pick<Settling, 'settled'>;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly log: Logger;
}

/** Hands assignments to the nodes' sessions and takes their reports in; knows which nodes are alive. */
export class Dispatcher {
  readonly #deps: DispatcherDeps;
  /** What links look up. */
  readonly #facts: NodeLinkDeps;
  readonly #graceMs: number;
  readonly #startedAtMs: number;
  readonly #nodes = new Map<NodeId, Liveness>();
  readonly #awaitingDrain = new Set<ContainerId>();
  readonly #heldBack: HeldBack;
  readonly #events: NodeEvents;

  constructor(deps: DispatcherDeps, { downGraceMs }: { readonly downGraceMs: number }) {
    const { store, observed, routing } = deps;
    this.#deps = deps;
    this.#heldBack = new HeldBack(deps);
    this.#facts = {
      containersOn: (node) => store.containersOn(node),
      container: (id) => store.containers.get(id),
      observed: (id) => observed.container(id),
      isDrained: (container) => routing.admissionOf(container).drained,
      isHeldBack: (container) => this.#heldBack.has(container),
    };
    this.#events = new NodeEvents(deps);
    this.#graceMs = downGraceMs;
    this.#startedAtMs = deps.clock.monotonic();
  }

  /** Follows the store, and notices nodes that fall silent, until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, clock, observed, routing } = this.#deps;
    using _store = store.subscribe((changes) => {
      for (const { table, id } of changes) {
        if (table === 'containers') this.#changed(id);
        if (table === 'nodes') this.#noticeJoining(store.nodes.get(id as NodeId));
      }
    });
    using _observed = observed.subscribe((observation) => {
      if (observation.kind === 'container') this.#noticeDrain(observation.id);
      else this.#release();
    });
    using _routing = routing.subscribe((services) => {
      for (const id of services) {
        for (const container of store.containersOf(id)) this.#noticeDrain(container.id);
      }
    });
    for (const node of store.nodes.values()) this.#noticeJoining(node);
    while (!signal.aborted) {
      this.#noticeSilence();
      this.#noticeOddities();
      this.#release();
      await clock.sleep(500, signal);
    }
  }

  /**
   * A node dialled. Its session before, if any, ends. Throws 'conflict' if another host has the node's
   * identity and is alive.
   */
  attach(nodeId: NodeId, hello: NodeHello, line: LinkLine): NodeLink {
    const { store, clock, newId } = this.#deps;
    const liveness = this.#liveness(nodeId);
    this.#claim(liveness, hello);
    liveness.link?.close('SESSION_REPLACED');
    const ids = { nodeId, sessionId: newId() as SessionId };
    const link = new NodeLink({ ...ids, verbs: hello.verbs }, line, this.#facts);
    liveness.link = link;
    liveness.bootId = hello.bootId;
    liveness.sequence = hello.sequence;
    liveness.heardAtMs = clock.monotonic();
    liveness.clockOffsetMs = hello.clockMs === null ? null : hello.clockMs - clock.monotonic();
    this.#describe(nodeId, hello);
    this.#takeInventory(nodeId, hello);
    this.#reportState(nodeId, hello.engine);
    const orphans = liveness.orphans.size;
    this.#deps.log.info(
      { node: store.nodes.get(nodeId)?.name, sessionId: link.sessionId, orphans },
      'node attached',
    );
    return link;
  }

  detach(link: NodeLink): void {
    const liveness = this.#nodes.get(link.nodeId);
    if (liveness?.link !== link) return;
    liveness.link = null;
    this.#deps.log.info(
      { node: this.#deps.store.nodes.get(link.nodeId)?.name, sessionId: link.sessionId },
      'node detached',
    );
  }

  /** A sign of life of the node, at a moment of the monotonic clock. */
  heard(link: NodeLink, atMs = this.#deps.clock.monotonic()): void {
    const liveness = this.#liveness(link.nodeId);
    if (liveness.link === link) liveness.heardAtMs = Math.max(liveness.heardAtMs, atMs);
  }

  /** A report; one that is late, or of a session that was replaced, is dropped. */
  report(
    link: NodeLink,
    sequence: number,
    containers: readonly InventoryEntry[],
    engine: EngineReport | null,
  ): void {
    const liveness = this.#liveness(link.nodeId);
    if (liveness.link !== link || sequence <= liveness.sequence) return;
    liveness.sequence = sequence;
    for (const entry of containers) {
      if (!this.#takeIn(link.nodeId, entry)) this.#noteOrphan(link, entry);
    }
    if (engine === null) this.#reportOrphans(link.nodeId);
    else this.#reportState(link.nodeId, engine);
  }

  /** The named volumes of a node's engine. Kept with the node: where data is must not be forgotten. */
  volumes(link: NodeLink, names: readonly string[]): void {
    const { store } = this.#deps;
    const node = store.nodes.get(link.nodeId);
    if (node === undefined || this.#liveness(link.nodeId).link !== link) return;
    const volumes = names.slice(0, maxVolumes).sort();
    if (JSON.stringify(volumes) === JSON.stringify(node.volumes)) return;
    store.transact((tx) => {
      tx.nodes.put({ ...node, volumes });
    });
  }

  /** The engine containers of a node that nobody here knows, as its agent last reported them. */
  orphans(nodeId: NodeId): InventoryEntry[] {
    return [...(this.#nodes.get(nodeId)?.orphans.values() ?? [])];
  }

  /** An orphan has a record now: what was reported of it is that of the record. */
  adopted(nodeId: NodeId, containerId: ContainerId): void {
    const orphans = this.#nodes.get(nodeId)?.orphans;
    const entry = orphans?.get(containerId);
    if (entry === undefined) return;
    orphans?.delete(containerId);
    this.#takeIn(nodeId, entry);
    this.#reportOrphans(nodeId);
  }

  /** Has the agent stop and remove an orphan. */
  discard(nodeId: NodeId, containerId: ContainerId): void {
    this.#nodes.get(nodeId)?.link?.discard(containerId);
  }

  /** Throws 'precondition' while the agent of a node is away. */
  requireConnected(nodeId: NodeId): void {
    if (!this.isConnected(nodeId)) throw notConnected(this.#nameOf(nodeId));
  }

  /**
   * Throws 'conflict' if another run of the node's agent is the one that counts. An agent of before this was
   * asked says no boot id, and is taken for it.
   */
  requireHolder(nodeId: NodeId, bootId: string): void {
    const liveness = this.#nodes.get(nodeId);
    const holder = liveness?.claims.holder ?? null;
    if (liveness === undefined || holder === null || bootId === '') return;
    if (holder.run.bootId === bootId || !this.#holderLives(liveness)) return;
    throw new DomainError(
      'conflict',
      `the session of this node is that of another agent, on ${nameOfHost(holder.run)}: that one alone renews the certificate`,
      { reason: 'IDENTITY_SHARED' },
    );
  }

  /** Asks the agent of a node for a stream of its own. Throws 'precondition' if it is away or too old. */
  offerStream(nodeId: NodeId, verb: string, ticket: string): void {
    const link = this.#nodes.get(nodeId)?.link;
    if (link == null) throw notConnected(this.#nameOf(nodeId));
    if (!link.verbs.includes(verb)) throw tooOld(this.#nameOf(nodeId), verb);
    link.offer(ticket);
  }

  /** Tells the agent of a node, if it is there, that nobody wants a stream any more. */
  closeStream(nodeId: NodeId, ticket: string): void {
    this.#nodes.get(nodeId)?.link?.closeStream(ticket);
  }

  /** Whether the agent of a node has a session. */
  isConnected(nodeId: NodeId): boolean {
    return this.#nodes.get(nodeId)?.link != null;
  }

  /** Ends the session of a node that was removed. */
  expel(nodeId: NodeId): void {
    this.#nodes.get(nodeId)?.link?.close('NODE_REMOVED');
    this.#nodes.delete(nodeId);
    this.#events.forget(nodeId);
    this.#deps.upgrades.forget(nodeId);
    this.#deps.observed.forgetNode(nodeId);
  }

  /** When the node was last heard of, in wall-clock milliseconds; null: not since the start. */
  lastSeenAtMs(nodeId: NodeId): number | null {
    const liveness = this.#nodes.get(nodeId);
    if (liveness === undefined || liveness.bootId === '') return null;
    return Math.round(this.#deps.clock.now() - (this.#deps.clock.monotonic() - liveness.heardAtMs));
  }

  /** For how long a node was not heard of, since the start at most; 0 while its agent has a session. */
  silentMs(nodeId: NodeId): number {
    const { link = null, heardAtMs = this.#startedAtMs } = this.#nodes.get(nodeId) ?? {};
    return link === null ? this.#deps.clock.monotonic() - heardAtMs : 0;
  }

  #changed(id: string): void {
    const containerId = id as ContainerId;
    const nodeId = this.#deps.store.containers.get(containerId)?.nodeId;
    if (nodeId === null) return;
    if (nodeId !== undefined) this.#nodes.get(nodeId)?.link?.changed(containerId);
    // Its record is gone, and with it the word on whose it was.
    else for (const { link } of this.#nodes.values()) link?.changed(containerId);
  }

  #release(): void {
    for (const id of this.#heldBack.takeReleased()) this.#changed(id);
  }

  #liveness(nodeId: NodeId): Liveness {
    const known = this.#nodes.get(nodeId);
    if (known !== undefined) return known;
    const liveness = unheard(this.#deps.store.nodes.get(nodeId), this.#startedAtMs);
    this.#nodes.set(nodeId, liveness);
    return liveness;
  }

  /** Throws 'conflict' if the session is another host's. */
  #claim(liveness: Liveness, { bootId, description, advertiseAddress }: NodeHello): void {
    const moment = { nowMs: this.#deps.clock.monotonic(), holderHeardAtMs: liveness.heardAtMs };
    const run = { bootId, hostname: description.hostname, address: advertiseAddress };
    const holderLives = this.#holderLives(liveness);
    const { verdict, claims } = judge(liveness.claims, run, { ...moment, holderLives });
    const { holder } = liveness.claims;
    liveness.claims = claims;
    if (verdict === 'take' || holder === null) return;
    throw identityShared(nameOfHost(holder.run), nameOfHost(run));
  }

  /** One that has a rival keeps its place over a short absence: the rival would take it at once. */
  #holderLives(liveness: Liveness): boolean {
    const silentMs = this.#deps.clock.monotonic() - liveness.heardAtMs;
    if (liveness.link !== null) return true;
    if (liveness.bootId === '') return silentMs < returnMs;
    return this.#rivals(liveness).length > 0 && silentMs < Math.max(rivalryMs, this.#graceMs);
  }

  #rivals({ claims, heardAtMs }: Liveness): readonly AgentRun[] {
    if (claims.others.length === 0) return none;
    return rivalsOf(claims, {
      nowMs: this.#deps.clock.monotonic(),
      holderHeardAtMs: heardAtMs,
    });
  }

  /** Few await a drain at any time: the others cost a look. That one does no more is told too. */
  #noticeDrain(id: ContainerId): void {
    if (this.#deps.observed.container(id)?.awaitsDrain === true) this.#awaitingDrain.add(id);
    else if (!this.#awaitingDrain.delete(id)) return;
    this.#changed(id);
  }

  #describe(nodeId: NodeId, hello: NodeHello): void {
    const { store } = this.#deps;
    const node = store.nodes.get(nodeId);
    if (node === undefined) return;
    const { description, advertiseAddress, publicAddress, certificate } = hello;
    const now = { ...node, description, advertiseAddress, publicAddress, certificate };
    if (JSON.stringify(now) === JSON.stringify(node)) return;
    // A fleet that has just joined says hello at once, and each says so again with every session.
    store.transactSoon((tx) => {
      tx.nodes.put(now);
    });
  }

  #takeInventory(nodeId: NodeId, { inventory, engine }: NodeHello): void {
    const { store, observed } = this.#deps;
    const present = new Set(inventory.map(({ containerId }) => containerId));
    const { orphans } = this.#liveness(nodeId);
    // An engine that does not answer does not say that they are gone.
    if (engine.reachable) orphans.clear();
    for (const entry of inventory) {
      if (!this.#takeIn(nodeId, entry)) keepOrphan(orphans, entry);
    }
    // What is missing may be so because one of them has its place.
    this.#reportOrphans(nodeId);
    if (engine.reachable) {
      for (const { id } of store.containersOn(nodeId)) {
        const before = observed.container(id);
        if (present.has(id) || before === undefined) continue;
        const now = whenMissing(before);
        if (now !== null) observed.report(id, now);
      }
    }
  }

  #noteOrphan(link: NodeLink, entry: InventoryEntry): void {
    const { orphans } = this.#liveness(link.nodeId);
    if (entry.reported.phase !== 'removed') {
      keepOrphan(orphans, entry);
    } else if (orphans.delete(entry.containerId)) {
      link.changed(entry.containerId);
    }
  }

  #reportOrphans(nodeId: NodeId): void {
    const { observed } = this.#deps;
    observed.reportNode(nodeId, { ...observed.node(nodeId), orphans: this.#orphansOf(nodeId) });
  }

  #orphansOf(nodeId: NodeId): Orphan[] {
    return this.orphans(nodeId).map(asOrphan);
  }

  /** False: not a container of this node. */
  #takeIn(nodeId: NodeId, { containerId, reported }: InventoryEntry): boolean {
    const container = this.#deps.store.containers.get(containerId);
    if (container?.nodeId !== nodeId) return false;
    // Under the id of its record: that of the report would be held as well.
    this.#deps.observed.report(container.id, reported);
    return true;
  }

  #reportState(nodeId: NodeId, engine: EngineReport): void {
    this.#deps.observed.reportNode(nodeId, {
      state: engine.reachable ? 'ready' : 'engine-away',
      message: engine.reachable ? '' : `its Docker Engine does not answer: ${engine.message}`,
      warnings: this.#warnings(nodeId),
      lastSeenAtMs: this.#deps.clock.now(),
      orphans: this.#orphansOf(nodeId),
    });
  }

  #noticeSilence(): void {
    const { store, observed, clock, log } = this.#deps;
    for (const node of store.nodes.values()) {
      const { heardAtMs, link, bootId } = this.#liveness(node.id);
      if (link !== null || node.description === null) continue;
      const silentMs = clock.monotonic() - heardAtMs;
      const isHeard = bootId !== '';
      if (silentMs < (isHeard ? leaseMs : returnMs)) continue;
      const before = observed.node(node.id);
      // A node that hands over to another version of its agent is back soon, with one of the two.
      const handoverMs = this.#deps.upgrades.patienceMs(node.id);
      const graceMs = Math.max(this.#graceMs, isHeard ? handoverMs : returnGraceMs);
      const state = silentMs >= graceMs ? 'down' : 'unreachable';
      if (before.state === state) continue;
      log.warn({ node: node.name, state }, 'node fell silent');
      observed.reportNode(node.id, {
        ...before,
        state,
        message: `its agent was not heard of for ${Math.round(silentMs / 1000)} s`,
      });
    }
  }

  /** A node that joined and has never connected is not missed. */
  #noticeJoining(node: Node | undefined): void {
    const { observed } = this.#deps;
    if (node?.description !== null || observed.node(node.id).state !== 'unknown') return;
    observed.reportNode(node.id, {
      ...observed.node(node.id),
      state: 'joining',
      message: 'its agent has not connected since it joined',
    });
    this.#events.joined(node.id);
  }

  /** Nothing is odd about nearly every node, and nothing is made of those: it is looked often. */
  #noticeOddities(): void {
    const { store, observed } = this.#deps;
    const news = [];
    for (const node of store.nodes.values()) {
      const warnings = this.#warnings(node.id);
      const before = observed.node(node.id);
      if (!areSame(warnings, before.warnings)) {
        observed.reportNode(node.id, { ...before, warnings });
      }
      const liveness = this.#liveness(node.id);
      const skewMs = this.#skewMs(liveness);
      const odd = { rivalry: this.#rivalry(liveness), clockIsWrong: isClockWrong(skewMs) };
      const now = { state: before.state, ...odd };
      if (this.#events.isTold(node.id, now)) continue;
      news.push({ node, now, message: before.message, clock: explainClock(skewMs) });
    }
    this.#events.tell(news);
  }

  #nameOf(nodeId: NodeId): string {
    return this.#deps.store.nodes.get(nodeId)?.name ?? nodeId;
  }

  #warnings(nodeId: NodeId): readonly string[] {
    const liveness = this.#liveness(nodeId);
    const rivalry = this.#rivalry(liveness);
    const clock = explainClock(this.#skewMs(liveness));
    const upgrade = this.#deps.upgrades.warning(nodeId);
    if (rivalry === '' && clock === '' && upgrade === '') return none;
    return [rivalry, clock, upgrade].filter((warning) => warning !== '');
  }

  /** How far the clock of a node that is there is ahead of ours. */
  #skewMs({ link, clockOffsetMs }: Liveness): number {
    if (link === null || clockOffsetMs === null) return 0;
    // Ours may be set meanwhile as well: both are compared with the one that never jumps.
    return clockOffsetMs - (this.#deps.clock.now() - this.#deps.clock.monotonic());
  }

  #rivalry(liveness: Liveness): string {
    const { holder } = liveness.claims;
    const rivals = this.#rivals(liveness);
    return holder === null || rivals.length === 0 ? '' : explainRivals(holder.run, rivals);
  }
}

const none: readonly never[] = [];
