import type { AssignmentSet } from '../../shared/gen/fairlead/v1/agent_service.ts';

/** Puts sets together that come in several messages of one session. */
export class AssignmentParts {
  #sequence = 0;
  #assignments: AssignmentSet['assignments'] = [];

  /** The set once it is whole; null: more of it is to come. What another set left unfinished is dropped. */
  take(part: AssignmentSet): AssignmentSet | null {
    const { sequence, assignments, unfinished } = part;
    const before = sequence === this.#sequence ? this.#assignments : [];
    this.#sequence = sequence;
    this.#assignments = unfinished ? [...before, ...assignments] : [];
    return unfinished ? null : { ...part, assignments: [...before, ...assignments] };
  }
}
