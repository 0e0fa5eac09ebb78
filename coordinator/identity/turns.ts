/** Lets things that take time happen one after the other, in the order in which they were asked for. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Does the work when all that was asked for before it has ended, well or not. */
  async take<T>(work: () => Promise<T> | T): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => undefined);
    return await turn;
  }
}
