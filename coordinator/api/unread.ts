import { constants, type ServerHttp2Stream } from 'node:http2';
import {
  ServerInterceptingCall,
  status,
  type Metadata as GrpcMetadata,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import type { Clock } from '../../shared/clock.ts';
import type { Credentials } from './authentication.ts';
import { certificateOf, type CertificateSigners } from './peer.ts';

/** How long whoever was answered before he was heard out may go on sending. */
const restMs = 1_000;

export interface UnreadDeps {
  /** Whether anybody is known by these. */
  readonly knows: (credentials: Credentials) => boolean;
  readonly signers: CertificateSigners;
  readonly clock: Clock;
  /** How long the one message of a call that is no stream may take to arrive. */
  readonly arrivalMs: number;
}

/**
 * Keeps strangers from having us hold what they send, and slow senders from holding a call open.
 *
 * Without it, a call is kept in memory until its message is whole, and only then anybody asks whose it is. It
 * has to be the first interceptor.
 */
export function readOnlyFromFriends(deps: UnreadDeps): ServerInterceptor {
  return ({ requestStream }, call) =>
    requestStream ? new ServerInterceptingCall(call) : new Arrival(call, deps);
}

/** A call whose message is on its way. A stranger's goes on without it: the gate refuses it at once. */
class Arrival extends ServerInterceptingCall {
  readonly #call: ServerInterceptingCallInterface;
  readonly #deps: UnreadDeps;
  #limit: Disposable | undefined;
  #isStranger = false;
  #hasEnded = false;

  constructor(call: ServerInterceptingCallInterface, deps: UnreadDeps) {
    super(call);
    this.#call = call;
    this.#deps = deps;
  }

  override start(listener: Parameters<ServerInterceptingCall['start']>[0]): void {
    super.start({
      onReceiveMetadata: (metadata) => {
        this.#examine(metadata);
        listener.onReceiveMetadata(metadata);
        if (!this.#isStranger) return;
        listener.onReceiveMessage({});
        listener.onReceiveHalfClose();
      },
      onReceiveMessage: (message) => {
        if (!this.#isStranger) listener.onReceiveMessage(message);
      },
      onReceiveHalfClose: () => {
        this.#hasEnded = true;
        this.#limit?.[Symbol.dispose]();
        if (!this.#isStranger) listener.onReceiveHalfClose();
      },
      onCancel: () => {
        this.#limit?.[Symbol.dispose]();
        listener.onCancel();
      },
    });
  }

  override sendStatus(...args: Parameters<ServerInterceptingCall['sendStatus']>): void {
    super.sendStatus(...args);
    if (this.#hasEnded) return;
    // Most have sent all by the time that they have the answer. grpc-js has no call for the others.
    const { stream } = this.#call as { readonly stream?: ServerHttp2Stream };
    const patience = this.#deps.clock.after(restMs, () => {
      stream?.close(constants.NGHTTP2_NO_ERROR);
    });
    stream?.once('close', () => {
      patience[Symbol.dispose]();
    });
  }

  #examine(metadata: GrpcMetadata): void {
    const { knows, signers, clock, arrivalMs } = this.#deps;
    const authorization = metadata.get('authorization')[0]?.toString();
    const peer = certificateOf(this.#call, signers);
    this.#isStranger = !knows({ authorization, peer });
    if (!this.#isStranger) {
      this.#limit = clock.after(arrivalMs, () => {
        this.#giveUp();
      });
    } else if (authorization !== undefined) {
      // Whoever becomes known from here on is a stranger in this call all the same.
      metadata.set('authorization', 'unknown');
    }
  }

  #giveUp(): void {
    const seconds = this.#deps.arrivalMs / 1_000;
    const details = `the request did not arrive as a whole within ${seconds} s`;
    this.sendStatus({ code: status.DEADLINE_EXCEEDED, details });
  }
}
