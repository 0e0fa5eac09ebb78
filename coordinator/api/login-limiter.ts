import type { Clock } from '../../shared/clock.ts';
import { DomainError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { FailureBudget } from '../identity/failure-budget.ts';

/** Between two lines of the log about failed logins. */
const logIntervalMs = 10_000;

export interface LoginLimiterDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Slows down who sends wrong tokens, by their address, and keeps them from filling the log.
 *
 * A right token is never refused for what others at the same address do: finding out takes microseconds,
 * and no secret can be guessed.
 */
export class LoginLimiter {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #budget = new FailureBudget();
  #unlogged = 0;
  #loggedAtMs = -Infinity;

  constructor({ clock, log }: LoginLimiterDeps) {
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Does what authenticates a caller, whose address is `peer` (`HOST:PORT`). Throws what that throws, or
   * 'exhausted' if there was too much of it.
   */
  guard<T>(peer: string, authenticate: () => T): T {
    try {
      return authenticate();
    } catch (error) {
      if (!(error instanceof DomainError) || error.kind !== 'unauthenticated') throw error;
      const address = peer.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
      const waitMs = this.#budget.fail(address, this.#clock.monotonic());
      if (waitMs === 0) throw error;
      this.#note(address);
      throw new DomainError(
        'exhausted',
        `too many wrong tokens came from ${address}; wait ${Math.ceil(waitMs / 1_000)} s, then try with the right one`,
        { reason: 'TOO_MANY_FAILED_LOGINS', cause: error },
      );
    }
  }

  #note(address: string): void {
    this.#unlogged++;
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#loggedAtMs < logIntervalMs) return;
    this.#log.warn({ address, refused: this.#unlogged }, 'logins fail too often');
    this.#loggedAtMs = nowMs;
    this.#unlogged = 0;
  }
}
