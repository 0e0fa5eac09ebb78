import { request, type ClientRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { onAbort } from '../../shared/abort.ts';
import { messageOf } from '../../shared/errors.ts';

/** Where one check of a container goes. */
export type ProbeTarget = TcpTarget | HttpTarget | GrpcTarget | CommandTarget;

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
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Empty: 200 to 399. */
  readonly statuses: readonly number[];
}

interface GrpcTarget {
  readonly kind: 'grpc';
  readonly host: string;
  readonly port: number;
  readonly service: string;
}

/** A command in an engine container. */
export interface CommandTarget {
  readonly kind: 'command';
  readonly engineId: string;
  readonly command: readonly string[];
}

/** Why a check failed, in words; empty if it did not. */
export type ProbeFailure = string;

/** Makes one check. Never rejects; what it resolves to once the signal aborted means nothing. */
export type Probe = (
  target: ProbeTarget,
  timeoutMs: number,
  signal: AbortSignal,
) => Promise<ProbeFailure>;

/** Makes one check in a container; rejects if that cannot be done. */
export type CommandProbe = (
  target: CommandTarget,
  timeoutMs: number,
  signal: AbortSignal,
) => Promise<ProbeFailure>;

/**
 * Makes checks, each over a connection of its own. They count every second for every container, so they do
 * without abort signals of their own, which cost more than the connection. What few use is loaded when it is
 * used.
 */
export function probeWith(probeCommand: CommandProbe): Probe {
  const perform = (target: ProbeTarget, timeoutMs: number, signal: AbortSignal) => {
    switch (target.kind) {
      case 'tcp':
        return probeTcp(target, timeoutMs, signal);
      case 'http':
        return probeHttp(target, timeoutMs, signal);
      case 'grpc':
        return probeGrpc(target, timeoutMs, signal);
      case 'command':
        return probeCommand(target, timeoutMs, signal);
    }
  };
  return async (target, timeoutMs, signal) => {
    let failure: ProbeFailure;
    try {
      failure = await perform(target, timeoutMs, signal);
    } catch (error) {
      failure = `cannot be asked (${messageOf(error)})`;
    }
    return failure === '' ? '' : `${nameOf(target)} ${failure}`;
  };
}

function nameOf(target: ProbeTarget): string {
  switch (target.kind) {
    case 'tcp':
      return `${target.host}:${target.port}`;
    case 'http':
      return `http://${target.host}:${target.port}${target.path}`;
    case 'grpc':
      return `grpc://${target.host}:${target.port}/${target.service}`;
    case 'command':
      return `the command "${target.command.join(' ').slice(0, 60)}"`;
  }
}

async function probeGrpc(
  target: GrpcTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ProbeFailure> {
  const { askHealth } = await import('./grpc-health.ts');
  return await askHealth(target, timeoutMs, signal);
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
  { host, port, path, method, headers, statuses }: HttpTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<ProbeFailure> {
  const asked = request({
    host,
    port,
    path,
    // No pool: a connection that is kept open would hide that the process accepts no new ones.
    agent: false,
    method,
    headers: { 'user-agent': 'fairlead-health', ...headers, connection: 'close' },
  });
  asked.end();
  return settleOnce(asked, timeoutMs, signal, (finish) => {
    asked.once('response', ({ statusCode = 0 }) => {
      const isUsual = statusCode >= 200 && statusCode < 400;
      const isGood = statuses.length === 0 ? isUsual : statuses.includes(statusCode);
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
