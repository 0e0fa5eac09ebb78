import { Status } from 'nice-grpc-common';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';

/** What the log says of a call besides how it ended; whoever learns more of it fills it in. */
export interface CallRecord {
  /** What the caller's token is called. */
  principal: string | undefined;
}

/** Given to every handler and middleware behind the one that logs. */
export interface CallRecordContext {
  readonly record: CallRecord;
}

export interface CallLogDeps {
  readonly log: Logger;
  readonly clock: Clock;
}

export interface CallDescription {
  /** Address of the caller. */
  readonly peer: string;
  /** `/package.Service/Method`. */
  readonly path: string;
  /** A call that can change nothing is logged at debug unless it fails. */
  readonly readOnly: boolean;
}

export interface CallEnd {
  readonly code: Status;
  /** Set if it failed for a reason that is a bug. */
  readonly bug?: unknown;
}

/** Writes one line for a call when it is over. */
export class CallLog {
  readonly record: CallRecord = { principal: undefined };
  readonly #deps: CallLogDeps;
  readonly #call: CallDescription;
  readonly #startedAt: number;

  constructor(call: CallDescription, deps: CallLogDeps) {
    this.#call = call;
    this.#deps = deps;
    this.#startedAt = deps.clock.monotonic();
  }

  end({ code, bug }: CallEnd): void {
    const { log, clock } = this.#deps;
    const { path, readOnly, peer } = this.#call;
    const ms = Math.round((clock.monotonic() - this.#startedAt) * 10) / 10;
    const { principal } = this.record;
    const fields = {
      ...{ method: path, code: Status[code], ms },
      ...(principal && { principal }),
      peer,
    };
    if (bug !== undefined) log.error({ ...fields, err: bug }, 'call failed');
    else if ((readOnly && code === Status.OK) || code === Status.RESOURCE_EXHAUSTED) {
      // What is too much is too much for the log as well.
      log.debug(fields, 'call finished');
    } else log.info(fields, 'call finished');
  }
}
