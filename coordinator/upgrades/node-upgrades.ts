import type { NodeId } from '../../shared/ids.ts';
import type { NodeLink, Upgrade } from '../dispatcher/node-link.ts';

/** An upgrade that a host did not take. */
export interface UpgradeFailure {
  readonly attempt: string;
  readonly version: string;
  readonly reason: string;
}

/** What the hello of an agent says of upgrades. */
export interface UpgradeHello {
  /** What its agent is; empty: it cannot be upgraded. */
  readonly package: string;
  /** Why not; empty from an agent that does not know of upgrades. */
  readonly obstacle: string;
  readonly failure: UpgradeFailure | null;
  /** What runs has not stood yet: its host may go back. */
  readonly isOnTrial: boolean;
}

/** What is known of one node. */
export interface UpgradeState extends UpgradeHello {
  /** Its session; null: it has none. */
  readonly link: NodeLink | null;
  /** What its agent last said that it is. */
  readonly version: string;
}

interface Entry {
  state: UpgradeState;
  /** What it was told and has not answered. */
  told: Upgrade | null;
}

/**
 * How long a node may be silent beyond its grace because it hands over to another version: a version that hangs
 * is given up within a minute, and the one before has to start.
 */
const handoverMs = 90_000;

/** What agents say of upgrades, and what they are told; in memory, because every hello says it anew. */
export class NodeUpgrades {
  readonly #nodes = new Map<NodeId, Entry>();

  /** A session began. */
  attached(link: NodeLink, hello: UpgradeHello, version: string): void {
    const told = this.#nodes.get(link.nodeId)?.told ?? null;
    const stands = told?.version === version && !hello.isOnTrial;
    const isAnswered = stands || told?.attempt === hello.failure?.attempt;
    const state = { ...hello, link, version };
    this.#nodes.set(link.nodeId, { state, told: isAnswered ? null : told });
  }

  /** What was on trial stands. */
  stands(link: NodeLink): void {
    const entry = this.#nodes.get(link.nodeId);
    if (entry?.state.link !== link) return;
    entry.state = { ...entry.state, isOnTrial: false };
    if (entry.told?.version === entry.state.version) entry.told = null;
  }

  detached(link: NodeLink): void {
    const entry = this.#nodes.get(link.nodeId);
    if (entry?.state.link === link) entry.state = { ...entry.state, link: null };
  }

  /** The agent goes on as it is. */
  failed(link: NodeLink, failure: UpgradeFailure): void {
    const entry = this.#nodes.get(link.nodeId);
    if (entry?.state.link !== link) return;
    entry.state = { ...entry.state, failure };
    entry.told = null;
  }

  /** Asks the agent of a node to become another version; once in each session, and not while it is on trial. */
  tell(nodeId: NodeId, upgrade: Upgrade): void {
    const entry = this.#nodes.get(nodeId);
    if (entry === undefined || entry.state.isOnTrial) return;
    if (entry.state.link?.upgrade(upgrade) === true) entry.told = upgrade;
  }

  stateOf(nodeId: NodeId): UpgradeState | undefined {
    return this.#nodes.get(nodeId)?.state;
  }

  forget(nodeId: NodeId): void {
    this.#nodes.delete(nodeId);
  }

  /** How long a node may be silent before it is taken to be down, because of an upgrade; 0: none is under way. */
  patienceMs(nodeId: NodeId): number {
    return this.#nodes.get(nodeId)?.told == null ? 0 : handoverMs;
  }

  /** What is odd about a node, in words; empty: nothing. */
  warning(nodeId: NodeId): string {
    const { failure, version = '' } = this.#nodes.get(nodeId)?.state ?? {};
    if (failure == null || failure.version === version) return '';
    return `its agent was not upgraded to ${failure.version}: ${failure.reason}`;
  }
}
