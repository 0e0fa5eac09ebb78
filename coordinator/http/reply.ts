import type { ServerResponse } from 'node:http';
import type { Metadata } from 'nice-grpc-common';
import { onAbort } from '../../shared/abort.ts';
import {
  endFrame,
  errorJson,
  httpStatusOf,
  messageFrame,
  type ConnectError,
} from './connect-protocol.ts';

/** How the answer to one call is written; the three forms differ in nothing else. */
export interface Reply {
  /** Sends the head before there is a message, where the form allows it. */
  open(): void;
  /** Resolves when the client can take another message, or the signal has aborted. */
  message(json: unknown, signal: AbortSignal): Promise<void>;
  end(): void;
  /** Ends with an error; `httpStatus` stands for the one that its code has. */
  fail(error: ConnectError, httpStatus?: number): void;
}

export interface ReplyParts {
  readonly response: ServerResponse;
  readonly header: Metadata;
  readonly trailer: Metadata;
}

/** One JSON document. */
export class UnaryReply implements Reply {
  readonly #parts: ReplyParts;
  #body = '';

  constructor(parts: ReplyParts) {
    this.#parts = parts;
  }

  open(): void {
    // The status is known with the answer only.
  }

  message(json: unknown): Promise<void> {
    this.#body = JSON.stringify(json);
    return Promise.resolve();
  }

  end(): void {
    writeHead(this.#parts, { status: 200, type: 'application/json', trailers: true });
    this.#parts.response.end(this.#body);
  }

  fail(error: ConnectError, httpStatus?: number): void {
    failWhole(this.#parts, error, httpStatus);
  }
}

/** Connect's stream of JSON messages in envelopes. */
export class FrameReply implements Reply {
  readonly #parts: ReplyParts;

  constructor(parts: ReplyParts) {
    this.#parts = parts;
  }

  open(): void {
    openStream(this.#parts, 'application/connect+json');
  }

  async message(json: unknown, signal: AbortSignal): Promise<void> {
    this.open();
    await write(this.#parts.response, messageFrame(json), signal);
  }

  end(): void {
    this.open();
    this.#parts.response.end(endFrame(stringsOf(this.#parts.trailer), undefined));
  }

  fail(error: ConnectError): void {
    this.open();
    const metadata = stringsOf(this.#parts.trailer);
    if (error.reason !== '') metadata['error-reason'] = [error.reason];
    this.#parts.response.end(endFrame(metadata, error));
  }
}

/** One JSON document a line, for those who have nothing but a plain HTTP client. */
export class LineReply implements Reply {
  readonly #parts: ReplyParts;

  constructor(parts: ReplyParts) {
    this.#parts = parts;
  }

  open(): void {
    openStream(this.#parts, 'application/x-ndjson');
  }

  async message(json: unknown, signal: AbortSignal): Promise<void> {
    this.open();
    await write(this.#parts.response, `${JSON.stringify(json)}\n`, signal);
  }

  end(): void {
    this.open();
    this.#parts.response.end();
  }

  /** Once the stream has begun, the error is its last line: `{"error": …}`. */
  fail(error: ConnectError, httpStatus?: number): void {
    const { response } = this.#parts;
    if (response.headersSent) response.end(`${JSON.stringify({ error: errorJson(error) })}\n`);
    else failWhole(this.#parts, error, httpStatus);
  }
}

function openStream(parts: ReplyParts, type: string): void {
  if (parts.response.headersSent) return;
  writeHead(parts, { status: 200, type, trailers: false });
  parts.response.flushHeaders();
}

function failWhole(parts: ReplyParts, error: ConnectError, httpStatus: number | undefined): void {
  const { response } = parts;
  if (error.reason !== '') response.setHeader('error-reason', error.reason);
  const status = httpStatus ?? httpStatusOf(error.code);
  writeHead(parts, { status, type: 'application/json', trailers: true });
  response.end(JSON.stringify(errorJson(error)));
}

function writeHead(
  { response, header, trailer }: ReplyParts,
  head: { readonly status: number; readonly type: string; readonly trailers: boolean },
): void {
  for (const [name, values] of Object.entries(stringsOf(header))) response.setHeader(name, values);
  // A whole answer has its trailers among its headers.
  for (const [name, values] of Object.entries(head.trailers ? stringsOf(trailer) : {})) {
    response.setHeader(`trailer-${name}`, values);
  }
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('content-type', head.type);
  response.statusCode = head.status;
}

function stringsOf(metadata: Metadata): Record<string, string[]> {
  return Object.fromEntries(
    [...metadata].map(([name, values]) => [
      name,
      values.map((value) =>
        typeof value === 'string' ? value : Buffer.from(value).toString('base64'),
      ),
    ]),
  );
}

/** Writes, and waits while the client is slower than we are: nothing is buffered without bound. */
async function write(
  response: ServerResponse,
  data: string | Buffer,
  signal: AbortSignal,
): Promise<void> {
  if (response.write(data) || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const aborted = onAbort(signal, settle);
    response.once('drain', settle);
    function settle(): void {
      aborted[Symbol.dispose]();
      response.off('drain', settle);
      resolve();
    }
  });
}
