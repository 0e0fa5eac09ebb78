import type { IncomingMessage, ServerResponse } from 'node:http';
import { Metadata, Status } from 'nice-grpc-common';
import { systemClock, type Clock } from '../../shared/clock.ts';
import { DomainError } from '../../shared/errors.ts';
import type {
  ControlServiceDefinition,
  ControlServiceImplementation,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Logger } from '../../shared/logger.ts';
import { CallLog, type CallEnd, type CallRecordContext } from '../api/call-log.ts';
import type { Authenticator } from '../api/authentication.ts';
import type { Gate, PrincipalContext } from '../api/gate.ts';
import { shuttingDown } from '../api/status.ts';
import { CallScope, type Cut } from './call-scope.ts';
import { readOnlyFrame, readQuery, type ConnectError } from './connect-protocol.ts';
import { contextOf, httpMethods, peerOf, type HttpMethod } from './http-method.ts';
import { negotiate, refuse, timeoutOf, type Form, type Refusal } from './negotiate.ts';
import { FrameReply, LineReply, UnaryReply, type Reply, type ReplyParts } from './reply.ts';
import { readBody, tooLarge } from './request-body.ts';
import type { RequestJson } from './request-json.ts';

const defaultMaxStreams = 1_000;
const shortBytes = 16 * 1024;

/** What a caller is told of a failure; `toStatus` of `coordinator/api/status.ts` fits. */
export type ToError = (error: unknown) => ConnectError & {
  /** False: a bug, to be logged with its stack. */
  readonly expected?: boolean;
};

export interface ConnectOptions {
  readonly definition: typeof ControlServiceDefinition;
  /** The object that gRPC serves as well. */
  readonly implementation: ControlServiceImplementation<CallRecordContext & PrincipalContext>;
  /** The one that gRPC has as well. */
  readonly gate: Gate;
  readonly knows: Authenticator['knows'];
  readonly toError: ToError;
  readonly maxBodyBytes: number;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Streams end with `unavailable` when it aborts. */
  readonly stopping?: AbortSignal;
  /** Streams that may be open at the same time, of all clients; 1,000 if left out. */
  readonly maxStreams?: number;
}

/** Answers a request if it is for this API; false: it is not. */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * Serves a service by the Connect protocol with JSON over HTTP/1.1, for browsers, curl and scripts.
 *
 * Requests are read strictly (see RequestJson). Beyond the protocol, a stream may be asked as lines of
 * JSON with `accept: application/x-ndjson`, and the query of a GET may be left out.
 */
export function createConnectHandler(options: ConnectOptions): HttpHandler {
  const prefix = `/${options.definition.fullName}/`;
  const gateway = new ConnectGateway(options);
  return (request, response) => {
    const [path = '', query = ''] = (request.url ?? '').split(/\?(.*)/s, 2);
    if (!path.startsWith(prefix)) return false;
    void gateway.answer({ request, response, path, query });
    return true;
  };
}

interface HttpCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly path: string;
  readonly query: string;
}

/** A call whose form is known. */
interface OpenCall extends HttpCall {
  readonly method: HttpMethod;
  readonly form: Form;
  readonly parts: ReplyParts;
  readonly callLog: CallLog;
}

