import type { IncomingMessage } from 'node:http';
import { DomainError } from '../../shared/errors.ts';

/** The reason of a refusal for size. */
export const tooLarge = 'REQUEST_TOO_LARGE';

/** How many times the limit is read and thrown away before the connection is cut. */
const discardedTimes = 16;

/**
 * The body of a request. One that is too large is read to its end all the same, within reason: a
 * client that is still sending does not read our answer.
 */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const { socket } = request;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= maxBytes) chunks.push(chunk);
    else chunks.length = 0;
    if (bytes > maxBytes * discardedTimes) socket.destroy();
  }
  if (bytes <= maxBytes) return Buffer.concat(chunks);
  throw new DomainError('exhausted', `the request has more than ${maxBytes} bytes`, {
    reason: tooLarge,
  });
}
