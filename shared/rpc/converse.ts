import { Client, credentials } from '@grpc/grpc-js';
import { ClientError, type Channel, type Status } from 'nice-grpc';
import { ChildController, onAbort } from '../abort.ts';
import { messageOf } from '../errors.ts';

interface Codec<Message> {
  readonly encode: (message: Message) => { finish(): Uint8Array };
  readonly decode: (bytes: Uint8Array) => Message;
}

/** A method with a stream each way, as it is generated from the contract. */
export interface TwoWayMethod<Request, Response> {
  readonly name: string;
  readonly requestType: Codec<Request>;
  readonly responseType: Codec<Response>;
}

/** What is said in a conversation, and who listens. */
export interface Conversation<Request, Response> {
  /** Full name of the API. */
  readonly service: string;
  readonly method: TwoWayMethod<Request, Response>;
  readonly requests: AsyncIterable<Request>;
  readonly onResponse: (response: Response) => void;
}

/** Why a stream ended. */
interface Ending {
  readonly code: Status;
  readonly details: string;
}

interface Writable<Request> {
  write(request: Request): boolean;
  end(): unknown;
  once(event: 'drain', listener: () => void): unknown;
}

/**
 * Talks over one stream each way until the other side ends it; throws a ClientError if that was for a reason, or
 * what was thrown by `requests` or `onResponse`. The signal ends it as well.
 *
 * For what is in a hurry. A client of nice-grpc copies each message before it is sent, and hands over what comes
 * through several generators; here it is sent as it is, and handed over when it is read.
 */
export async function converse<Request, Response>(
  channel: Channel,
  { service, method, requests, onResponse }: Conversation<Request, Response>,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const path = `/${service}/${method.name}`;
  const { requestType, responseType } = method;
  const client = new Client('', credentials.createInsecure(), { channelOverride: channel });
  const call = client.makeBidiStreamRequest<Request, Response>(
    path,
    (request) => bufferOf(requestType.encode(request).finish()),
    (bytes) => responseType.decode(bytes),
  );
  // Aborts at the end of this, whatever ended it: then nothing more is said.
  using life = new ChildController(signal);
  using _abort = onAbort(life.signal, () => {
    call.cancel();
  });
  try {
    await new Promise<void>((resolve, reject) => {
      call.on('data', (response: Response) => {
        if (life.signal.aborted) return;
        try {
          onResponse(response);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(messageOf(error)));
        }
      });
      call.on('error', ({ code, details }: Ending) => {
        reject(new ClientError(path, code, details));
      });
      call.on('end', resolve);
      sayAll(requests, call, life.signal).catch(reject);
    });
  } finally {
    life.abort();
  }
}

/** As fast as the other side takes it. */
async function sayAll<Request>(
  requests: AsyncIterable<Request>,
  call: Writable<Request>,
  signal: AbortSignal,
): Promise<void> {
  for await (const request of requests) {
    if (signal.aborted) return;
    if (!call.write(request)) await drained(call, signal);
  }
  call.end();
}

async function drained(call: Writable<never>, signal: AbortSignal): Promise<void> {
  let subscription: Disposable | undefined;
  await new Promise<void>((resolve) => {
    call.once('drain', resolve);
    subscription = onAbort(signal, resolve);
  });
  subscription?.[Symbol.dispose]();
}

/** The same memory. */
function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
