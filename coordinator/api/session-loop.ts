import { onAbort, type ChildController } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError } from '../../shared/errors.ts';
import type { Limiter } from '../../shared/limiter.ts';
import type { Wakeup } from '../../shared/wakeup.ts';
import type { Lease, Leases } from './leases.ts';
import { letGo, type SessionMessage } from './session-codec.ts';

export interface SessionLoop<Request extends SessionMessage, Response> {
  readonly requests: AsyncIterator<Request>;
  /** Woken when there may be something to say. */
  readonly wakeup: Wakeup;
  readonly leases: Leases;
  readonly leaseMs: number;
  /** Address of the peer. */
  readonly peer: string;
  /** Told that the peer was heard of, at a moment of the monotonic clock. */
  readonly onHeard?: ((atMs: number) => void) | undefined;
  /** How often to say something; 0: never for its own sake. */
  readonly heartbeatMs: number;
  readonly clock: Clock;
  /** Lets so many sessions say their first and largest thing at a time; they listen meanwhile. */
  readonly turns?: Limiter | undefined;
  /** The next thing to say; null: nothing. */
  readonly next: () => Response | null;
  readonly heartbeat: () => Response;
  /** Takes in one message. */
  readonly receive: (request: Request) => void;
}

/**
 * The coordinator's side of a two-way stream: says what is new as fast as the peer takes it, else a
 * heartbeat now and then; ends when the peer ends, falls silent for longer than its lease, or is cut.
 */
export async function* sessionLoop<Request extends SessionMessage, Response>(
  loop: SessionLoop<Request, Response>,
  controller: ChildController,
): AsyncGenerator<Response> {
  const { leases, peer, leaseMs } = loop;
  const { signal } = controller;
  let failure: unknown;
  const end = (reason?: unknown) => {
    failure ??= reason;
    controller.abort();
  };
  using lease = leases.hold({
    ...{ peer, leaseMs, onHeard: loop.onHeard },
    onExpired: () => {
      end(silent(leaseMs));
    },
  });
  void receiveAll(loop, lease, signal).then(end, end);
  if (loop.turns !== undefined) yield* firstInTurn(loop, loop.turns, signal);
  while (!signal.aborted) {
    const message = loop.next();
    if (message !== null) {
      yield message;
      continue;
    }
    const woken = await somethingToSay(loop, signal);
    if (!woken && !signal.aborted) yield loop.heartbeat();
  }
  if (failure !== undefined) throw failure as Error;
}

/** One that takes long to hear it holds up the others for a moment only. */
const turnMs = 50;

/**
 * Says the first thing when it is this session's turn. A crowd that comes back at once would have all of them in
 * memory together, and what that takes is never all given back.
 */
async function* firstInTurn<Request extends SessionMessage, Response>(
  { next, clock }: SessionLoop<Request, Response>,
  turns: Limiter,
  signal: AbortSignal,
): AsyncGenerator<Response> {
  const turn = await turns.acquire(signal).catch(() => null);
  if (turn === null) return;
  using _limit = clock.after(turnMs, () => {
    turn[Symbol.dispose]();
  });
  try {
    const message = next();
    if (message !== null) yield message;
  } finally {
    // Not before all else was heard that has come in meanwhile: a crowd's would follow each other without a gap.
    setImmediate(() => {
      turn[Symbol.dispose]();
    });
  }
}

/** False: it is time for a heartbeat. */
async function somethingToSay<Request extends SessionMessage, Response>(
  { wakeup, heartbeatMs, clock }: SessionLoop<Request, Response>,
  signal: AbortSignal,
): Promise<boolean> {
  if (heartbeatMs > 0) return await wakeup.waitFor(heartbeatMs, clock, signal);
  await wakeup.wait(signal);
  return true;
}

async function receiveAll<Request extends SessionMessage, Response>(
  { requests, receive }: SessionLoop<Request, Response>,
  lease: Pick<Lease, 'renew'>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const next = await requests.next();
    if (next.done === true) return;
    lease.renew();
    receive(next.value);
    letGo(next.value);
  }
}

/**
 * The first message of a peer. Throws 'unavailable' if it says nothing for as long as its lease: a stream
 * that was opened and left costs memory for nothing.
 */
export async function firstRequest<Request>(
  requests: AsyncIterator<Request>,
  { clock, leaseMs }: { readonly clock: Clock; readonly leaseMs: number },
  signal: AbortSignal,
): Promise<Request | undefined> {
  const first = requests.next();
  return await new Promise<Request | undefined>((resolve, reject) => {
    const timer = clock.after(leaseMs, () => {
      reject(silent(leaseMs));
    });
    const subscription = onAbort(signal, () => {
      resolve(undefined);
    });
    // Heard too late, it is heard by nobody.
    first
      .then(({ done, value }) => {
        resolve(done === true ? undefined : value);
      }, reject)
      .finally(() => {
        timer[Symbol.dispose]();
        subscription[Symbol.dispose]();
      });
  });
}

function silent(leaseMs: number): DomainError {
  return new DomainError('unavailable', `nothing was heard for ${leaseMs} ms`, {
    reason: 'LEASE_EXPIRED',
  });
}

/** Why a session was cut, as its peer is told. */
export function cut(reason: string): DomainError {
  switch (reason) {
    case 'SESSION_REPLACED':
      return new DomainError('conflict', 'another session took the place of this one', { reason });
    case 'CERTIFICATE_EXPIRED':
      return new DomainError('unauthenticated', 'the certificate has expired', { reason });
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
