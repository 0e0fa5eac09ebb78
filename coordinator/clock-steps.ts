import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/logger.ts';

/** Less is what clocks are corrected by all the time. */
const stepMs = 60_000;
const lookEveryMs = 5_000;

export interface ClockStepsDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

/** Says when the clock of the coordinator's host is set: what ends by it may do so early or late. */
export class ClockSteps {
  readonly #deps: ClockStepsDeps;

  constructor(deps: ClockStepsDeps) {
    this.#deps = deps;
  }

  /** Looks until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const offsetMs = () => clock.now() - clock.monotonic();
    let lastMs = offsetMs();
    while (!signal.aborted) {
      await clock.sleep(lookEveryMs, signal);
      const byMs = offsetMs() - lastMs;
      if (Math.abs(byMs) < stepMs) continue;
      lastMs += byMs;
      const bySeconds = Math.round(byMs / 1_000);
      const words =
        'the clock of this host was set, or the host slept: tokens, certificates and waits end by it';
      log.warn({ bySeconds, now: new Date(clock.now()).toISOString() }, words);
    }
  }
}
