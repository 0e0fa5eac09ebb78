import { ServerError, Status, type CallContext, type ServerMiddleware } from 'nice-grpc-common';
import { systemClock, type Clock } from '../../shared/clock.ts';
import { DomainError, type ErrorKind } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { CallLog, type CallEnd, type CallRecordContext } from './call-log.ts';
import { encodeRpcStatus } from './rpc-details.ts';

/** What a caller is told of a failure. */
export interface CallStatus {
  readonly code: Status;
  readonly message: string;
  /** Stable name in UPPER_SNAKE; empty where there is none. */
  readonly reason: string;
  /** An encoded google.rpc.Status. */
  readonly details: Uint8Array | undefined;
  /** False: a bug, of which the caller is told nothing. */
  readonly expected: boolean;
}

/** The only place where a kind of error becomes a status. */
const codes: Readonly<Record<ErrorKind, Status>> = {
  invalid: Status.INVALID_ARGUMENT,
  'not-found': Status.NOT_FOUND,
  'already-exists': Status.ALREADY_EXISTS,
  conflict: Status.ABORTED,
  precondition: Status.FAILED_PRECONDITION,
  exhausted: Status.RESOURCE_EXHAUSTED,
  unauthenticated: Status.UNAUTHENTICATED,
  forbidden: Status.PERMISSION_DENIED,
  unavailable: Status.UNAVAILABLE,
  'out-of-range': Status.OUT_OF_RANGE,
  unimplemented: Status.UNIMPLEMENTED,
};

/** Trailers must stay below 8 KB in all, and the message is in them twice. */
const maxMessageBytes = 1_500;

/** What a caller is told of anything that was thrown. */
export function toStatus(error: unknown): CallStatus {
  if (error instanceof DomainError) {
    const { reason, violations } = error;
    const code = codes[error.kind];
    const message = shorten(error.message);
    const details = encodeRpcStatus({ code, message, reason, violations });
    return { code, message, reason, details, expected: true };
  }
  // From services that are not ours: health, reflection.
  if (error instanceof ServerError) {
    const message = shorten(error.details);
    return { code: error.code, message, reason: '', details: undefined, expected: true };
  }
  return error instanceof Error && error.name === 'AbortError' ? cancelled : bug;
}

const cancelled: CallStatus = {
  code: Status.CANCELLED,
  message: 'the call was cancelled',
  reason: 'CANCELLED',
  details: undefined,
  expected: true,
};

const bug: CallStatus = {
  code: Status.INTERNAL,
  message: 'internal error',
  reason: 'INTERNAL',
  details: undefined,
  expected: false,
};

/**
 * Makes whatever a handler throws a standard error with details, and logs one line for each call that
 * is over. It goes in front of all other middleware, which may fill in `context.record`.
 */
export function errorMiddleware(
  log: Logger,
  clock: Clock = systemClock,
): ServerMiddleware<CallRecordContext> {
  return async function* (call, context) {
    const { path, options } = call.method;
    const readOnly = options.idempotencyLevel === 'NO_SIDE_EFFECTS' || path.startsWith('/grpc.');
    const callLog = new CallLog({ path, readOnly, peer: context.peer }, { log, clock });
    // Stays so if the reader of a stream goes away while we wait for it to take the next message.
    let end: CallEnd = { code: Status.CANCELLED };
    try {
      const response = yield* call.next(call.request, { ...context, record: callLog.record });
      if (!context.signal.aborted) end = { code: Status.OK };
      return response;
    } catch (error) {
      const status = context.signal.aborted ? cancelled : toStatus(error);
      end = status.expected ? { code: status.code } : { code: status.code, bug: error };
      throw toServerError(status, context);
    } finally {
      callLog.end(end);
    }
  };
}

function toServerError(status: CallStatus, { trailer }: CallContext): ServerError {
  for (const [name, value] of trailersOf(status)) trailer.set(name, value);
  return new ServerError(status.code, status.message);
}

/** What goes with a status to the caller. */
export function* trailersOf({
  reason,
  details,
}: CallStatus): Generator<readonly [name: string, value: string | Uint8Array]> {
  if (reason !== '') yield ['error-reason', reason];
  if (details !== undefined) yield ['grpc-status-details-bin', details];
}

/** What whoever has a stream is told when the server stops. */
export function shuttingDown(): DomainError {
  return new DomainError('unavailable', 'the coordinator is stopping; try again in a moment', {
    reason: 'SHUTTING_DOWN',
  });
}

/** Cuts a message where its form in a header, with other than ASCII escaped, gets too long. */
function shorten(message: string): string {
  let bytes = 0;
  let end = 0;
  for (const character of message) {
    bytes += character.length === 1 && character < '\x80' ? 1 : 12;
    if (bytes > maxMessageBytes) return `${message.slice(0, end)}…`;
    end += character.length;
  }
  return message;
}
