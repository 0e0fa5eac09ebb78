import { credentials, type ChannelOptions } from '@grpc/grpc-js';
import {
  createChannel,
  createClientFactory,
  waitForChannelReady,
  type Channel,
  type ClientMiddleware,
} from 'nice-grpc';
import { Metadata as CallMetadata } from 'nice-grpc-common';
import { onAbort } from '../abort.ts';
import { DomainError } from '../errors.ts';
import type { Clock } from '../clock.ts';

/** Largest message either way. A snapshot of 10,000 targets has about 1 MB. */
export const maxMessageBytes = 16 * 1024 * 1024;

/** Keep-alive notices a dead or frozen peer within three seconds, on idle connections too. */
export const keepaliveOptions: ChannelOptions = {
  'grpc.keepalive_time_ms': 2_000,
  'grpc.keepalive_timeout_ms': 1_000,
  'grpc.keepalive_permit_without_calls': 1,
};

export interface Address {
  /** `HOST:PORT`. */
  readonly address: string;
  /** Bearer token; sent with every call. */
  readonly token: string;
}

/**
 * Opens a connection and waits until it works.
 *
 * grpc-js never gives up on a peer that accepts and then says nothing, so each attempt gets a channel
 * and a deadline of its own. The caller closes the channel.
 */
export async function openChannel(
  { address }: Pick<Address, 'address'>,
  { clock, timeoutMs }: { readonly clock: Clock; readonly timeoutMs: number },
  signal: AbortSignal,
): Promise<Channel> {
  signal.throwIfAborted();
  const channel = createChannel(address, credentials.createInsecure(), {
    ...keepaliveOptions,
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.enable_retries': 0,
    // A channel of its own for each session: closing it then really closes the connection.
    'grpc.use_local_subchannel_pool': 1,
  });
  using _abort = onAbort(signal, () => {
    channel.close();
  });
  try {
    await waitForChannelReady(channel, new Date(clock.now() + timeoutMs));
    return channel;
  } catch (error) {
    channel.close();
    if (signal.aborted) throw error;
    throw new DomainError('unavailable', `no coordinator answers at ${address}`, {
      reason: 'COORDINATOR_UNREACHABLE',
      cause: error,
    });
  }
}

/** A client factory that sends `Authorization: Bearer TOKEN` with every call. */
export function authorizedClients(token: string) {
  const authorize: ClientMiddleware = async function* (call, options) {
    const metadata = CallMetadata(options.metadata);
    metadata.set('authorization', `Bearer ${token}`);
    return yield* call.next(call.request, { ...options, metadata });
  };
  return createClientFactory().use(authorize);
}
