import type { ContainerId, NodeId, SessionId } from '../../shared/ids.ts';
import type { Container, Observed } from '../model.ts';
import { assignmentOf, type Assignment } from './assignments.ts';

export interface AssignmentSet {
  readonly complete: boolean;
  readonly sequence: number;
  readonly assignments: readonly Assignment[];
  readonly forgotten: readonly ContainerId[];
  /** Orphans to be stopped and removed. */
  readonly discarded: readonly ContainerId[];
}

/** What an agent is asked to become. */
export interface Upgrade {
  readonly attempt: string;
  readonly version: string;
  readonly url: string;
  readonly sha256: string;
  readonly size: number;
}

export interface NodeLinkDeps {
  readonly containersOn: (node: NodeId) => readonly Container[];
  readonly container: (id: ContainerId) => Container | undefined;
  readonly observed: (id: ContainerId) => Observed | undefined;
  readonly isDrained: (container: Container) => boolean;
  /** It is not to be made yet. */
  readonly isHeldBack: (container: Container) => boolean;
}

/** What a node was told of a container last. */
type Told = Assignment['wanted'] | 'drained';

/** What an agent is told of a stream, by its ticket. */
export interface StreamNews {
  readonly kind: 'offer' | 'closed';
  readonly ticket: string;
}

/** The stream of a session. */
export interface LinkLine {
  /** There may be something to tell. */
  wake(): void;
  close(reason: string): void;
}

/** One session of one node: what it was told, and what is still to be told. */
export class NodeLink {
  readonly nodeId: NodeId;
  readonly sessionId: SessionId;
  /** What the agent can do beyond the first version. */
  readonly verbs: readonly string[];
  readonly #line: LinkLine;
  readonly #deps: NodeLinkDeps;
  readonly #told = new Map<ContainerId, Told>();
  readonly #changed = new Set<ContainerId>();
  readonly #discarded = new Set<ContainerId>();
  #upgrade: Upgrade | null = null;
  #upgradeIsTold = true;
  readonly #streamNews: StreamNews[] = [];
  #sequence = 0;
  #complete = true;

  constructor(
    agent: {
      readonly nodeId: NodeId;
      readonly sessionId: SessionId;
      readonly verbs: readonly string[];
    },
    line: LinkLine,
    deps: NodeLinkDeps,
  ) {
    this.nodeId = agent.nodeId;
    this.sessionId = agent.sessionId;
    this.verbs = agent.verbs;
    this.#line = line;
    this.#deps = deps;
  }

  close(reason: string): void {
    this.#line.close(reason);
  }

  /** The agent missed something: the next message is the complete set. */
  resync(): void {
    this.#complete = true;
    this.#line.wake();
  }

  changed(id: ContainerId): void {
    this.#changed.add(id);
    this.#line.wake();
  }

  /** Has an engine container removed that has no record. */
  discard(id: ContainerId): void {
    this.#discarded.add(id);
    this.#line.wake();
  }

  /** Asks the agent to become another version. False: it was asked already. */
  upgrade(upgrade: Upgrade): boolean {
    if (this.#upgrade?.attempt === upgrade.attempt) return false;
    this.#upgrade = upgrade;
    this.#upgradeIsTold = false;
    this.#line.wake();
    return true;
  }

  /** What the agent is to be asked to become; null: nothing, or it was asked. */
  nextUpgrade(): Upgrade | null {
    if (this.#upgradeIsTold) return null;
    this.#upgradeIsTold = true;
    return this.#upgrade;
  }

  /** Asks for a stream of its own, by this ticket. */
  offer(ticket: string): void {
    this.#streamNews.push({ kind: 'offer', ticket });
    this.#line.wake();
  }

  /** Tells that nobody wants the stream of this ticket any more. */
  closeStream(ticket: string): void {
    this.#streamNews.push({ kind: 'closed', ticket });
    this.#line.wake();
  }

  /** What is still to be told of streams. */
  nextStreamNews(): StreamNews | undefined {
    return this.#streamNews.shift();
  }

  /** What to send next; null if the agent knows everything. */
  nextMessage(): AssignmentSet | null {
    if (this.#complete) return this.#completeSet();
    const assignments: Assignment[] = [];
    const forgotten: ContainerId[] = [];
    for (const id of this.#changed) {
      const container = this.#deps.container(id);
      if (container === undefined) {
        if (this.#told.delete(id)) forgotten.push(id);
        continue;
      }
      if (container.nodeId !== this.nodeId) continue;
      const assignment = this.#assignmentOf(container);
      if (assignment === null || this.#told.get(id) === wordOf(assignment)) continue;
      this.#told.set(id, wordOf(assignment));
      assignments.push(assignment);
    }
    this.#changed.clear();
    const discarded = this.#takeDiscarded();
    if (assignments.length + forgotten.length + discarded.length === 0) return null;
    return { complete: false, sequence: ++this.#sequence, assignments, forgotten, discarded };
  }

  #completeSet(): AssignmentSet {
    this.#complete = false;
    this.#changed.clear();
    this.#told.clear();
    const assignments = this.#deps.containersOn(this.nodeId).flatMap((container) => {
      return this.#assignmentOf(container) ?? [];
    });
    for (const assignment of assignments) {
      this.#told.set(assignment.containerId, wordOf(assignment));
    }
    const discarded = this.#takeDiscarded();
    return { complete: true, sequence: ++this.#sequence, assignments, forgotten: [], discarded };
  }

  #assignmentOf(container: Container): Assignment | null {
    const { observed, isDrained, isHeldBack } = this.#deps;
    const assignment = assignmentOf(container, observed(container.id), isDrained);
    // What is not mentioned is not made.
    return assignment?.wanted === 'running' && isHeldBack(container) ? null : assignment;
  }

  /** Those that were adopted meanwhile are not to be removed. */
  #takeDiscarded(): ContainerId[] {
    const discarded = [...this.#discarded].filter(
      (id) => this.#deps.container(id)?.nodeId !== this.nodeId,
    );
    this.#discarded.clear();
    for (const id of discarded) this.#told.set(id, 'removed');
    return discarded;
  }
}

function wordOf({ wanted, drained }: Assignment): Told {
  return drained ? 'drained' : wanted;
}
