import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { createServer, isIPv6, type AddressInfo, type Server, type Socket } from 'node:net';
import { decode, encode, TRUNCATED_RESPONSE, type DecodedPacket, type Packet } from 'dns-packet';
import { onAbort } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import { answer, answerUnread, malformed, udpLimit, type Zone } from './answer.ts';

/** The header alone: less is no query. */
const headerBytes = 12;
/** A connection that asks nothing is closed (RFC 7766, section 6.2.3). */
const idleMs = 10_000;
/** However slowly somebody asks, a connection is free again by then. */
const connectionLifeMs = 30_000;
/** One more, and the oldest goes: those who only hold on to theirs lock nobody out. */
const maxConnections = 256;
/** Ports that both kinds have free are looked for so often when any free one will do. */
const bindAttempts = 10;

export interface DnsServerOptions {
  readonly host: string;
  /** 0: any that is free for both UDP and TCP. */
  readonly port: number;
  readonly zone: Zone;
  readonly clock: Pick<Clock, 'now' | 'after'>;
  readonly log: Logger;
}

/** A server that listens. */
export interface RunningDnsServer {
  readonly port: number;
  /** Resolves when the signal has aborted and all is closed. */
  readonly closed: Promise<void>;
}

/** Answers for a zone over UDP and TCP until the signal aborts; never asks other servers. */
export async function serveDns(
  options: DnsServerOptions,
  signal: AbortSignal,
): Promise<RunningDnsServer> {
  const responder = new Responder(options);
  const { tcp, udp, port } = await bind(options);
  udp.on('message', (bytes, peer) => {
    replyOverUdp(udp, responder, { bytes, peer });
  });
  udp.on('error', (err) => {
    options.log.warn({ err }, 'dns socket failed');
  });
  const connections = new Set<Socket>();
  tcp.on('connection', (socket) => {
    const [oldest] = connections;
    if (oldest !== undefined && connections.size >= maxConnections) oldest.destroy();
    connections.add(socket);
    const life = options.clock.after(connectionLifeMs, () => {
      socket.destroy();
    });
    socket.on('close', () => {
      life[Symbol.dispose]();
      connections.delete(socket);
    });
    serveConnection(socket, responder);
  });
  tcp.on('error', (err) => {
    options.log.warn({ err }, 'dns connection refused');
  });
  options.log.info({ host: options.host, port, zone: options.zone.name }, 'dns answers');
  const closed = new Promise<void>((resolve) => {
    onAbort(signal, () => {
      for (const socket of connections) socket.destroy();
      udp.close(() => {
        tcp.close(() => {
          resolve();
        });
      });
    });
  });
  return { port, closed };
}

/** Makes answers of bytes; counts them. */
class Responder {
  readonly #options: DnsServerOptions;
  #turn = 0;

  constructor(options: DnsServerOptions) {
    this.#options = options;
  }

  /** Null: not a query, and nothing is owed. `limit` is that of the transport, by the query. */
  respond(bytes: Buffer, limit: (query: DecodedPacket) => number): Buffer | null {
    if (bytes.length < headerBytes) return null;
    // An answer to an answer could go on for ever.
    if ((bytes.readUInt16BE(2) & 0x8000) !== 0) return null;
    const unread = answerUnread(bytes);
    if (unread !== undefined) return encode(unread);
    try {
      const query = decode(bytes);
      return encodeWithin(this.#answer(query), limit(query));
    } catch (error) {
      this.#options.log.debug({ reason: messageOf(error) }, 'dns query cannot be read');
      return encode(malformed(bytes));
    }
  }

  #answer(query: DecodedPacket): Packet {
    const serial = Math.floor(this.#options.clock.now() / 1_000);
    return answer(query, this.#options.zone, { turn: this.#turn++, serial });
  }
}

/** What does not fit is left out whole: the client asks again over TCP. */
function encodeWithin(packet: Packet, limit: number): Buffer {
  const whole = encode(packet);
  if (whole.length <= limit) return whole;
  const flags = (packet.flags ?? 0) | TRUNCATED_RESPONSE;
  return encode({ ...packet, flags, answers: [], authorities: [] });
}

function replyOverUdp(
  udp: UdpSocket,
  responder: Responder,
  { bytes, peer }: { readonly bytes: Buffer; readonly peer: RemoteInfo },
): void {
  // From this port comes what was made up to be sent back and forth.
  if (peer.port === 0) return;
  const response = responder.respond(bytes, udpLimit);
  if (response !== null) udp.send(response, peer.port, peer.address, () => undefined);
}

const lengthBytes = 2;
const maxTcpBytes = 65_535;

/** Queries and answers with their length before them, one after another (RFC 7766). */
function serveConnection(socket: Socket, responder: Responder): void {
  let pending = Buffer.alloc(0);
  socket.setTimeout(idleMs, () => {
    socket.destroy();
  });
  socket.on('error', () => {
    socket.destroy();
  });
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    for (let next = take(pending); next !== undefined; next = take(pending)) {
      pending = pending.subarray(lengthBytes + next.length);
      const response = responder.respond(next, () => maxTcpBytes);
      if (response === null || !write(socket, response)) {
        socket.destroy();
        return;
      }
    }
  });
}

function take(pending: Buffer): Buffer | undefined {
  if (pending.length < lengthBytes) return undefined;
  const end = lengthBytes + pending.readUInt16BE(0);
  return pending.length < end ? undefined : pending.subarray(lengthBytes, end);
}

/** False: the client asks on and does not read its answers. */
function write(socket: Socket, response: Buffer): boolean {
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt16BE(response.length);
  socket.write(Buffer.concat([length, response]));
  return socket.writableLength <= maxTcpBytes;
}

interface Bound {
  readonly tcp: Server;
  readonly udp: UdpSocket;
  readonly port: number;
}

async function bind(options: DnsServerOptions): Promise<Bound> {
  const { host } = options;
  for (let attempt = 1; ; attempt++) {
    const tcp = createServer();
    const udp = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    try {
      await opened(tcp, () => tcp.listen(options.port, host));
      const { port } = tcp.address() as AddressInfo;
      await opened(udp, () => udp.bind(port, host));
      return { tcp, udp, port };
    } catch (error) {
      tcp.close();
      udp.close();
      if (options.port === 0 && attempt < bindAttempts) continue;
      const message = `cannot answer DNS on ${host}:${options.port}: ${messageOf(error)}`;
      throw new DomainError('unavailable', message, { reason: 'CANNOT_LISTEN', cause: error });
    }
  }
}

async function opened(socket: Server | UdpSocket, open: () => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.once('listening', resolve).once('error', reject);
    open();
  });
  socket.removeAllListeners('error');
}
