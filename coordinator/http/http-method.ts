import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Metadata, type CallContext, type MethodDescriptor } from 'nice-grpc-common';
import type {
  ControlServiceDefinition,
  ControlServiceImplementation,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { CallRecordContext } from '../api/call-log.ts';
import { peerKey } from '../api/peer.ts';
import type { Gate, PrincipalContext } from '../api/gate.ts';

/** What is known of a call before the gate; the same over gRPC and HTTP. */
export type HandlerContext = CallContext & CallRecordContext;

/** A method of the definition with its implementation; its answer is a stream, if of one message. */
export interface HttpMethod {
  readonly name: string;
  readonly responseStream: boolean;
  /** It takes a stream of requests, which HTTP/1.1 cannot carry beside that of the answers. */
  readonly requestStream: boolean;
  /** It can change nothing, and may be asked with GET. */
  readonly readOnly: boolean;
  /** Reads protobuf's binary form. */
  readonly decode: (bytes: Uint8Array) => unknown;
  readonly toJson: (response: unknown) => unknown;
  readonly call: (request: unknown, context: HandlerContext) => AsyncIterable<unknown>;
}

/** What ts-proto generates for a method, without its types. */
interface GenericMethod {
  readonly name: string;
  readonly requestType: { decode: (bytes: Uint8Array) => unknown };
  readonly requestStream: boolean;
  readonly responseType: { toJSON: (message: unknown) => unknown };
  readonly responseStream: boolean;
  readonly options: MethodDescriptor['options'];
}

type GenericHandler = (request: unknown, context: HandlerContext & PrincipalContext) => unknown;

/** The methods of a service by their name in the path, each behind the gate. */
export function httpMethods(
  definition: typeof ControlServiceDefinition,
  implementation: ControlServiceImplementation<CallRecordContext & PrincipalContext>,
  gate: Gate,
): ReadonlyMap<string, HttpMethod> {
  const handlers = implementation as unknown as Readonly<Record<string, GenericHandler>>;
  const methods = Object.entries(definition.methods as Readonly<Record<string, GenericMethod>>);
  return new Map(
    methods.map(([key, { name, requestType, responseType, options, ...streams }]) => {
      const { requestStream, responseStream } = streams;
      const path = `/${definition.fullName}/${name}`;
      const method = { path, requestStream: false, responseStream, options } as const;
      return [
        name,
        {
          name,
          responseStream,
          requestStream,
          readOnly: options.idempotencyLevel === 'NO_SIDE_EFFECTS',
          decode: (bytes) => requestType.decode(bytes),
          toJson: (response) => responseType.toJSON(response),
          call: (request, context) =>
            throughGate(gate, { ...method, context, request }, (inside) =>
              handlers[key]?.call(implementation, request, inside),
            ),
        },
      ];
    }),
  );
}

interface GatedCall extends MethodDescriptor {
  readonly request: unknown;
  readonly context: HandlerContext;
}

/** Answers behind the gate, as the gRPC server does; the answer is a stream, if of one message. */
async function* throughGate(
  gate: Gate,
  { request, context, ...method }: GatedCall,
  answer: (context: HandlerContext & PrincipalContext) => unknown,
): AsyncGenerator {
  const call = { method, requestStream: false, request } as const;
  if (method.responseStream) {
    yield* gate(
      {
        ...call,
        responseStream: true,
        async *next(_request, inside) {
          yield* answer(inside) as AsyncIterable<unknown>;
        },
      },
      context,
    );
  } else {
    yield yield* gate(
      {
        ...call,
        responseStream: false,

        async *next(_request, inside) {
          return await answer(inside);
        },
      },
      context,
    );
  }
}

/** What HTTP says of a call in gRPC's words: headers as metadata, the connection as peer. */
export function contextOf(
  { headersDistinct, socket }: IncomingMessage,
  rest: Omit<HandlerContext, 'metadata' | 'peer'>,
): HandlerContext {
  const metadata = Metadata();
  for (const [name, values = []] of Object.entries(headersDistinct)) {
    if (name === peerKey) continue;
    if (name.endsWith('-bin'))
      metadata.set(
        name,
        values.map((value) => Buffer.from(value, 'base64')),
      );
    else metadata.set(name, values);
  }
  return { ...rest, metadata, peer: peerOf(socket) };
}

/** Address of the other end, as gRPC writes it. */
export function peerOf({ remoteAddress = '', remotePort = 0 }: Socket): string {
  const host = remoteAddress.replace(/^::ffff:/, '');
  return `${host.includes(':') ? `[${host}]` : host}:${remotePort}`;
}
