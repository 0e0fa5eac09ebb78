import { partsVerb } from '../../shared/rpc/parts.ts';
import type { Assignment } from '../dispatcher/assignments.ts';
import type { AssignmentSet, NodeLink } from '../dispatcher/node-link.ts';

/** Part of a set, or all of it. */
export interface AssignmentPart extends AssignmentSet {
  /** More of the set is to come. */
  readonly unfinished: boolean;
}

/** About as much as a connection keeps room for anyway: one record of TLS, at most 16 KiB. */
const partBytes = 12 * 1024;
/** What an assignment takes besides its variables and labels, above all in those that say who the container is. */
const usualBytes = 2 * 1024;

/** Hands out the sets of one session in parts, to an agent that takes them so. */
export class AssignmentParts {
  readonly #link: Pick<NodeLink, 'nextMessage' | 'verbs'>;
  #rest: AssignmentSet | null = null;

  constructor(link: Pick<NodeLink, 'nextMessage' | 'verbs'>) {
    this.#link = link;
  }

  /** What to send next; null if the agent knows everything. */
  next(): AssignmentPart | null {
    const set = this.#rest ?? this.#link.nextMessage();
    if (set === null) return null;
    const { assignments } = set;
    const count = this.#link.verbs.includes(partsVerb) ? fitting(assignments) : assignments.length;
    const isLast = count === assignments.length;
    this.#rest = isLast ? null : { ...set, assignments: assignments.slice(count) };
    if (isLast) return { ...set, unfinished: false };
    const none = { forgotten: [], discarded: [] };
    return { ...set, ...none, assignments: assignments.slice(0, count), unfinished: true };
  }
}

/** How many of the first fit into a part; one at least. */
function fitting(assignments: readonly Assignment[]): number {
  let bytes = 0;
  const over = assignments.findIndex(({ definition }, index) => {
    bytes += usualBytes + lengthOf(definition.environment) + lengthOf(definition.labels);
    return bytes > partBytes && index > 0;
  });
  return over === -1 ? assignments.length : over;
}

function lengthOf(variables: Readonly<Record<string, string>>): number {
  let length = 0;
  for (const [name, value] of Object.entries(variables)) length += name.length + value.length;
  return length;
}
