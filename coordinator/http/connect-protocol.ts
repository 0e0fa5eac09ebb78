import { Status } from 'nice-grpc-common';
import { decodeRpcDetails } from '../api/rpc-details.ts';

// The Connect protocol's words: https://connectrpc.com/docs/protocol. No I/O here.

/** What a caller is told of a failure; `coordinator/api/status.ts` makes them. */
export interface ConnectError {
  readonly code: Status;
  readonly message: string;
  /** Stable name in UPPER_SNAKE; empty where there is none. */
  readonly reason: string;
  /** An encoded google.rpc.Status. */
  readonly details: Uint8Array | undefined;
}

const httpStatuses: ReadonlyMap<Status, number> = new Map([
  [Status.CANCELLED, 499],
  [Status.INVALID_ARGUMENT, 400],
  [Status.DEADLINE_EXCEEDED, 504],
  [Status.NOT_FOUND, 404],
  [Status.ALREADY_EXISTS, 409],
  [Status.PERMISSION_DENIED, 403],
  [Status.RESOURCE_EXHAUSTED, 429],
  [Status.FAILED_PRECONDITION, 400],
  [Status.ABORTED, 409],
  [Status.OUT_OF_RANGE, 400],
  [Status.UNIMPLEMENTED, 501],
  [Status.UNAVAILABLE, 503],
  [Status.UNAUTHENTICATED, 401],
]);

/** The HTTP status of an error outside of a stream. */
export function httpStatusOf(code: Status): number {
  return httpStatuses.get(code) ?? 500;
}

/** An error as a JSON document. */
export function errorJson({ code, message, details }: ConnectError): Record<string, unknown> {
  return {
    code: code === Status.CANCELLED ? 'canceled' : Status[code].toLowerCase(),
    message,
    ...(details && {
      details: decodeRpcDetails(details).map(({ type, value, debug }) => ({
        type,
        value: Buffer.from(value).toString('base64').replace(/=+$/, ''),
        debug,
      })),
    }),
  };
}

const endOfStream = 0b10;
const compressed = 0b01;
const prefixBytes = 5;

/** A message of a stream. */
export function messageFrame(json: unknown): Buffer {
  return frame(0, json);
}

/** What closes a stream: its trailers, and the error if it failed. */
export function endFrame(
  metadata: Readonly<Record<string, readonly string[]>>,
  error: ConnectError | undefined,
): Buffer {
  return frame(endOfStream, {
    ...(error && { error: errorJson(error) }),
    ...(Object.keys(metadata).length > 0 && { metadata }),
  });
}

function frame(flags: number, json: unknown): Buffer {
  const payload = Buffer.from(JSON.stringify(json));
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt8(flags, 0);
  prefix.writeUInt32BE(payload.length, 1);
  return Buffer.concat([prefix, payload]);
}

/** The one message that asks for a stream, or what is wrong with the frames. */
export function readOnlyFrame(
  body: Buffer,
): { readonly message: string } | { readonly wrong: string } {
  if (body.length < prefixBytes) return { wrong: 'the body has no message in an envelope' };
  const flags = body.readUInt8(0);
  if ((flags & compressed) !== 0) return { wrong: 'compressed messages are not supported' };
  if (flags !== 0) return { wrong: `an envelope has unknown flags: ${flags}` };
  const end = prefixBytes + body.readUInt32BE(1);
  if (body.length < end) return { wrong: 'the message is shorter than its envelope says' };
  if (body.length > end) return { wrong: 'there is more than one message' };
  return { message: body.toString('utf8', prefixBytes) };
}

/** The message in the query of a GET: `encoding=json&message=…[&base64=1]`; without one, empty. */
export function readQuery(
  query: URLSearchParams,
): { readonly message: string } | { readonly wrong: string } {
  const encoding = query.get('encoding') ?? 'json';
  if (encoding !== 'json') return { wrong: 'encoding must be json' };
  const compression = query.get('compression') ?? 'identity';
  if (compression !== 'identity') return { wrong: 'compression is not supported' };
  const message = query.get('message') ?? '';
  if (query.get('base64') !== '1') return { message: message === '' ? '{}' : message };
  return { message: Buffer.from(message, 'base64url').toString() };
}
