import type { IncomingMessage } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { once } from 'node:events';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { eventually } from './eventually.ts';

/** What a server shows to a client that asks for a host. */
export interface Shown {
  /** Hexadecimal, in lower case. */
  readonly serialNumber: string;
  readonly chainLength: number;
  readonly protocol: string | null;
  /** What both agreed to speak; null: nothing was agreed. */
  readonly application: string | null;
}

/** Options of a client, besides the port. */
export type TlsOptions = Omit<ConnectionOptions, 'host' | 'port' | 'servername'>;

/** Opens a connection, and says what was shown; whoever it is, it is believed. */
export async function shownFor(
  port: number,
  servername: string,
  options: TlsOptions = {},
): Promise<Shown> {
  const socket = await dialTls(port, servername, options);
  try {
    const certificate = socket.getPeerCertificate(true);
    return {
      serialNumber: certificate.serialNumber.toLowerCase(),
      chainLength: lengthOf(certificate),
      protocol: socket.getProtocol(),
      application: socket.alpnProtocol === false ? null : socket.alpnProtocol,
    };
  } finally {
    socket.destroy();
  }
}

/** Resolves once the serial number is shown for a host. */
export async function untilShown(port: number, servername: string, serial: string): Promise<void> {
  await eventually(async () => {
    const { serialNumber } = await shownFor(port, servername);
    if (serialNumber !== serial) throw new Error(`${servername} is shown ${serialNumber}`);
  });
}

async function dialTls(port: number, servername: string, options: TlsOptions): Promise<TLSSocket> {
  const socket = connect({
    ...{ host: '127.0.0.1', port, servername, rejectUnauthorized: false },
    ...{ ALPNProtocols: ['h2', 'http/1.1'], ...options },
  });
  await once(socket, 'secureConnect');
  return socket;
}

interface Link {
  readonly fingerprint256?: string;
  readonly issuerCertificate?: Link;
}

/** Certificates that were sent; one that is signed by itself is its own issuer. */
function lengthOf(certificate: Link): number {
  const next = certificate.issuerCertificate;
  if (next === undefined || next.fingerprint256 === certificate.fingerprint256) return 1;
  return 1 + lengthOf(next);
}

/** One request over HTTP/1.1 on a connection of its own. */
export async function getTls(
  port: number,
  servername: string,
  options: TlsOptions & { readonly path?: string; readonly headers?: Record<string, string> } = {},
): Promise<{ readonly status: number; readonly body: string }> {
  const { status, body } = await askTls(port, servername, options);
  return { status, body };
}

/** As `getTls`, with the header fields of the answer. */
export async function askTls(
  port: number,
  servername: string,
  options: Parameters<typeof getTls>[2] = {},
) {
  const sent = request({
    ...{ host: '127.0.0.1', port, servername, rejectUnauthorized: false, agent: false, ...options },
    headers: { host: servername, ...options.headers },
  });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const { statusCode = 0, headers } = response;
  return { status: statusCode, headers, body: await text(response) };
}

/** Some requests at once over one connection of HTTP/2; their bodies. */
export async function getHttp2(port: number, servername: string, count: number): Promise<string[]> {
  const session = connectHttp2(`https://127.0.0.1:${port}`, {
    servername,
    rejectUnauthorized: false,
  });
  try {
    await once(session, 'connect');
    return await Promise.all(
      Array.from({ length: count }, async () => {
        const stream = session.request({ ':path': '/', ':authority': servername });
        stream.end();
        return await text(stream);
      }),
    );
  } finally {
    session.close();
  }
}
