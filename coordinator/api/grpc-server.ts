import type { ServerCredentials, ServerInterceptor } from '@grpc/grpc-js';
import { createServer, type Server } from 'nice-grpc';
import type { ServerMiddleware } from 'nice-grpc-common';
import { HealthDefinition, HealthServiceImpl, HealthState } from 'nice-grpc-server-health';
import { ChildController, onAbort } from '../../shared/abort.ts';
import { systemClock, type Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import { AgentServiceDefinition } from '../../shared/gen/fairlead/v1/agent_service.ts';
import { ControlServiceDefinition } from '../../shared/gen/fairlead/v1/control_service.ts';
import { ProxyServiceDefinition } from '../../shared/gen/fairlead/v1/proxy_service.ts';
import type { Logger } from '../../shared/logger.ts';
import { maxMessageBytes } from '../../shared/rpc/client.ts';
import type { CallRecordContext } from './call-log.ts';
import { connectionOptions } from './connection-options.ts';
import type { Connections } from './connections.ts';
import type { Gate, PrincipalContext } from './gate.ts';
import { noticePlainText } from './plain-text.ts';
import { tellPeer, type CertificateSigners } from './peer.ts';
import { Reflection, reflectionDefinitions } from './reflection.ts';
import { SessionCalls, type SessionsOptions } from './session-calls.ts';
import { errorMiddleware, shuttingDown } from './status.ts';
import { readOnlyFromFriends, type UnreadDeps } from './unread.ts';

const maxRequestBytes = 4 * 1024 * 1024;
const maxStreamsPerConnection = 1_000;
const defaultArrivalMs = 30_000;
/** Clients of gRPC dial again by themselves when they have something to ask. */
const defaultIdleMs = 300_000;
/** How long calls that are no streams may finish when the server stops. */
const drainMs = 2_000;

/** The services of the contract. */
const contractServices = [
  AgentServiceDefinition.fullName,
  ControlServiceDefinition.fullName,
  ProxyServiceDefinition.fullName,
];

/** Where services are added, each with middleware of its own if it needs any. */
export type GrpcServices = Pick<Server<CallRecordContext & PrincipalContext>, 'with' | 'add'>;

export interface GrpcServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly credentials: ServerCredentials;
  readonly signers: CertificateSigners;
  /** Adds the services; called once, before the server listens. */
  readonly services: (server: GrpcServices) => void;
  /** Methods that are sessions of agents; nothing that the others go through stands before them. */
  readonly sessions?: SessionsOptions;
  readonly gate: Gate;
  readonly knows: UnreadDeps['knows'];
  /** Are told of every connection to this server. */
  readonly connections: Connections;
  readonly log: Logger;
  readonly clock?: Clock;
  /** How long a request that is no stream may take to arrive as a whole; 30 seconds if left out. */
  readonly arrivalMs?: number;
  /** How long a connection is kept on which nothing is asked; five minutes if left out. */
  readonly idleMs?: number;
}

/** A server that listens. */
export interface RunningServer {
  readonly port: number;
  /** Resolves when the signal has aborted and all is closed. */
  readonly closed: Promise<void>;
}

/**
 * Serves gRPC until the signal aborts; then streams end with UNAVAILABLE, other calls get two seconds.
 *
 * Every call goes through `errorMiddleware` first. Then comes the gate, also before reflection and the
 * standard health service.
 */
export async function serveGrpc(
  options: GrpcServerOptions,
  signal: AbortSignal,
): Promise<RunningServer> {
  const { host, port, credentials, signers, services, gate, knows } = options;
  const { log, clock = systemClock } = options;
  const { connections, arrivalMs = defaultArrivalMs, idleMs = defaultIdleMs } = options;
  const sessions =
    options.sessions && new SessionCalls({ ...options.sessions, signers, clock, log }, signal);
  const unread = readOnlyFromFriends({ knows, clock, signers, arrivalMs });
  const tell = tellPeer(signers);
  const door: ServerInterceptor = (method, call) =>
    sessions?.take(method.path, call) ?? tell(method, unread(method, call));
  const server = createServer({
    ...connectionOptions,
    // Counts of every connection and call, for a service that nobody asks and that we do not serve.
    'grpc.enable_channelz': 0,
    'grpc.max_receive_message_length': maxRequestBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.max_concurrent_streams': maxStreamsPerConnection,
    'grpc.max_connection_idle_ms': idleMs,
    interceptors: [door],
  })
    .use(errorMiddleware(log, clock))
    .use(endStreams(signal))
    .use(gate);
  services(server);
  const health = HealthState();
  // One for each watcher.
  health.setMaxListeners(0);
  for (const name of ['', ...contractServices]) health.setStatus('healthy', name);
  server.add(HealthDefinition, HealthServiceImpl(health));
  const reflection = new Reflection(contractServices);
  for (const definition of reflectionDefinitions) server.add(definition, reflection);
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const boundPort = await listen(server, address, credentials);
  connections.follow(boundPort, signal);
  noticePlainText(boundPort, { clock, log }, signal);
  return { port: boundPort, closed: stopWhenAborted(server, { connections, clock }, signal) };
}

async function listen(
  server: Pick<Server, 'listen'>,
  address: string,
  credentials: ServerCredentials,
): Promise<number> {
  try {
    return await server.listen(address, credentials);
  } catch (error) {
    throw new DomainError('unavailable', `cannot listen on ${address}: ${messageOf(error)}`, {
      reason: 'CANNOT_LISTEN',
      cause: error,
    });
  }
}

async function stopWhenAborted(
  server: Server,
  { connections, clock }: { readonly connections: Connections; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  await new Promise<void>((resolve) => {
    onAbort(signal, resolve);
  });
  const drained = new AbortController();
  const drain = server.shutdown().finally(() => {
    drained.abort();
  });
  await clock.sleep(drainMs, drained.signal);
  server.forceShutdown();
  // grpc-js finds none of them but where it counts what goes over them.
  connections.cut();
  await drain;
}

/**
 * Aborts the signal of streams when the server stops, and tells their callers that it did: they would
 * hold it up for ever.
 */
function endStreams(stopping: AbortSignal): ServerMiddleware {
  return async function* (call, context) {
    if (stopping.aborted) throw shuttingDown();
    if (!call.requestStream && !call.responseStream) {
      return yield* call.next(call.request, context);
    }
    using ending = new ChildController(context.signal);
    using _stop = onAbort(stopping, () => {
      ending.abort();
    });
    const isCut = () => stopping.aborted && !context.signal.aborted;
    try {
      const response = yield* call.next(call.request, { ...context, signal: ending.signal });
      if (!isCut()) return response;
    } catch (error) {
      if (!isCut()) throw error;
    }
    throw shuttingDown();
  };
}
