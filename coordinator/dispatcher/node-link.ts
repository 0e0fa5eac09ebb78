import type { ContainerId, NodeId, SessionId } from '../../shared/ids.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { Container, Observed } from '../model.ts';
import { assignmentOf, type Assignment } from './assignments.ts';

export interface AssignmentSet {
  readonly complete: boolean;
  readonly sequence: number;
  readonly assignments: readonly Assignment[];
  readonly forgotten: readonly ContainerId[];
}

export interface NodeLinkDeps {
  readonly containersOn: (node: NodeId) => readonly Container[];
  readonly container: (id: ContainerId) => Container | undefined;
  readonly observed: (id: ContainerId) => Observed | undefined;
}

/** One session of one node: what it was told, and what is still to be told. */
export class NodeLink {
  readonly nodeId: NodeId;
  readonly sessionId: SessionId;
  readonly wakeup = new Wakeup();
  readonly close: (reason: string) => void;
  readonly #deps: NodeLinkDeps;
  readonly #told = new Map<ContainerId, Assignment['wanted']>();
  readonly #changed = new Set<ContainerId>();
  #sequence = 0;
  #complete = true;

  constructor(
    ids: { readonly nodeId: NodeId; readonly sessionId: SessionId },
    close: (reason: string) => void,
    deps: NodeLinkDeps,
  ) {
    this.nodeId = ids.nodeId;
    this.sessionId = ids.sessionId;
    this.close = close;
    this.#deps = deps;
  }

  /** The agent missed something: the next message is the complete set. */
  resync(): void {
    this.#complete = true;
    this.wakeup.notify();
  }

  changed(id: ContainerId): void {
    this.#changed.add(id);
    this.wakeup.notify();
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
      const assignment = assignmentOf(container, this.#deps.observed(id));
      if (assignment === null || this.#told.get(id) === assignment.wanted) continue;
      this.#told.set(id, assignment.wanted);
      assignments.push(assignment);
    }
    this.#changed.clear();
    if (assignments.length === 0 && forgotten.length === 0) return null;
    return { complete: false, sequence: ++this.#sequence, assignments, forgotten };
  }

  #completeSet(): AssignmentSet {
    this.#complete = false;
    this.#changed.clear();
    this.#told.clear();
    const assignments = this.#deps.containersOn(this.nodeId).flatMap((container) => {
      return assignmentOf(container, this.#deps.observed(container.id)) ?? [];
    });
    for (const { containerId, wanted } of assignments) this.#told.set(containerId, wanted);
    return { complete: true, sequence: ++this.#sequence, assignments, forgotten: [] };
  }
}
