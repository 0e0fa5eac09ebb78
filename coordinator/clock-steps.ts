import { amount } from '../shared/clock-skew.ts';
import { messageOf } from '../shared/errors.ts';
import type { Logger } from '../shared/logger.ts';
import type { ObservedState } from './observed/observed-state.ts';
import type { SteadyClock } from './steady-clock.ts';
import type { Store, Transaction } from './store/store.ts';
import { shiftedAction, shiftedContainer, shiftedNode, shiftedService } from './time-shift.ts';

/** Less is what clocks are corrected by all the time; and nothing that is waited for is that exact. */
const stepMs = 1_000;
/** Less is not worth words. */
const worthWordsMs = 60_000;
const lookEveryMs = 1_000;

export interface ClockStepsDeps {
  readonly clock: SteadyClock;
  readonly store: Pick<Store, 'transact'>;
  readonly observed: Pick<ObservedState, 'shift'>;
  readonly installationId: string;
  readonly log: Logger;
}

/**
 * Notices that the clock of the coordinator's host was set, and moves all that is waited for with it, in one
 * transaction: nothing ends early or late for it.
 */
export class ClockSteps {
  readonly #deps: ClockStepsDeps;
  #failing = false;

  constructor(deps: ClockStepsDeps) {
    this.#deps = deps;
  }

  /** Looks until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!signal.aborted) {
      await clock.sleep(lookEveryMs, signal);
      const byMs = clock.behindMs;
      if (Math.abs(byMs) < stepMs) clock.follow(byMs);
      else this.#step(byMs);
    }
  }

  #step(byMs: number): void {
    const { clock, log } = this.#deps;
    try {
      this.#shift(byMs);
      this.#failing = false;
    } catch (error) {
      // The disk is full, say: the time of before goes on until it can be written.
      if (!this.#failing) log.error({ reason: messageOf(error) }, 'clock not followed yet');
      this.#failing = true;
      return;
    }
    if (Math.abs(byMs) < worthWordsMs) return;
    const bySeconds = Math.round(byMs / 1_000);
    const words =
      'the clock of this host was set, or the host slept: tokens and certificates end by it, waits go on as they were';
    log.warn({ bySeconds, now: new Date(clock.now()).toISOString() }, words);
  }

  #shift(byMs: number): void {
    const { clock, store, observed, installationId } = this.#deps;
    // First the clock and what is in memory: whoever is told of the transaction looks at all three.
    clock.follow(byMs);
    observed.shift(byMs);
    try {
      store.transact((tx) => {
        shiftAll(tx, byMs);
        // A run that finds none later than this can tell whether the clock was set back while there was none.
        const where = byMs > 0 ? 'ahead' : 'back';
        tx.event({
          type: 'coordinator.clock-set',
          objectId: installationId,
          objectName: 'coordinator',
          actionId: '',
          message: `the clock of its host was set ${where} by ${amount(Math.abs(byMs))}, or the host slept`,
        });
      });
    } catch (error) {
      clock.follow(-byMs);
      observed.shift(-byMs);
      throw error;
    }
  }
}

function shiftAll(tx: Transaction, byMs: number): void {
  for (const each of [...tx.containers.values()]) tx.containers.put(shiftedContainer(each, byMs));
  for (const each of [...tx.services.values()]) {
    const shifted = shiftedService(each, byMs);
    if (shifted !== null) tx.services.put(shifted);
  }
  for (const each of [...tx.nodes.values()]) {
    const shifted = shiftedNode(each, byMs);
    if (shifted !== null) tx.nodes.put(shifted);
  }
  for (const each of [...tx.actions.values()]) {
    const shifted = shiftedAction(each, byMs);
    if (shifted !== null) tx.actions.put(shifted);
  }
}