class ConnectGateway {
  readonly #options: ConnectOptions;
  readonly #clock: Clock;
  readonly #methods: ReadonlyMap<string, HttpMethod>;
  readonly #service: string;
  #requestJson: RequestJson | undefined;
  #streams = 0;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#methods = httpMethods(options.definition, options.implementation, options.gate);
    this.#service = options.definition.fullName;
  }

  /** Never rejects: whatever goes wrong is the answer. */
  async answer(call: HttpCall): Promise<void> {
    const { request, response, path } = call;
    const method = this.#methods.get(path.slice(path.lastIndexOf('/') + 1));
    const deps = { log: this.#options.log, clock: this.#clock };
    const peer = peerOf(request.socket);
    const callLog = new CallLog({ path, readOnly: method?.readOnly === true, peer }, deps);
    const parts = { response, header: Metadata(), trailer: Metadata() };
    const form = method === undefined ? noSuchMethod(path) : negotiate(request, method);
    if (method === undefined || form.kind === 'refused') {
      callLog.end(sendRefusal(parts, form as Refusal));
      return;
    }
    if (method.responseStream) this.#streams++;
    callLog.end(await this.#run({ ...call, method, form, parts, callLog }));
    if (method.responseStream) this.#streams--;
  }

  async #run(call: OpenCall): Promise<CallEnd> {
    const { request, response, method, parts } = call;
    const reply = replyOf(call.form, parts);
    using scope = new CallScope({
      response,
      timeoutMs: timeoutOf(request.headers),
      clock: this.#clock,
      stopping: method.responseStream ? this.#options.stopping : undefined,
    });
    try {
      await this.#handle(call, reply, scope.signal);
      if (scope.cut === undefined) {
        reply.end();
        return { code: Status.OK };
      }
      return this.#fail(reply, scope.cut, undefined);
    } catch (error) {
      // A request that breaks off fails before its response is told.
      return this.#fail(reply, request.socket.destroyed ? 'gone' : scope.cut, error);
    }
  }

  async #handle(call: OpenCall, reply: Reply, signal: AbortSignal): Promise<void> {
    const { request, method, parts, callLog } = call;
    this.#refuseSurplusStream(method);
    const { authorization } = request.headers;
    // Whoever is not known is told so by the gate, and need not be heard out for that.
    const isKnown = this.#options.knows({ authorization, peer: null });
    if (!isKnown && !isShort(request)) parts.response.setHeader('connection', 'close');
    const text = isKnown ? await messageOf(call, this.#options.maxBodyBytes) : '{}';
    const requestJson = await this.#loadRequestJson();
    const message = method.decode(requestJson.encode(method.name, text));
    const { header, trailer } = parts;
    const sendHeader = () => {
      reply.open();
    };
    const rest = { header, trailer, sendHeader, signal, record: callLog.record };
    for await (const answer of method.call(message, contextOf(request, rest))) {
      if (signal.aborted) break;
      await reply.message(method.toJson(answer), signal);
    }
  }

  #refuseSurplusStream({ responseStream }: HttpMethod): void {
    const { maxStreams = defaultMaxStreams } = this.#options;
    if (!responseStream || this.#streams <= maxStreams) return;
    throw new DomainError('exhausted', `${maxStreams} streams are open already; close some`, {
      reason: 'TOO_MANY_STREAMS',
    });
  }

  /** With the first request: most coordinators are never asked in JSON, and start sooner without it. */
  async #loadRequestJson(): Promise<RequestJson> {
    if (this.#requestJson !== undefined) return this.#requestJson;
    const { RequestJson: Reader } = await import('./request-json.ts');
    // Kept once it is there: what failed once, as without a free file descriptor, is tried again.
    return (this.#requestJson ??= new Reader(this.#service));
  }

  #fail(reply: Reply, cut: Cut | undefined, error: unknown): CallEnd {
    switch (cut) {
      case 'gone':
        return { code: Status.CANCELLED };
      case 'deadline': {
        reply.fail(deadlineExceeded);
        return { code: deadlineExceeded.code };
      }
      case 'stopping': {
        const stopping = this.#options.toError(shuttingDown());
        reply.fail(stopping);
        return { code: stopping.code };
      }
      case undefined: {
        const status = this.#options.toError(error);
        reply.fail(status, status.reason === tooLarge ? 413 : undefined);
        return status.expected === false
          ? { code: status.code, bug: error }
          : { code: status.code };
      }
    }
  }
}

/** Whether reading what is left of a request costs less than another connection. */
function isShort({ headers }: IncomingMessage): boolean {
  return Number(headers['content-length'] ?? Infinity) <= shortBytes;
}

/** The request as JSON text. */
async function messageOf(
  { request, form, query }: OpenCall,
  maxBodyBytes: number,
): Promise<string> {
  if (form.message === 'query') return textOf(readQuery(new URLSearchParams(query)));
  const body = await readBody(request, maxBodyBytes);
  return form.message === 'body' ? body.toString() : textOf(readOnlyFrame(body));
}

function textOf(read: { readonly message: string } | { readonly wrong: string }): string {
  if ('message' in read) return read.message;
  throw new DomainError('invalid', read.wrong, { reason: 'CONNECT_REQUEST_INVALID' });
}

function replyOf({ kind }: Form, parts: ReplyParts): Reply {
  switch (kind) {
    case 'unary':
      return new UnaryReply(parts);
    case 'frames':
      return new FrameReply(parts);
    case 'lines':
      return new LineReply(parts);
  }
}

function noSuchMethod(path: string): Refusal {
  return refuse(404, `there is no method ${path}`, {});
}

function sendRefusal(parts: ReplyParts, { headers, error, httpStatus }: Refusal): CallEnd {
  for (const [name, value] of Object.entries(headers)) parts.response.setHeader(name, value);
  new UnaryReply(parts).fail(error, httpStatus);
  return { code: error.code };
}

const deadlineExceeded: ConnectError = {
  code: Status.DEADLINE_EXCEEDED,
  message: 'the call took longer than the time in connect-timeout-ms',
  reason: 'DEADLINE_EXCEEDED',
  details: undefined,
};
