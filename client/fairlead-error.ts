import { ClientError, Metadata, Status } from 'nice-grpc-common';
import { DomainError, type FieldViolation } from '../shared/errors.ts';
import { violationsOf } from './status-details.ts';

export interface FairleadErrorOptions {
  /** Stable name in UPPER_SNAKE that scripts may rely on; all are listed in docs/protocol.md. */
  readonly reason?: string;
  readonly violations?: readonly FieldViolation[];
  readonly cause?: unknown;
}

/** A call that failed: what is wrong, why, and the fields at fault, as the coordinator says. */
export class FairleadError extends Error {
  override readonly name = 'FairleadError';
  readonly code: Status;
  /** Stable name of what went wrong; empty if the coordinator gave none. */
  readonly reason: string;
  readonly violations: readonly FieldViolation[];

  constructor(code: Status, message: string, options: FairleadErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.reason = options.reason ?? '';
    this.violations = options.violations ?? [];
  }
}

/** True for a failure of the way to the coordinator, or of one that is stopping: try again. */
export function isTransient(error: unknown): boolean {
  return error instanceof FairleadError && transientCodes.has(error.code);
}

// RESOURCE_EXHAUSTED: a reader that was too slow for a watch was cut, and is to start again.
const transientCodes: ReadonlySet<Status> = new Set([
  Status.UNAVAILABLE,
  Status.DEADLINE_EXCEEDED,
  Status.CANCELLED,
  Status.ABORTED,
  Status.INTERNAL,
  Status.UNKNOWN,
  Status.RESOURCE_EXHAUSTED,
]);

/** What a call threw, as a FairleadError; anything that is not a failed call stays what it is. */
export function toFairleadError(
  error: unknown,
  address: string,
  trailer: Metadata = Metadata(),
): unknown {
  if (error instanceof DomainError && error.kind === 'unavailable') {
    return new FairleadError(Status.UNAVAILABLE, error.message, {
      reason: error.reason,
      cause: error,
    });
  }
  if (!(error instanceof ClientError)) return error;
  const reason = trailer.get('error-reason');
  const details = trailer.get('grpc-status-details-bin');
  if (error.code === Status.UNAVAILABLE && reason === undefined) {
    return new FairleadError(
      error.code,
      `the connection to the coordinator at ${address} is lost: ${error.details}`,
      { reason: 'COORDINATOR_UNREACHABLE', cause: error },
    );
  }
  return new FairleadError(error.code, error.details, {
    reason: reason ?? '',
    violations: violationsOf(details),
    cause: error,
  });
}
