import { request, type ClientRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { onAbort } from '../../shared/abort.ts';
import { messageOf } from '../../shared/errors.ts';

/** Where one readiness check of a container goes. */
export type ProbeTarget = TcpTarget | HttpTarget;

interface TcpTarget {
  readonly kind: 'tcp';
  readonly host: string;
  readonly port: number;
}

interface HttpTarget {
  readonly kind: 'http';
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

/** Why a check failed, in words; empty if it did not. */
export type ProbeFailure = string;

/** Makes one check. Never rejects; what it resolves to once the signal aborted means nothing. */
export type Probe = (
  target: ProbeTarget,
  timeoutMs: number,
  signal: AbortSignal,
) => Promise<ProbeFailure>;

/**
 * Makes one check over a connection of its own. It counts every second for every container, so it does
 * without abort signals of its own, which cost more than the connection.
 */
export const probe: Probe = async (target, timeoutMs, signal) => {
  let failure: ProbeFailure;
  try {
    failure = await (target.kind === 'tcp'
      ? probeTcp(target, timeoutMs, signal)
      : probeHttp(target, timeoutMs, signal));
  } catch (error) {
    failure = `cannot be asked (${messageOf(error)})`;
  }
  return failure === '' ? '' : `${nameOf(target)} ${failure}`;
};

function nameOf(target: ProbeTarget): string {
  const address = `${target.host}:${target.port}`;
  return target.kind === 'tcp' ? address : `http://${address}${target.path}`;
}

function probeTcp(
  { host, port }: TcpTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ProbeFailure> {
  const socket = connect({ host, port });
  return settleOnce(socket, timeoutMs, signal, (finish) => {
    socket.once('connect', () => {
      finish('');
    });
  });
}

function probeHttp(
  { host, port, path }: HttpTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ProbeFailure> {
  const asked = request({
    host,
    port,
    path,
    // No pool: a connection that is kept open would hide that the process accepts no new ones.
    agent: false,
    headers: { 'user-agent': 'fairlead-readiness', connection: 'close' },
  });
  asked.end();
  return settleOnce(asked, timeoutMs, signal, (finish) => {
    asked.once('response', ({ statusCode = 0 }) => {
      const isGood = statusCode >= 200 && statusCode < 400;
      finish(isGood ? '' : `answered with status ${statusCode}`);
    });
  });
}

/** Waits for success, failure, the end of the time or the signal, then drops the connection. */
async function settleOnce(
  connection: Socket | ClientRequest,
  timeoutMs: number,
  signal: AbortSignal,
  onSuccess: (finish: (failure: ProbeFailure) => void) => void,
): Promise<ProbeFailure> {
  using _abort = onAbort(signal, () => connection.destroy());
  const failure = await new Promise<ProbeFailure>((resolve) => {
    const timer = setTimeout(() => {
      finish(`did not answer within ${timeoutMs} ms`);
    }, timeoutMs);
    const finish = (words: ProbeFailure) => {
      clearTimeout(timer);
      resolve(words);
    };
    onSuccess(finish);
    connection.on('error', (error: NodeJS.ErrnoException) => {
      finish(wordsOf(error));
    });
    connection.once('close', () => {
      finish('closed the connection');
    });
  });
  connection.destroy();
  return failure;
}

function wordsOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'ECONNREFUSED') return 'refuses connections';
  if (error.code === 'ECONNRESET') return 'closed the connection';
  return `cannot be reached (${error.code ?? error.message})`;
}
