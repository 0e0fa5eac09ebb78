import { connectivityState } from '@grpc/grpc-js';
import type { Channel } from 'nice-grpc';
import { Status, type ClientMiddleware, type Metadata } from 'nice-grpc-common';
import { abortable, ChildController } from '../shared/abort.ts';
import type { Clock } from '../shared/clock.ts';
import {
  ControlServiceDefinition,
  type ControlServiceClient,
} from '../shared/gen/fairlead/v1/control_service.ts';
import { authorizedClients, openChannel, type Address } from '../shared/rpc/client.ts';
import { trustOf } from '../shared/rpc/trust.ts';
import { FairleadError, toFairleadError } from './fairlead-error.ts';

/** What a single call may ask for besides nice-grpc's own options. */
export interface CallExtras {
  /** Longest time until the answer of a unary call; the client's default where not given. */
  readonly deadlineMs?: number;
}

/** Every RPC of the contract, typed. Failures are FairleadErrors. */
export type Control = ControlServiceClient<CallExtras>;

export interface ConnectionOptions {
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly connectTimeoutMs: number;
}

/**
 * A connection that mends itself: a call on a broken one first opens a new one, within the connect
 * timeout. Left to itself, grpc-js would wait up to two minutes after a long outage.
 */
export class Connection {
  /** Stays valid when the connection is replaced. */
  readonly control: Control;
  readonly #address: Address;
  readonly #options: ConnectionOptions;
  readonly #closing = new AbortController();
  #current: { readonly channel: Channel; readonly control: Control } | undefined;
  #dialing: Promise<Control> | undefined;

  constructor(address: Address, options: ConnectionOptions) {
    this.#address = address;
    this.#options = options;
    this.control = this.#forwarding();
  }

  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  /** Resolves when the connection works, opening a new one if need be. */
  async ready(signal: AbortSignal): Promise<void> {
    await this.#working(signal);
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the client was closed'));
    await this.#dialing?.catch(() => undefined);
    this.#current?.channel.close();
    this.#current = undefined;
  }

  async #working(signal: AbortSignal): Promise<Control> {
    signal.throwIfAborted();
    if (this.#current?.channel.getConnectivityState(false) === connectivityState.READY) {
      return this.#current.control;
    }
    this.#dialing ??= this.#dial().finally(() => {
      this.#dialing = undefined;
    });
    return await abortable(this.#dialing, signal);
  }

  async #dial(): Promise<Control> {
    const { clock, connectTimeoutMs, deadlineMs } = this.#options;
    this.#closing.signal.throwIfAborted();
    try {
      const { address, token } = this.#address;
      const channel = await openChannel(
        { address, trust: trustOf(token) },
        { clock, timeoutMs: connectTimeoutMs },
        this.#closing.signal,
      );
      this.#current?.channel.close();
      const control = authorizedClients(token)
        .use(failures(address))
        .use(deadlines(deadlineMs, clock))
        .create(ControlServiceDefinition, channel);
      this.#current = { channel, control };
      return control;
    } catch (error) {
      throw toFairleadError(error, this.#address.address);
    }
  }

  #forwarding(): Control {
    const methodOf = async (name: string, options: AnyOptions) => {
      const control = await this.#working(options.signal ?? new AbortController().signal);
      return (control as unknown as Record<string, AnyMethod>)[name] as AnyMethod;
    };
    const entries = Object.entries(ControlServiceDefinition.methods).map(([name, method]) => {
      const unary = async (request: unknown, options: AnyOptions = {}) => {
        const call = await methodOf(name, options);
        return await (call(request, options) as Promise<unknown>);
      };
      const streaming = async function* (request: unknown, options: AnyOptions = {}) {
        const call = await methodOf(name, options);
        yield* call(request, options) as AsyncIterable<unknown>;
      };
      return [name, method.responseStream ? streaming : unary];
    });
    return Object.fromEntries(entries) as Control;
  }
}

interface AnyOptions {
  readonly signal?: AbortSignal;
}
type AnyMethod = (request: unknown, options?: AnyOptions) => unknown;

/** Ends unary calls that are not answered in time; streams live as long as they are wanted. */
function deadlines(defaultMs: number, clock: Clock): ClientMiddleware<CallExtras> {
  return async function* (call, { deadlineMs = defaultMs, ...options }) {
    if (call.responseStream) return yield* call.next(call.request, options);
    using timer = new ChildController(options.signal ?? new AbortController().signal);
    let expired = false;
    void clock.sleep(deadlineMs, timer.signal).then(() => {
      if (timer.signal.aborted) return;
      expired = true;
      timer.abort();
    });
    try {
      return yield* call.next(call.request, { ...options, signal: timer.signal });
    } catch (error) {
      if (!expired) throw error;
      throw new FairleadError(
        Status.DEADLINE_EXCEEDED,
        `the coordinator did not answer ${call.method.path} within ${deadlineMs} ms`,
        { reason: 'DEADLINE_EXCEEDED', cause: error },
      );
    }
  };
}

/** Turns failed calls into FairleadErrors, with what their trailer says. */
function failures(address: string): ClientMiddleware {
  return async function* (call, options) {
    let trailer: Metadata | undefined;
    const onTrailer = (received: Metadata) => {
      trailer = received;
      options.onTrailer?.(received);
    };
    try {
      return yield* call.next(call.request, { ...options, onTrailer });
    } catch (error) {
      throw toFairleadError(error, address, trailer);
    }
  };
}
