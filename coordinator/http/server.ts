import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { onAbort } from '../../shared/abort.ts';
import { systemClock, type Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { HttpHandler } from './connect.ts';

const maxHeaderBytes = 16 * 1024;
const idleMs = 60_000;
/** How often slow requests are looked for. */
const checkMs = 1_000;
/** Keeps a client from holding a connection that it sends nothing on. */
const defaultRequestTimeoutMs = 30_000;
/** Time in which the head of a request must have arrived. */
const headersTimeoutMs = 10_000;
/** Somebody who connects and does not get on with TLS is cut. */
const handshakeTimeoutMs = 5_000;
/** A client that vanished without a word is noticed by the kernel. */
const tcpKeepaliveMs = 15_000;
/**
 * Those that are recommended today. The security level is lowered for the wget of busybox alone, which does not
 * say what signatures it knows and then must be given SHA-1; everybody else says so and gets SHA-256.
 */
const ciphers = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  '@SECLEVEL=0',
];
/** How long answers may finish when the server stops. */
const drainMs = 2_000;

/** The certificate that is shown, and news of another one. */
export interface HttpTls {
  readonly serverIdentity: { readonly certificateChain: string; readonly privateKey: string };
  readonly subscribe: (listener: () => void) => Disposable;
}

export interface HttpServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly tls: HttpTls;
  readonly handler: HttpHandler;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Time in which a request must have arrived as a whole; 30 seconds if left out. */
  readonly requestTimeoutMs?: number;
}

/** A server that listens. */
export interface RunningHttpServer {
  readonly port: number;
  /** Resolves when the signal has aborted and all is closed. */
  readonly closed: Promise<void>;
}

/**
 * Serves HTTPS until the signal aborts; answers then get two seconds to finish. `/healthz` says `ok` to
 * anybody, everything else is the handler's.
 */
export async function serveHttp(
  {
    host,
    port,
    tls,
    handler,
    log,
    clock = systemClock,
    requestTimeoutMs = defaultRequestTimeoutMs,
  }: HttpServerOptions,
  signal: AbortSignal,
): Promise<RunningHttpServer> {
  const connections = new Connections();
  const server = createServer(
    {
      ...contextOf(tls),
      handshakeTimeout: handshakeTimeoutMs,
      maxHeaderSize: maxHeaderBytes,
      requestTimeout: requestTimeoutMs,
      headersTimeout: Math.min(headersTimeoutMs, requestTimeoutMs),
      keepAliveTimeout: idleMs,
      connectionsCheckingInterval: checkMs,
      keepAlive: true,
      keepAliveInitialDelay: tcpKeepaliveMs,
      noDelay: true,
    },
    (request, response) => {
      connections.begin(request, response);
      // A client that goes away while it is answered; the handler learns it from 'close'.
      response.on('error', ignore);
      if (answerHealth(request, response) || handler(request, response)) return;
      response.writeHead(404, { 'content-type': 'text/plain' }).end('nothing is here\n');
    },
  );
  server.on('connection', (socket: Socket) => {
    connections.open(socket);
  });
  server.on('secureConnection', (socket) => {
    connections.add(socket);
  });
  const renewal = tls.subscribe(() => {
    server.setSecureContext(contextOf(tls));
  });
  onAbort(signal, () => {
    renewal[Symbol.dispose]();
  });
  await listen(server, host, port);
  // Such as no file descriptor left for another connection: those that are there go on.
  server.removeAllListeners('error').on('error', (err) => {
    log.warn({ err }, 'http connection refused');
  });
  const { port: boundPort } = server.address() as AddressInfo;
  return { port: boundPort, closed: closeWhenAborted({ server, connections, clock }, signal) };
}

function contextOf({ serverIdentity }: HttpTls) {
  const { certificateChain, privateKey } = serverIdentity;
  return {
    cert: certificateChain,
    key: privateKey,
    minVersion: 'TLSv1.2',
    ciphers: ciphers.join(':'),
  } as const;
}

function ignore(): void {
  // Nothing is left to be done.
}

function answerHealth(request: IncomingMessage, response: ServerResponse): boolean {
  if (request.url !== '/healthz' || (request.method !== 'GET' && request.method !== 'HEAD')) {
    return false;
  }
  response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-store' });
  response.end('ok\n');
  return true;
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new DomainError('unavailable', `cannot listen on ${host}:${port}: ${messageOf(error)}`, {
          reason: 'CANNOT_LISTEN',
          cause: error,
        }),
      );
    });
    server.listen(port, host, resolve);
  });
}

interface Closing {
  readonly server: Server;
  readonly connections: Connections;
  readonly clock: Clock;
}

async function closeWhenAborted(
  { server, connections, clock }: Closing,
  signal: AbortSignal,
): Promise<void> {
  await new Promise<void>((resolve) => {
    onAbort(signal, resolve);
  });
  const drained = new AbortController();
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      drained.abort();
      resolve();
    });
  });
  connections.closeIdle();
  await clock.sleep(drainMs, drained.signal);
  server.closeAllConnections();
  connections.destroyAll();
  await closed;
}

/**
 * Which connections have a request under way. Node itself closes only those that are idle at the
 * moment when the server stops and were not idle from the start, as browsers open them in advance.
 */
class Connections {
  readonly #requests = new Map<Socket, number>();
  /** Everything that is open, also what never got as far as TLS. */
  readonly #open = new Set<Socket>();
  #closing = false;

  open(socket: Socket): void {
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
    });
  }

  add(socket: Socket): void {
    this.#requests.set(socket, 0);
    socket.once('close', () => {
      this.#requests.delete(socket);
    });
  }

  begin({ socket }: IncomingMessage, response: ServerResponse): void {
    this.#count(socket, 1);
    response.once('close', () => {
      this.#count(socket, -1);
      if (this.#closing && this.#requests.get(socket) === 0) socket.end();
    });
  }

  /** Closes what is idle now, and everything else as soon as it is. */
  closeIdle(): void {
    this.#closing = true;
    for (const [socket, count] of this.#requests) if (count === 0) socket.destroy();
  }

  destroyAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  #count(socket: Socket, change: number): void {
    const count = this.#requests.get(socket);
    if (count !== undefined) this.#requests.set(socket, count + change);
  }
}
