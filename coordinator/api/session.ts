import { DomainError } from '../../shared/errors.ts';
import type { Principal } from './call.ts';
import type { SessionTurns } from './session-turns.ts';

/** One message of a session, either way. */
export interface SessionMessage {
  message?: unknown;
}

/** What a session has of the stream that it is. */
export interface SessionLine {
  /** There may be something to say: it is asked for. Calls before that are merged into one. */
  wake(): void;
  /** Ends the session, for the first reason that is given. */
  close(reason: string): void;
}

/** Who opened a session, and its line. */
export interface SessionOpening {
  readonly principal: Principal;
  /** Address of the peer. */
  readonly peer: string;
  readonly line: SessionLine;
}

/** One session of an agent. Disposed of when its stream is over, however that ends. */
export interface Session<
  Request = SessionMessage,
  Response extends SessionMessage = SessionMessage,
> extends Disposable {
  /** How often to say something; 0: never for its own sake. */
  readonly heartbeatMs: number;
  /** The first thing to say. */
  welcome(): Response;
  /** The next thing to say; null: nothing. */
  next(): Response | null;
  /** Takes in one message. */
  receive(request: Request): void;
  /** The peer was heard of at a moment of the monotonic clock. */
  heard?(atMs: number): void;
}

/** A method whose calls are sessions. */
export interface SessionMethod<
  Request = SessionMessage,
  Response extends SessionMessage = SessionMessage,
> {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Lets a few say the first thing after their welcome at a time; they listen meanwhile. */
  readonly turns?: SessionTurns;
  heartbeat(): Response;
  /** Begins a session with what the peer said first; undefined: it ended without a word. Throws a refusal. */
  open(first: Request | undefined, opening: SessionOpening): Session<Request, Response>;
}

/** Why a session ended of which nothing was heard. */
export function silent(leaseMs: number): DomainError {
  return new DomainError('unavailable', `nothing was heard for ${leaseMs} ms`, {
    reason: 'LEASE_EXPIRED',
  });
}

/** What is said of a certificate that has expired: a clock may have. */
const expiredWords =
  "the certificate has expired, by the coordinator's clock: if that is wrong, set it; else the agent was away for " +
  'longer than certificates are good, and its host joins anew';

/** Why a session was cut, as its peer is told. */
export function cut(reason: string): DomainError {
  switch (reason) {
    case 'SESSION_REPLACED':
      return new DomainError('conflict', 'another session took the place of this one', { reason });
    case 'CERTIFICATE_EXPIRED':
      return new DomainError('unauthenticated', expiredWords, { reason });
    case 'AUTHORITY_RETIRED':
      return new DomainError(
        'unauthenticated',
        'the authority that signed the certificate is trusted no more',
        { reason },
      );
    case 'NODE_REMOVED':
      return new DomainError('unauthenticated', 'this node was removed', { reason });
    default:
      return new DomainError('unavailable', 'the coordinator is stopping', { reason });
  }
}
