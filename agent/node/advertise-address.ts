import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { DomainError, messageOf } from '../../shared/errors.ts';

/** Stands for any host far away (RFC 5737); nothing is ever sent to it. */
const farAway = '192.0.2.1';

/**
 * The address of this host on the route to the coordinator, which proxies and peers are taken to reach
 * too. Beside the coordinator that would be the loopback address, which nobody else can use: then it is
 * the one on the default route, else the first of any interface.
 */
export async function detectAdvertiseAddress(coordinator: string): Promise<string> {
  const { host, port } = splitAddress(coordinator);
  let direct: string;
  try {
    const { address, family } = await lookup(host);
    direct = await localAddress(family === 6 ? 'udp6' : 'udp4', address, port);
  } catch (error) {
    throw new DomainError(
      'unavailable',
      `no route to the coordinator at ${coordinator} (${messageOf(error)}), so the address of this node is not known; --advertise-address can name it`,
      { reason: 'NO_ROUTE', cause: error },
    );
  }
  if (!isLoopback(direct)) return direct;
  try {
    return await localAddress('udp4', farAway, 9);
  } catch {
    return firstAddress() ?? direct;
  }
}

/** Connecting a UDP socket sends nothing, but lets the kernel choose the address it would send from. */
async function localAddress(type: 'udp4' | 'udp6', address: string, port: number): Promise<string> {
  const socket = createSocket(type);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.connect(port, address, resolve);
    });
    return socket.address().address;
  } finally {
    socket.close();
  }
}

function firstAddress(): string | undefined {
  return Object.entries(networkInterfaces())
    .filter(([name]) => !/^(docker|br-|veth)/.test(name))
    .flatMap(([, addresses]) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1' || address.startsWith('::ffff:127.');
}

function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return {
    host: address.slice(0, colon).replace(/^\[(.*)\]$/, '$1'),
    port: Number(address.slice(colon + 1)),
  };
}
