import type { KnownServer } from '../../../agent/proxy/server-state.ts';
import type { ServerNotices } from '../support/server-notices.ts';

/** A real engine container that is killed again and again, and what its servers in HAProxy are called. */
export interface Subject {
  readonly engineId: string;
  /** Matches the names of its servers. */
  readonly serverName: RegExp;
  /** By the monotonic clock; the engine restarts at once only what has run for a while. */
  startedAtMs: number;
}

/** One way from the engine to an HAProxy: Fairlead, or the floor that it is compared with. */
export interface Side {
  readonly name: 'fairlead' | 'floor';
  readonly subjects: readonly Subject[];
  /** What its HAProxy writes on servers. */
  readonly notices: ServerNotices;
  /** Gives HAProxy so many servers, all but the subjects simulated; resolves when it has them. */
  resize(backends: number, signal: AbortSignal): Promise<void>;
  /** Asks HAProxy's runtime socket. */
  servers(): Promise<KnownServer[]>;
}
