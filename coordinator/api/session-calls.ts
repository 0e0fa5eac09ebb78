import { ServerInterceptingCall, type ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { onAbort } from '../../shared/abort.ts';
import { SessionCall, type SessionCallDeps } from './session-call.ts';
import type { SessionMethod } from './session.ts';
import { shuttingDown } from './status.ts';

/** Which methods are sessions, and what stands before them. */
export interface SessionsOptions extends Pick<SessionCallDeps, 'gate' | 'leases' | 'leaseMs'> {
  readonly methods: readonly SessionMethod[];
}

type SessionsDeps = SessionsOptions & Pick<SessionCallDeps, 'signers' | 'clock' | 'log'>;

/**
 * Answers the streams of agents, at grpc-js itself: each of them is there for as long as its agent is, and what
 * stands before other calls holds several times as much of each as the stream does.
 *
 * What holds for other calls holds for these: the gate, the statuses of errors, the log, the end of all streams
 * when the server stops.
 */
export class SessionCalls {
  readonly #deps: SessionCallDeps;
  readonly #methods: ReadonlyMap<string, SessionMethod>;
  readonly #calls = new Set<SessionCall>();

  constructor({ methods, ...deps }: SessionsDeps, stopping: AbortSignal) {
    this.#deps = { ...deps, stopping, calls: this.#calls };
    this.#methods = new Map(methods.map((method) => [method.path, method]));
    onAbort(stopping, () => {
      for (const call of this.#calls) call.end(shuttingDown());
    });
  }

  /** Answers a call, of which nobody else hears, if it is a session. */
  take(path: string, call: ServerInterceptingCallInterface): ServerInterceptingCall | null {
    const method = this.#methods.get(path);
    if (method === undefined) return null;
    call.start(new SessionCall(method, call, this.#deps));
    return new Taken(call);
  }
}

/** What the handler that grpc-js has for the method is given: nothing ever comes of it. */
class Taken extends ServerInterceptingCall {
  override start(): void {
    // It was.
  }
}
