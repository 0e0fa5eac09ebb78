import type { Clock } from '../../shared/clock.ts';
import type { ContainerId, NodeId, SessionId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { NodeDescription, Orphan } from '../model.ts';
import { DomainError } from '../../shared/errors.ts';
import type { ObservedState, ReportedContainer } from '../observed/observed-state.ts';
import type { Store } from '../store/store.ts';
import { NodeLink } from './node-link.ts';

/** How long a node counts as alive without a message, and how often it is to say something. */
export const leaseMs = 3_000;
export const heartbeatMs = 1_000;

/** A coordinator that restarted gives agents the time that their back-off needs, and a crowd of them more. */
const returnMs = 10_000;
const returnGraceMs = 60_000;

export interface EngineReport {
  readonly reachable: boolean;
  readonly message: string;
}

/** What an agent says first. */
export interface NodeHello {
  readonly bootId: string;
  readonly sequence: number;
  readonly description: NodeDescription;
  readonly advertiseAddress: string;
  readonly publicAddress: string;
  readonly engine: EngineReport;
  readonly inventory: readonly InventoryEntry[];
}

export interface InventoryEntry {
  readonly containerId: ContainerId;
  readonly name: string;
  readonly reported: ReportedContainer;
}

export interface DispatcherDeps {
  readonly store: Store;
  readonly observed: ObservedState;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly log: Logger;
}

interface Liveness {
  link: NodeLink | null;
  bootId: string;
  sequence: number;
  /** On the monotonic clock. */
  heardAtMs: number;
  /** Engine containers of the node that nobody here knows, as last reported. */
  readonly orphans: Map<ContainerId, InventoryEntry>;
}

/** Hands assignments to the nodes' sessions and takes their reports in; knows which nodes are alive. */
export class Dispatcher {
  readonly #deps: DispatcherDeps;
  readonly #graceMs: number;
  readonly #startedAtMs: number;
  readonly #nodes = new Map<NodeId, Liveness>();

  constructor(deps: DispatcherDeps, { downGraceMs }: { readonly downGraceMs: number }) {
    this.#deps = deps;
    this.#graceMs = downGraceMs;
    this.#startedAtMs = deps.clock.monotonic();
  }

  /** Follows the store, and notices nodes that fall silent, until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#deps;
    using _store = store.subscribe((changes) => {
      for (const { table, id } of changes) if (table === 'containers') this.#changed(id);
    });
    while (!signal.aborted) {
      this.#noticeSilence();
      await clock.sleep(500, signal);
    }
  }

  /** A node dialled. Its session before, if any, ends. */
  attach(nodeId: NodeId, hello: NodeHello, close: (reason: string) => void): NodeLink {
    const { store, observed, clock, newId } = this.#deps;
    const liveness = this.#liveness(nodeId);
    liveness.link?.close('SESSION_REPLACED');
    const link = new NodeLink({ nodeId, sessionId: newId() as SessionId }, close, {
      containersOn: (node) => store.containersOn(node),
      container: (id) => store.containers.get(id),
      observed: (id) => observed.container(id),
    });
    liveness.link = link;
    liveness.bootId = hello.bootId;
    liveness.sequence = hello.sequence;
    liveness.heardAtMs = clock.monotonic();
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

  /** Any message of the node. */
  heard(link: NodeLink): void {
    const liveness = this.#liveness(link.nodeId);
    if (liveness.link === link) liveness.heardAtMs = this.#deps.clock.monotonic();
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
    if (this.#nodes.get(nodeId)?.link != null) return;
    const name = this.#deps.store.nodes.get(nodeId)?.name ?? nodeId;
    throw new DomainError(
      'precondition',
      `the agent of ${name} is not connected; try again when the node is ready`,
      { reason: 'NODE_NOT_CONNECTED' },
    );
  }

  /** Ends the session of a node that was removed. */
  expel(nodeId: NodeId): void {
    this.#nodes.get(nodeId)?.link?.close('NODE_REMOVED');
    this.#nodes.delete(nodeId);
    this.#deps.observed.forgetNode(nodeId);
  }

  /** When the node was last heard of, in wall-clock milliseconds; null: not since the start. */
  lastSeenAtMs(nodeId: NodeId): number | null {
    const liveness = this.#nodes.get(nodeId);
    if (liveness === undefined || liveness.bootId === '') return null;
    return Math.round(this.#deps.clock.now() - (this.#deps.clock.monotonic() - liveness.heardAtMs));
  }

  #changed(id: string): void {
    const containerId = id as ContainerId;
    const nodeId = this.#deps.store.containers.get(containerId)?.nodeId;
    if (nodeId === null) return;
    if (nodeId !== undefined) this.#nodes.get(nodeId)?.link?.changed(containerId);
    // Its record is gone, and with it the word on whose it was.
    else for (const { link } of this.#nodes.values()) link?.changed(containerId);
  }

  #liveness(nodeId: NodeId): Liveness {
    const known = this.#nodes.get(nodeId);
    if (known !== undefined) return known;
    const liveness = {
      ...{ link: null, bootId: '', sequence: 0, heardAtMs: this.#startedAtMs },
      orphans: new Map<ContainerId, InventoryEntry>(),
    };
    this.#nodes.set(nodeId, liveness);
    return liveness;
  }

  #describe(nodeId: NodeId, hello: NodeHello): void {
    const { store } = this.#deps;
    const node = store.nodes.get(nodeId);
    if (node === undefined) return;
    const { description, advertiseAddress, publicAddress } = hello;
    const now = { ...node, description, advertiseAddress, publicAddress };
    if (JSON.stringify(now) === JSON.stringify(node)) return;
    store.transact((tx) => {
      tx.nodes.put(now);
    });
  }

  #takeInventory(nodeId: NodeId, { inventory, engine }: NodeHello): void {
    const { store, observed } = this.#deps;
    const present = new Set(inventory.map(({ containerId }) => containerId));
    const { orphans } = this.#liveness(nodeId);
    orphans.clear();
    for (const entry of inventory) {
      if (!this.#takeIn(nodeId, entry)) orphans.set(entry.containerId, entry);
    }
    if (engine.reachable) {
      for (const { id } of store.containersOn(nodeId)) {
        const before = observed.container(id);
        if (present.has(id) || before === undefined) continue;
        if (before.phase !== 'running' && before.phase !== 'starting') continue;
        observed.report(id, {
          ...before,
          phase: 'starting',
          ready: false,
          ports: [],
          message: 'its engine container is gone; it is made again',
        });
      }
    }
  }

  #noteOrphan(link: NodeLink, entry: InventoryEntry): void {
    const { orphans } = this.#liveness(link.nodeId);
    if (entry.reported.phase !== 'removed') {
      orphans.set(entry.containerId, entry);
    } else if (orphans.delete(entry.containerId)) {
      link.changed(entry.containerId);
    }
  }

  #reportOrphans(nodeId: NodeId): void {
    const { observed } = this.#deps;
    observed.reportNode(nodeId, { ...observed.node(nodeId), orphans: this.#orphansOf(nodeId) });
  }

  #orphansOf(nodeId: NodeId): Orphan[] {
    return this.orphans(nodeId).map(({ containerId, name, reported }) => ({
      ...{ containerId, name, engineId: reported.engineId },
      running: reported.phase === 'running',
    }));
  }

  /** False: not a container of this node. */
  #takeIn(nodeId: NodeId, { containerId, reported }: InventoryEntry): boolean {
    const container = this.#deps.store.containers.get(containerId);
    if (container?.nodeId !== nodeId) return false;
    this.#deps.observed.report(containerId, reported);
    return true;
  }

  #reportState(nodeId: NodeId, engine: EngineReport): void {
    this.#deps.observed.reportNode(nodeId, {
      state: engine.reachable ? 'ready' : 'engine-away',
      message: engine.reachable ? '' : `its Docker Engine does not answer: ${engine.message}`,
      lastSeenAtMs: this.#deps.clock.now(),
      orphans: this.#orphansOf(nodeId),
    });
  }

  #noticeSilence(): void {
    const { store, observed, clock, log } = this.#deps;
    for (const node of store.nodes.values()) {
      const { heardAtMs, link, bootId } = this.#liveness(node.id);
      if (link !== null) continue;
      const silentMs = clock.monotonic() - heardAtMs;
      const isHeard = bootId !== '';
      if (silentMs < (isHeard ? leaseMs : returnMs)) continue;
      const before = observed.node(node.id);
      const graceMs = isHeard ? this.#graceMs : Math.max(this.#graceMs, returnGraceMs);
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
}
