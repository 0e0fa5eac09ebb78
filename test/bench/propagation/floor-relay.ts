/**
 * The hop in the middle of the floor: what a node reports goes to every proxy at once.
 *
 *   floor-relay.ts ADDRESS TLS_FILE
 */
import { Server, type ServerDuplexStream } from '@grpc/grpc-js';
import type {
  NodeSessionRequest,
  NodeSessionResponse,
} from '../../../shared/gen/fairlead/v1/agent_service.ts';
import { ContainerPhase } from '../../../shared/gen/fairlead/v1/container.ts';
import { TargetMode } from '../../../shared/gen/fairlead/v1/load_balancer.ts';
import type {
  BackendDelta,
  ProxySessionRequest,
  ProxySessionResponse,
} from '../../../shared/gen/fairlead/v1/proxy_service.ts';
import { floorServerCredentials } from './floor-tls.ts';
import { nodeSession, proxySession } from './floor-wire.ts';

const [address = '', tlsPath = ''] = process.argv.slice(2);
const proxies = new Set<ServerDuplexStream<ProxySessionRequest, ProxySessionResponse>>();
const server = new Server();
server.addService(
  { nodeSession, proxySession },
  {
    nodeSession: (call: ServerDuplexStream<NodeSessionRequest, NodeSessionResponse>) => {
      call.on('data', relay).on('error', () => undefined);
      console.log('agent connected');
    },
    proxySession: (call: ServerDuplexStream<ProxySessionRequest, ProxySessionResponse>) => {
      proxies.add(call);
      call.on('data', () => undefined).on('error', () => undefined);
      console.log('proxy connected');
    },
  },
);
server.bindAsync(address, floorServerCredentials(tlsPath), (error) => {
  if (error !== null) throw error;
  console.log('listening');
});

function relay({ message }: NodeSessionRequest): void {
  if (message?.$case !== 'report') return;
  for (const { containerId, phase, ports } of message.value.containers) {
    const [port] = ports;
    const isIn = phase === ContainerPhase.RUNNING && port !== undefined;
    const delta: BackendDelta = {
      ...{ epoch: '', baseVersion: 0, version: 0 },
      targets: isIn
        ? [
            {
              ...{
                id: containerId,
                backend: 'default',
                container: containerId,
                containerId,
                backup: false,
                http2: false,
                checkPort: 0,
              },
              ...{ address: port.hostAddress, port: port.hostPort },
              ...{ mode: TargetMode.READY, drainTimeoutMs: 0 },
            },
          ]
        : [],
      removedTargetIds: isIn ? [] : [containerId],
    };
    for (const proxy of proxies) proxy.write({ message: { $case: 'delta', value: delta } });
  }
}
