/**
 * The floor: a bare gRPC server with mutual TLS, which welcomes agents and says nothing more.
 *
 *   floor-server.ts TLS_FILE ADDRESS
 */
import { readFileSync } from 'node:fs';
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import type {
  NodeSessionRequest,
  NodeSessionResponse,
} from '../../../shared/gen/fairlead/v1/agent_service.ts';
import { AgentServiceDefinition } from '../../../shared/gen/fairlead/v1/agent_service.ts';
import { connectionOptions } from '../../../coordinator/api/connection-options.ts';
import { nodeSession } from '../propagation/floor-wire.ts';

/** What the server shows and whom it trusts, PEM. */
export interface FloorServerTls {
  readonly bundle: string;
  readonly certificateChain: string;
  readonly privateKey: string;
}

const [tlsPath = '', address = ''] = process.argv.slice(2);
const tls = JSON.parse(readFileSync(tlsPath, 'utf8')) as FloorServerTls;
const pair = {
  cert_chain: Buffer.from(tls.certificateChain),
  private_key: Buffer.from(tls.privateKey),
};
const server = new Server(connectionOptions);
const path = `/${AgentServiceDefinition.fullName}/${AgentServiceDefinition.methods.nodeSession.name}`;
server.addService(
  { nodeSession: { ...nodeSession, path } },
  {
    nodeSession: (call: ServerDuplexStream<NodeSessionRequest, NodeSessionResponse>) => {
      call.on('error', () => undefined);
      call.on('data', ({ message }: NodeSessionRequest) => {
        if (message?.$case !== 'hello') return;
        const pace = { leaseMs: 3_000, heartbeatMs: 0 };
        const value = { sessionId: 'floor', ...pace, trust: undefined, clock: new Date() };
        call.write({ message: { $case: 'welcome', value } });
      });
    },
  },
);
const credentials = ServerCredentials.createSsl(Buffer.from(tls.bundle), [pair], true);
server.bindAsync(address, credentials, (error, port) => {
  if (error !== null) throw error;
  console.log(`listening on ${port}`);
});
