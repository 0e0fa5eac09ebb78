import { connect, constants, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import { onAbort } from '../../shared/abort.ts';

/** The fields of the two messages, as they are on the wire: `service` is 1, and so is `status`. */
const serviceTag = 0x0a;
const statusTag = 0x08;
/** Each message has a head: a flag, and its length in four bytes. */
const headBytes = 5;
const maxAnswerBytes = 4096;
const serving = 1;
const answers = ['unknown', 'serving', 'not serving', 'service unknown'];
/** Statuses of gRPC that say something of the service itself. */
const statusWords: ReadonlyMap<string, string> = new Map([
  ['5', 'knows no such service'],
  ['12', 'has no health service'],
]);

interface HealthTarget {
  readonly host: string;
  readonly port: number;
  readonly service: string;
}

/**
 * Asks the standard health service of gRPC over a connection of its own; resolves to why not, or to nothing.
 *
 * By HTTP/2 itself: a channel of grpc-js lets no connection go that was made and never answered.
 */
export async function askHealth(
  { host, port, service }: HealthTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string> {
  const session = connect(`http://${host.includes(':') ? `[${host}]` : host}:${port}`);
  using _abort = onAbort(signal, () => {
    session.destroy();
  });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<string>((resolve) => {
      timer = setTimeout(() => {
        resolve(`did not answer within ${timeoutMs} ms`);
      }, timeoutMs);
      session.on('error', (error: NodeJS.ErrnoException) => {
        resolve(wordsOf(error));
      });
      session.once('close', () => {
        resolve('closed the connection');
      });
      ask(session, service, resolve);
    });
  } finally {
    clearTimeout(timer);
    session.destroy();
  }
}

function ask(
  session: ClientHttp2Session,
  service: string,
  resolve: (failure: string) => void,
): void {
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: '/grpc.health.v1.Health/Check',
    [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
    [constants.HTTP2_HEADER_TE]: 'trailers',
  });
  let status: string | undefined;
  let answer = Buffer.alloc(0);
  const take = (headers: IncomingHttpHeaders) => {
    const told = headers['grpc-status'];
    if (typeof told === 'string') status = told;
  };
  stream.on('response', take);
  stream.on('trailers', take);
  stream.on('data', (part: Buffer) => {
    answer = Buffer.concat([answer, part]).subarray(0, maxAnswerBytes);
  });
  stream.on('error', (error: NodeJS.ErrnoException) => {
    resolve(wordsOf(error));
  });
  stream.once('close', () => {
    resolve(failureOf(status, answer));
  });
  stream.end(messageOf(service));
}

function messageOf(service: string): Buffer {
  const name = Buffer.from(service);
  // Up to 255 bytes: a length of one byte or of two.
  const length = name.length < 128 ? [name.length] : [(name.length & 127) | 128, name.length >> 7];
  const message =
    name.length === 0 ? name : Buffer.concat([Buffer.from([serviceTag, ...length]), name]);
  const head = Buffer.alloc(headBytes);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function failureOf(status: string | undefined, answer: Buffer): string {
  if (status === undefined) return 'does not speak gRPC';
  if (status !== '0') return statusWords.get(status) ?? `answered with the gRPC status ${status}`;
  // An empty message says 0: unknown.
  const health = answer[headBytes] === statusTag ? (answer[headBytes + 1] ?? 0) : 0;
  return health === serving ? '' : `answered ${answers[health] ?? 'something else'}`;
}

/** A request that ends with its connection has that as its cause. */
function wordsOf(error: NodeJS.ErrnoException): string {
  const { code, message }: NodeJS.ErrnoException =
    error.cause instanceof Error ? error.cause : error;
  if (code === 'ECONNREFUSED') return 'refuses connections';
  return `cannot be asked (${code ?? message})`;
}
