import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Clock } from '../../shared/clock.ts';
import { onAbort } from '../../shared/abort.ts';
import type { Logger } from '../../shared/logger.ts';

/** Node tells here of every connection that any server of the process accepts. */
const accepted = 'net.server.socket';

/** Between two lines of the log: who is refused dials again and again. */
const logIntervalMs = 60_000;

/** What TLS makes of what is none. */
const notTls = new Set(['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_HTTP_REQUEST']);

interface Deps {
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Says in the log who spoke without TLS to a port of ours, until the signal aborts. It cannot be said to them:
 * agents of before links were encrypted only see that nobody answers. To be called before the first connects.
 */
export function noticePlainText(port: number, { clock, log }: Deps, signal: AbortSignal): void {
  let refused = 0;
  let loggedAtMs = -Infinity;
  const onError = (error: NodeJS.ErrnoException, { remoteAddress }: Socket) => {
    if (!notTls.has(error.code ?? '')) return;
    refused++;
    const nowMs = clock.monotonic();
    if (nowMs - loggedAtMs < logIntervalMs) return;
    log.warn(
      { address: remoteAddress, refused },
      'refused who speaks no TLS: if that is an agent or a client, it is of before links were encrypted; upgrade it',
    );
    loggedAtMs = nowMs;
    refused = 0;
  };
  // grpc-js shows its server to nobody; its connections do.
  let isHeard = false;
  const onAccepted = (message: unknown) => {
    const { socket } = message as { readonly socket: Socket & { readonly server?: EventEmitter } };
    if (isHeard || socket.localPort !== port) return;
    isHeard = true;
    socket.server?.on('tlsClientError', onError);
  };
  subscribe(accepted, onAccepted);
  onAbort(signal, () => {
    unsubscribe(accepted, onAccepted);
  });
}
