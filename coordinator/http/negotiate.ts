import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Status } from 'nice-grpc-common';
import type { ConnectError } from './connect-protocol.ts';

/** Where the request message is, and in which form the answer goes back. */
export type Form =
  | { readonly kind: 'unary'; readonly message: 'body' | 'query' }
  | { readonly kind: 'frames'; readonly message: 'frame' }
  | { readonly kind: 'lines'; readonly message: 'body' | 'query' };

/** A request that is refused for how it was sent, before its message is looked at. */
export interface Refusal {
  readonly kind: 'refused';
  readonly httpStatus: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly error: ConnectError;
}

export interface MethodKind {
  readonly responseStream: boolean;
  /** It takes a stream of requests. */
  readonly requestStream?: boolean;
  /** It may be asked with GET. */
  readonly readOnly: boolean;
}

/** What a timer can wait: 24 days. */
const maxTimerMs = 2 ** 31 - 1;
const json = 'application/json';
const connectJson = 'application/connect+json';
const lines = 'application/x-ndjson';

/** Finds the form of a request by its HTTP method, its types, and what is called. */
export function negotiate(
  request: Pick<IncomingMessage, 'method' | 'headers'>,
  method: MethodKind,
): Form | Refusal {
  const { headers } = request;
  if (method.requestStream === true) {
    return refuse(
      501,
      'this call is a stream in both directions, which HTTP/1.1 has not: make it over gRPC',
      {},
    );
  }
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
    return refuse(415, 'compressed requests are not supported', { 'accept-encoding': 'identity' });
  }
  if ((headers['connect-protocol-version'] ?? '1') !== '1') {
    return refuse(400, 'connect-protocol-version must be 1', {});
  }
  if (!/^[0-9]{0,10}$/.test(timeoutHeader(headers))) {
    return refuse(400, 'connect-timeout-ms must be a whole number of at most 10 digits', {});
  }
  const asksLines = headers.accept?.includes(lines) === true;
  if (request.method === 'GET') return negotiateGet(method, asksLines);
  if (request.method === 'POST') {
    return negotiatePost(typeOf(headers['content-type']), method, asksLines);
  }
  return refuse(405, 'calls are made with POST, or with GET if they change nothing', {
    allow: method.readOnly ? 'GET, POST' : 'POST',
  });
}

/** The time that the client gives the call; undefined: as long as it takes. */
export function timeoutOf(headers: IncomingHttpHeaders): number | undefined {
  const value = timeoutHeader(headers);
  return value === '' || Number(value) > maxTimerMs ? undefined : Number(value);
}

function timeoutHeader(headers: IncomingHttpHeaders): string {
  return String(headers['connect-timeout-ms'] ?? '');
}

function negotiateGet(
  { responseStream, readOnly }: MethodKind,
  asksLines: boolean,
): Form | Refusal {
  if (responseStream) {
    return asksLines
      ? { kind: 'lines', message: 'query' }
      : refuse(406, `a stream is asked by GET with "accept: ${lines}" only`, {});
  }
  return readOnly
    ? { kind: 'unary', message: 'query' }
    : refuse(405, 'this call may change something; use POST', { allow: 'POST' });
}

function negotiatePost(
  type: string,
  { responseStream }: MethodKind,
  asksLines: boolean,
): Form | Refusal {
  if (responseStream && type === connectJson) return { kind: 'frames', message: 'frame' };
  if (responseStream && type === json && asksLines) return { kind: 'lines', message: 'body' };
  if (!responseStream && type === json) return { kind: 'unary', message: 'body' };
  const wanted = responseStream ? `${connectJson}, or ${json} with "accept: ${lines}"` : json;
  return refuse(415, `the content-type must be ${wanted}`, {
    'accept-post': responseStream ? connectJson : json,
  });
}

function typeOf(contentType: string | undefined): string {
  return (contentType ?? '').replace(/;.*/, '').trim().toLowerCase();
}

/** A refusal in words, with what the client may do instead among the headers. */
export function refuse(
  httpStatus: number,
  message: string,
  headers: Readonly<Record<string, string>>,
): Refusal {
  const error = {
    code: httpStatus === 400 ? Status.INVALID_ARGUMENT : Status.UNIMPLEMENTED,
    message,
    reason: 'HTTP_REQUEST_UNSUPPORTED',
    details: undefined,
  };
  return { kind: 'refused', httpStatus, headers, error };
}
