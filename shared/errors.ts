/** What a caller can do about a failure; `coordinator/api/status.ts` maps each to a gRPC status. */
export type ErrorKind =
  | 'invalid'
  | 'not-found'
  | 'already-exists'
  | 'conflict'
  | 'precondition'
  | 'exhausted'
  | 'unauthenticated'
  | 'forbidden'
  | 'unavailable'
  | 'out-of-range'
  | 'unimplemented';

/** One field of a request that breaks a rule. */
export interface FieldViolation {
  /** Path from the request's root in proto field names: `spec.ports[0].container_port`. */
  readonly field: string;
  /** The rule, in words that say what would be right. */
  readonly rule: string;
}

export interface DomainErrorOptions {
  /** Stable name in UPPER_SNAKE that scripts may rely on; all are listed in docs/protocol.md. */
  readonly reason: string;
  readonly violations?: readonly FieldViolation[];
  readonly cause?: unknown;
}

/**
 * An expected failure, in words for the user: what is wrong, why, what to do.
 *
 * Anything else that is thrown is a bug, is logged once, and reaches callers as 'internal error'.
 */
export class DomainError extends Error {
  override readonly name = 'DomainError';
  readonly kind: ErrorKind;
  readonly reason: string;
  readonly violations: readonly FieldViolation[];

  constructor(kind: ErrorKind, message: string, options: DomainErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.reason = options.reason;
    this.violations = options.violations ?? [];
  }
}

/** The words of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
