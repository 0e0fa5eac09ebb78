import { constants } from 'node:http2';
import { Metadata, status, type ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { Status } from 'nice-grpc-common';
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/logger.ts';
import { CallLog, type CallEnd } from './call-log.ts';
import type { Principal } from './call.ts';
import type { SessionGate } from './gate.ts';
import type { Lease, LeaseHolder, Leases } from './leases.ts';
import {
  certificateOf,
  refuseExcess,
  showsExpired,
  streamOf,
  type CertificateSigners,
} from './peer.ts';
import { letGo } from './session-codec.ts';
import {
  cut,
  silent,
  type Session,
  type SessionLine,
  type SessionMessage,
  type SessionMethod,
} from './session.ts';
import { shuttingDown, toStatus, trailersOf, type CallStatus } from './status.ts';

/** How long a peer whose session is over may take to hear of it: one that is revoked is cut within a second. */
const restMs = 500;
/** Clocks of timers are coarser than those that time is read from. */
const coarsenessMs = 1;

export interface SessionCallDeps {
  readonly gate: SessionGate;
  readonly signers: CertificateSigners;
  readonly leases: Pick<Leases, 'hold'>;
  /** How long the peer may be silent. */
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Those that are not over. */
  readonly calls: Set<SessionCall>;
  readonly stopping: AbortSignal;
}

/**
 * - `opening`: the peer has not said its first message
 * - `welcoming`: its welcome is on the way
 * - `in-line`: its first turn to be told something has not come
 * - `saying`: something is on the way to it, or it is looked whether there is more
 * - `quiet`: it was told everything
 */
type Phase = 'opening' | 'welcoming' | 'in-line' | 'saying' | 'quiet' | 'over';

/**
 * The coordinator's side of a two-way stream: says what is new as fast as the peer takes it, else a heartbeat now and
 * then; ends when the peer ends, falls silent for longer than its lease, or is cut.
 *
 * One object that hears what grpc-js, the lease and the session have to tell: there are thousands of calls.
 */
export class SessionCall implements SessionLine, LeaseHolder {
  readonly #method: SessionMethod;
  readonly #call: ServerInterceptingCallInterface;
  readonly #deps: SessionCallDeps;
  readonly #log: CallLog;
  #phase: Phase = 'opening';
  /** Since it was looked last. */
  #hasNews = false;
  #principal: Principal | null = null;
  #session: Session | null = null;
  #lease: Lease | null = null;
  /** Ends the session with the token that its certificate was made for. */
  #token: Disposable | null = null;
  #turn: Disposable | null = null;
  /** Of what is waited for: the first message, then the next heartbeat. */
  #timer: Disposable | null = null;
  #saidAtMs = 0;

  constructor(method: SessionMethod, call: ServerInterceptingCallInterface, deps: SessionCallDeps) {
    this.#method = method;
    this.#call = call;
    this.#deps = deps;
    this.#log = new CallLog({ path: method.path, readOnly: false, peer: call.getPeer() }, deps);
    deps.calls.add(this);
  }

  onReceiveMetadata(metadata: Metadata): void {
    const { clock, leaseMs, calls } = this.#deps;
    if (refuseExcess(metadata, this.#call)) {
      this.#phase = 'over';
      calls.delete(this);
      return;
    }
    try {
      this.#principal = this.#admit(metadata);
    } catch (error) {
      this.end(error);
      return;
    }
    this.#token = this.#deps.gate.follow(this.#principal, (error) => {
      this.end(error);
    });
    // A stream that was opened and left costs memory for nothing.
    this.#timer = clock.after(leaseMs, () => {
      this.silent();
    });
    this.#call.startRead();
  }

  onReceiveMessage(message: SessionMessage): void {
    if (this.#phase === 'over') return;
    try {
      this.#take(message);
    } catch (error) {
      this.end(error);
      return;
    }
    letGo(message);
    letGoOfBytes(this.#call);
    this.#call.startRead();
  }

  onReceiveHalfClose(): void {
    if (this.#phase !== 'opening') {
      this.end();
      return;
    }
    try {
      this.#open(undefined);
    } catch (error) {
      this.end(error);
    }
  }

  onCancel(): void {
    if (this.#phase !== 'over') this.#over({ code: Status.CANCELLED });
  }

  wake(): void {
    this.#hasNews = true;
    if (this.#phase !== 'quiet') return;
    this.#phase = 'saying';
    this.#lookSoon();
  }

  close(reason: string): void {
    // Whoever closes it is about to do more, and does not reckon with what that leads to.
    queueMicrotask(() => {
      this.end(cut(reason));
    });
  }

  heard(atMs: number): void {
    this.#session?.heard?.(atMs);
  }

  silent(): void {
    this.end(silent(this.#deps.leaseMs));
  }

  outlived(): void {
    this.end(cut('CERTIFICATE_EXPIRED'));
  }

  /** Ends it; the peer is told why, unless it ended itself. */
  end(error?: unknown): void {
    if (this.#phase === 'over') return;
    const end = error === undefined ? ended : toStatus(error);
    const { code, message: details } = end;
    this.#over(end.expected ? { code } : { code, bug: error });
    const metadata = new Metadata();
    for (const [name, value] of trailersOf(end)) {
      metadata.set(name, typeof value === 'string' ? value : Buffer.from(value));
    }
    this.#limitRest();
    this.#call.sendStatus({ code: grpcCodeOf(code), details, metadata });
  }

  #admit(metadata: Metadata): Principal {
    const { gate, signers, stopping } = this.#deps;
    if (stopping.aborted) throw shuttingDown();
    const authorization = metadata.get('authorization')[0]?.toString();
    const peer = certificateOf(this.#call, signers);
    if (peer === null && authorization === undefined && showsExpired(this.#call)) {
      throw cut('CERTIFICATE_EXPIRED');
    }
    const credentials = { authorization, peer };
    const { path } = this.#method;
    return gate.admit({ path, peer: this.#call.getPeer(), credentials }, this.#log.record);
  }

  #take(message: SessionMessage): void {
    if (this.#session === null) {
      this.#open(message);
      return;
    }
    this.#lease?.renew();
    this.#session.receive(message);
  }

  #open(first: SessionMessage | undefined): void {
    const principal = this.#principal;
    if (principal === null) return;
    this.#stopTimer();
    this.#principal = null;
    const peer = this.#call.getPeer();
    const session = this.#method.open(first, { principal, peer, line: this });
    this.#session = session;
    const { leases, leaseMs } = this.#deps;
    const validToMs = principal.certificate?.validToMs ?? Infinity;
    this.#lease = leases.hold({ peer, leaseMs, validToMs }, this);
    if (session.heartbeatMs > 0) this.#beatIn(session.heartbeatMs);
    this.#phase = 'welcoming';
    this.#say(session.welcome());
  }

  #say(message: SessionMessage): void {
    this.#call.sendMessage(message, () => {
      this.#said();
    });
  }

  /** The peer took it, as far as the connection knows. */
  #said(): void {
    if (this.#phase === 'over') return;
    if ((this.#session?.heartbeatMs ?? 0) > 0) this.#saidAtMs = this.#deps.clock.monotonic();
    const { turns } = this.#method;
    if (this.#phase === 'welcoming' && turns !== undefined) {
      this.#phase = 'in-line';
      this.#turn = turns.take(() => {
        if (this.#phase !== 'in-line') return;
        this.#phase = 'saying';
        this.#lookSoon();
      });
      return;
    }
    this.#endTurn();
    this.#phase = 'saying';
    this.#look();
  }

  #lookSoon(): void {
    queueMicrotask(() => {
      this.#look();
    });
  }

  #look(): void {
    if (this.#phase !== 'saying' || this.#session === null) return;
    try {
      do {
        this.#hasNews = false;
        const message = this.#session.next();
        if (message !== null) {
          this.#say(message);
          return;
        }
      } while (this.#hasNews);
    } catch (error) {
      this.end(error);
      return;
    }
    this.#endTurn();
    this.#phase = 'quiet';
  }

  #beatIn(ms: number): void {
    const { clock } = this.#deps;
    this.#timer = clock.after(ms, () => {
      const everyMs = this.#session?.heartbeatMs ?? ms;
      // Whoever does not take what is on the way is not sent more.
      const saidAtMs = this.#phase === 'quiet' ? this.#saidAtMs : clock.monotonic();
      const leftMs = saidAtMs + everyMs - clock.monotonic();
      if (leftMs > coarsenessMs) {
        this.#beatIn(leftMs);
        return;
      }
      this.#beatIn(everyMs);
      this.#phase = 'saying';
      this.#say(this.#method.heartbeat());
    });
  }

  #endTurn(): void {
    this.#turn?.[Symbol.dispose]();
    this.#turn = null;
  }

  #stopTimer(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = null;
  }

  /** Whoever takes nothing would never hear of the end, and keep the stream. */
  #limitRest(): void {
    const stream = streamOf(this.#call);
    const patience = this.#deps.clock.after(restMs, () => {
      stream?.close(constants.NGHTTP2_CANCEL);
    });
    stream?.once('close', () => {
      patience[Symbol.dispose]();
    });
  }

  #over(end: CallEnd): void {
    this.#phase = 'over';
    this.#deps.calls.delete(this);
    this.#stopTimer();
    this.#endTurn();
    this.#token?.[Symbol.dispose]();
    this.#lease?.[Symbol.dispose]();
    let { bug } = end;
    try {
      this.#session?.[Symbol.dispose]();
    } catch (error) {
      bug ??= error;
    }
    this.#session = null;
    this.#log.end({ code: end.code, bug });
  }
}

/** What a peer is told that ended its session itself. */
const ended: CallStatus = {
  ...{ code: Status.OK, message: 'OK', reason: '' },
  ...{ details: undefined, expected: true },
};

/** The same under the name that grpc-js has for it. */
function grpcCodeOf(code: Status): status {
  return status[Status[code] as keyof typeof status];
}

const noBytes = Buffer.alloc(1);

/** grpc-js keeps the bytes of the last message until the next one comes, and has no call for it. */
function letGoOfBytes(call: ServerInterceptingCallInterface): void {
  const { decoder } = call as {
    readonly decoder?: {
      readonly readState: number;
      readCompressFlag: Buffer;
      readPartialMessage: readonly Buffer[];
    };
  };
  if (decoder?.readState !== 0) return;
  decoder.readCompressFlag = noBytes;
  decoder.readPartialMessage = [];
}
