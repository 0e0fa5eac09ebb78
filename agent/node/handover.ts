/** Hands values over one at a time: who gives waits until the value is taken, so that none pile up. */
export class Handover<T> implements AsyncIterable<T> {
  #value: { readonly value: T; readonly taken: () => void } | undefined;
  #wanted: (() => void) | undefined;
  #isClosed = false;

  /** Resolves when it was taken, or nobody will take it. One call at a time. */
  async give(value: T): Promise<void> {
    if (this.#isClosed) return;
    await new Promise<void>((taken) => {
      this.#value = { value, taken };
      this.#wanted?.();
    });
  }

  /** Ends it on both sides; what was not taken is dropped. */
  close(): void {
    this.#isClosed = true;
    this.#value?.taken();
    this.#value = undefined;
    this.#wanted?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    while (!this.#isClosed) {
      const given = this.#value;
      if (given !== undefined) {
        this.#value = undefined;
        given.taken();
        yield given.value;
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#wanted = resolve;
      });
      this.#wanted = undefined;
    }
  }
}
