/**
 * The last hop of the floor: what the relay says goes to HAProxy's runtime socket at once.
 *
 *   floor-proxy.ts RELAY TLS_FILE ADMIN_SOCKET
 */
import { connect, type Socket } from 'node:net';
import type { ProxySessionResponse } from '../../../shared/gen/fairlead/v1/proxy_service.ts';
import { floorClient } from './floor-tls.ts';
import { proxySession } from './floor-wire.ts';

const [relay = '', tlsPath = '', adminSocket = ''] = process.argv.slice(2);
let haproxy: Socket = open();

const { path, requestSerialize, responseDeserialize } = proxySession;
const call = floorClient(relay, tlsPath).makeBidiStreamRequest(
  path,
  requestSerialize,
  responseDeserialize,
);
call.on('data', ({ message }: ProxySessionResponse) => {
  if (message?.$case !== 'delta') return;
  const { targets, removedTargetIds } = message.value;
  const commands = [
    ...removedTargetIds.map((id) => `set server default/${id} state maint`),
    ...targets.flatMap(({ id, address, port }) => [
      `set server default/${id} addr ${address} port ${port}`,
      `set server default/${id} state ready`,
    ]),
  ];
  haproxy.write(`${commands.join('\n')}\n`);
});

/** The benchmark starts HAProxy anew with another number of servers: then another one is at the socket. */
function open(): Socket {
  const socket = connect(adminSocket);
  socket.on('error', () => undefined);
  socket.on('data', () => undefined);
  socket.on('connect', () => socket.write('prompt\n'));
  socket.on('close', () => {
    setTimeout(() => {
      haproxy = open();
    }, 20);
  });
  return socket;
}
