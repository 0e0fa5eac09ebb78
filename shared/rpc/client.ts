import { createSecureContext } from 'node:tls';
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
import { coordinatorName, examine, type Trust } from './trust.ts';
import { unreachable } from './unreachable.ts';

/** Largest message either way. A snapshot of 10,000 targets has about 1 MB. */
export const maxMessageBytes = 16 * 1024 * 1024;

/**
 * Keep-alive notices a dead or frozen coordinator within three seconds, on idle connections too. The pings are
 * an agent's signs of life as well: see `pingVerb`.
 */
const connectionOptions: ChannelOptions = {
  'grpc.keepalive_time_ms': 1_000,
  'grpc.keepalive_timeout_ms': 2_000,
  'grpc.keepalive_permit_without_calls': 1,
  // A coordinator that restarts is away for half a second, and is looked for seven times a second; gRPC would look
  // again after one, and then 1.6. Whoever dials one that stays away pauses for longer between whole attempts.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 150,
  // Counts of every connection and call, which nobody asks for.
  'grpc.enable_channelz': 0,
};

export interface Address {
  /** `HOST:PORT`. */
  readonly address: string;
  /** Bearer token; sent with every call. It ends with the pin that the coordinator is known by. */
  readonly token: string;
}

/** What an agent shows of itself. Both PEM. */
export interface ClientCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** A coordinator as its clients know it. */
export interface Coordinator {
  /** `HOST:PORT`. */
  readonly address: string;
  readonly trust: Trust;
  /** Undefined: whoever calls shows a token. */
  readonly certificate?: ClientCertificate;
}

interface OpenDeps {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** How long it may take to find out why a coordinator is not let in. */
const examinationMs = 2_000;
const retryMs = 200;

/**
 * Opens a connection and waits until it works. Nothing is said on it unless the other side is the
 * coordinator that is trusted; throws COORDINATOR_NOT_TRUSTED if it is somebody else.
 *
 * grpc-js never gives up on a peer that accepts and then says nothing, so each attempt gets a channel
 * and a deadline of its own. The caller closes the channel.
 */
export async function openChannel(
  coordinator: Coordinator,
  { clock, timeoutMs }: OpenDeps,
  signal: AbortSignal,
): Promise<Channel> {
  signal.throwIfAborted();
  const { address, trust } = coordinator;
  const deadlineMs = clock.monotonic() + timeoutMs;
  const authorities =
    trust.kind === 'bundle' ? trust.pem : await authorityOf(coordinator, deadlineMs, clock, signal);
  const channel = channelTo(coordinator, authorities);
  using _abort = onAbort(signal, () => {
    channel.close();
  });
  try {
    const leftMs = Math.max(deadlineMs - clock.monotonic(), 1);
    await waitForChannelReady(channel, new Date(clock.now() + leftMs));
    return channel;
  } catch (error) {
    channel.close();
    if (signal.aborted) throw error;
    // gRPC does not say why; a look at who is there does.
    await examine(address, trust, { clock, timeoutMs: examinationMs }, signal);
    const words = 'it speaks TLS as the right one, and gRPC does not get through to it';
    throw unreachable(address, new Error(words, { cause: error }));
  }
}

/** The authority behind a pin. Waits for a coordinator that is not there yet, as gRPC does. */
async function authorityOf(
  { address, trust }: Coordinator,
  deadlineMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<string> {
  for (;;) {
    const leftMs = Math.max(deadlineMs - clock.monotonic(), 1);
    try {
      return await examine(address, trust, { clock, timeoutMs: leftMs }, signal);
    } catch (error) {
      const mayPass = error instanceof DomainError && error.kind === 'unavailable';
      if (signal.aborted || !mayPass || clock.monotonic() + retryMs >= deadlineMs) throw error;
    }
    await clock.sleep(retryMs, signal);
  }
}

function channelTo({ address, certificate }: Coordinator, authorities: string): Channel {
  const context = createSecureContext({
    ca: authorities,
    minVersion: 'TLSv1.2',
    ...(certificate && { cert: certificate.certificatePem, key: certificate.privateKeyPem }),
  });
  return createChannel(address, credentials.createFromSecureContext(context), {
    ...connectionOptions,
    'grpc.ssl_target_name_override': coordinatorName,
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.enable_retries': 0,
    // A channel of its own for each session: closing it then really closes the connection.
    'grpc.use_local_subchannel_pool': 1,
  });
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
