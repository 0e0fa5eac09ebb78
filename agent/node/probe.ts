import { request } from 'node:http';
import { connect } from 'node:net';
import { ChildController, onAbort } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
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

/** Checks over real connections. */
export function createProbe(clock: Clock): Probe {
  return async (target, timeoutMs, signal) => {
    using limit = new ChildController(signal);
    let isLate = false;
    void clock.sleep(timeoutMs, limit.signal).then(() => {
      if (limit.signal.aborted) return;
      isLate = true;
      limit.abort();
    });
    const failure = await probeOnce(target, limit.signal);
    if (failure === '') return '';
    return `${nameOf(target)} ${isLate ? `did not answer within ${timeoutMs} ms` : failure}`;
  };
}

async function probeOnce(target: ProbeTarget, signal: AbortSignal): Promise<ProbeFailure> {
  try {
    return await (target.kind === 'tcp' ? probeTcp(target, signal) : probeHttp(target, signal));
  } catch (error) {
    return `cannot be asked (${messageOf(error)})`;
  }
}

function nameOf(target: ProbeTarget): string {
  const address = `${target.host}:${target.port}`;
  return target.kind === 'tcp' ? address : `http://${address}${target.path}`;
}

function probeTcp({ host, port }: TcpTarget, signal: AbortSignal): Promise<ProbeFailure> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const subscription = onAbort(signal, () => socket.destroy());
    const finish = (failure: ProbeFailure) => {
      subscription[Symbol.dispose]();
      socket.destroy();
      resolve(failure);
    };
    socket.once('connect', () => {
      finish('');
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      finish(wordsOf(error));
    });
    socket.once('close', () => {
      finish('closed the connection');
    });
  });
}

function probeHttp({ host, port, path }: HttpTarget, signal: AbortSignal): Promise<ProbeFailure> {
  return new Promise((resolve) => {
    // No pool: a connection that is kept open would hide that the process accepts no new ones.
    const asked = request({
      host,
      port,
      path,
      agent: false,
      headers: { 'user-agent': 'fairlead-readiness', connection: 'close' },
    });
    const subscription = onAbort(signal, () => asked.destroy());
    const finish = (failure: ProbeFailure) => {
      subscription[Symbol.dispose]();
      asked.destroy();
      resolve(failure);
    };
    asked.once('response', ({ statusCode = 0 }) => {
      const isGood = statusCode >= 200 && statusCode < 400;
      finish(isGood ? '' : `answered with status ${statusCode}`);
    });
    asked.on('error', (error: NodeJS.ErrnoException) => {
      finish(wordsOf(error));
    });
    asked.once('close', () => {
      finish('closed the connection');
    });
    asked.end();
  });
}

function wordsOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'ECONNREFUSED') return 'refuses connections';
  if (error.code === 'ECONNRESET') return 'closed the connection';
  return `cannot be reached (${error.code ?? error.message})`;
}
