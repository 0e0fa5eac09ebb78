import type { Clock } from '../../shared/clock.ts';
import { messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import type { Store } from '../store/store.ts';
import type { ObservedState } from './observed-state.ts';

/** How much of the picture a killed coordinator may lose. Agents report it anew when they are back. */
const intervalMs = 250;

/** Copies observed state to the store, off every path that anybody waits for. Sleeps while nothing changes. */
export class WriteBehind {
  readonly #deps: {
    readonly observed: ObservedState;
    readonly store: Store;
    readonly clock: Clock;
    readonly log: Logger;
  };
  readonly #wakeup = new Wakeup();
  #failing = false;

  constructor(deps: {
    readonly observed: ObservedState;
    readonly store: Store;
    readonly clock: Clock;
    readonly log: Logger;
  }) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { observed, clock } = this.#deps;
    using _observed = observed.subscribe(({ kind }) => {
      if (kind === 'container') this.#wakeup.notify();
    });
    this.#wakeup.notify();
    while (!signal.aborted) {
      await this.#wakeup.wait(signal);
      await clock.sleep(intervalMs, signal);
      this.flush();
    }
  }

  flush(): void {
    const { observed, store, log } = this.#deps;
    const unsaved = observed.takeUnsaved();
    if (unsaved.size === 0) return;
    try {
      store.saveObserved(unsaved);
      if (this.#failing) log.info('observed state is saved again');
      this.#failing = false;
    } catch (error) {
      observed.returnUnsaved(unsaved.keys());
      this.#wakeup.notify();
      if (!this.#failing) log.warn({ err: error }, `observed state not saved: ${messageOf(error)}`);
      this.#failing = true;
    }
  }
}
