import { once } from 'node:events';
import { createConnection } from 'node:net';
import { ChildController, onAbort } from '../shared/abort.ts';
import type { Clock } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';

const probeMs = 2_000;

/**
 * Why nothing answers at an address, in words. gRPC says only that it gave up; whether a name is
 * unknown, a port is closed or something else listens there is what one needs to know.
 */
export async function whyUnreachable(
  address: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<string> {
  const match = /^\[?(?<host>[^\]]*?)\]?:(?<port>\d+)$/.exec(address);
  const { host = '', port = '' } = match?.groups ?? {};
  if (host === '' || Number(port) < 1 || Number(port) > 65_535) {
    return 'that is not HOST:PORT';
  }
  using patience = new ChildController(signal);
  void clock.sleep(probeMs, patience.signal).then(() => {
    patience.abort();
  });
  const socket = createConnection({ host, port: Number(port) });
  using _stop = onAbort(patience.signal, () => {
    socket.destroy(new Error('no answer from that host'));
  });
  try {
    await once(socket, 'connect');
    return 'something listens there, but it does not speak gRPC as a coordinator does';
  } catch (error) {
    return wordsOf(error);
  } finally {
    socket.destroy();
  }
}

function wordsOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  switch (code) {
    case 'ECONNREFUSED':
      return 'the connection was refused; nothing listens on that port';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'that host name is not known';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'there is no route to that host';
    default:
      return messageOf(error);
  }
}
