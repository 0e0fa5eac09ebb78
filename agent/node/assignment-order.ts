/** What to do with an assignment set: `ask` says that one was missed, so the complete set is needed. */
export type Verdict = 'apply' | 'drop' | 'ask';

/**
 * Keeps the assignment sets of one session in order: a complete set begins anew, increments follow one
 * by one.
 */
export class AssignmentOrder {
  #next: number | undefined;
  #hasAsked = false;

  take({ complete, sequence }: { readonly complete: boolean; readonly sequence: number }): Verdict {
    if (complete) {
      this.#next = sequence + 1;
      this.#hasAsked = false;
      return 'apply';
    }
    if (this.#next !== undefined && sequence < this.#next) return 'drop';
    if (sequence === this.#next && !this.#hasAsked) {
      this.#next++;
      return 'apply';
    }
    if (this.#hasAsked) return 'drop';
    this.#hasAsked = true;
    return 'ask';
  }
}
