import type { MethodDefinition } from '@grpc/grpc-js';
import {
  NodeSessionRequest,
  NodeSessionResponse,
} from '../../../shared/gen/fairlead/v1/agent_service.ts';
import {
  ProxySessionRequest,
  ProxySessionResponse,
} from '../../../shared/gen/fairlead/v1/proxy_service.ts';

interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** What the floor's agent sends to its relay: the messages of Fairlead, on bare gRPC. */
export const nodeSession = stream('Floor/Node', NodeSessionRequest, NodeSessionResponse);

/** What the floor's relay sends to its proxy. */
export const proxySession = stream('Floor/Proxy', ProxySessionRequest, ProxySessionResponse);

function stream<Request, Response>(
  name: string,
  request: Codec<Request>,
  response: Codec<Response>,
): MethodDefinition<Request, Response> {
  return {
    path: `/${name}`,
    requestStream: true,
    responseStream: true,
    requestSerialize: (message) => Buffer.from(request.encode(message).finish()),
    requestDeserialize: (bytes) => request.decode(bytes),
    responseSerialize: (message) => Buffer.from(response.encode(message).finish()),
    responseDeserialize: (bytes) => response.decode(bytes),
  };
}
