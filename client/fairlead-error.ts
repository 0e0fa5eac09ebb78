import { ClientError, Metadata, Status } from 'nice-grpc-common';
import { DomainError, type ErrorKind, type FieldViolation } from '../shared/errors.ts';
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

/** What may go wrong before a call is made: nobody answers, or somebody who is not trusted. */
const localFailures: ReadonlyMap<ErrorKind, Status> = new Map([
  ['unavailable', Status.UNAVAILABLE],
  ['unauthenticated', Status.UNAUTHENTICATED],
  ['precondition', Status.FAILED_PRECONDITION],
]);

/** What a call threw, as a FairleadError; anything that is not a failed call stays what it is. */
export function toFairleadError(
  error: unknown,
  address: string,
  trailer: Metadata = Metadata(),
): unknown {
  const status = error instanceof DomainError ? localFailures.get(error.kind) : undefined;
  if (error instanceof DomainError && status !== undefined) {
    return new FairleadError(status, error.message, { reason: error.reason, cause: error });
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
