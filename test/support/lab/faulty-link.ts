import { once } from 'node:events';
import {
  createConnection,
  createServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';
import { DelayLine } from './delay-line.ts';

export interface FaultyLinkOptions {
  /** Where to accept connections; a free port of the loopback address if left out. */
  readonly listen?: { readonly host: string; readonly port: number };
  /** Where they are passed on to. */
  readonly target: { readonly host: string; readonly port: number };
}

interface Relay {
  readonly client: Socket;
  readonly upstream: Socket;
  readonly lines: readonly [DelayLine, DelayLine];
}

/**
 * A TCP relay with faults, to stand between two processes: slow, silent, refusing, resetting.
 *
 * What is sent into a cut is not lost but arrives after it is healed, as it does with TCP over a
 * network that comes back.
 */
export class FaultyLink implements AsyncDisposable {
  /** Where it listens; the same for its whole life. */
  readonly host: string;
  readonly port: number;
  readonly #target: FaultyLinkOptions['target'];
  readonly #relays = new Set<Relay>();
  /** Accepted during a cut, and not yet passed on. */
  #waiting: Socket[] = [];
  #server: Server;
  #delayMs = 0;
  #cut = false;

  private constructor(server: Server, target: FaultyLinkOptions['target']) {
    const { address, port } = server.address() as AddressInfo;
    this.host = address;
    this.port = port;
    this.#target = target;
    this.#server = server;
    this.#serve(server);
  }

  static async start(options: FaultyLinkOptions, signal: AbortSignal): Promise<FaultyLink> {
    signal.throwIfAborted();
    const { host, port } = options.listen ?? { host: '127.0.0.1', port: 0 };
    return new FaultyLink(await listen(host, port), options.target);
  }

  /** Every byte takes this long in each direction, from now on; 0 is as fast as it can. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** A black hole: connections stay open and new ones are accepted, but nothing gets through. */
  cut(): void {
    this.#setCut(true);
  }

  /** New connections are refused; those that exist go on. */
  refuse(): void {
    this.#server.close();
  }

  /** Every connection ends at once with a reset, at both ends; new ones are accepted. */
  reset(): void {
    for (const socket of this.#waiting) socket.resetAndDestroy();
    this.#waiting = [];
    for (const { client, upstream } of this.#relays) {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    }
  }

  /** Undoes `cut` and `refuse`; a delay stays until it is set to 0. */
  async heal(): Promise<void> {
    if (!this.#server.listening) {
      this.#server = await listen(this.host, this.port);
      this.#serve(this.#server);
    }
    this.#setCut(false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#server.listening ? once(this.#server, 'close') : undefined;
    this.#server.close();
    this.reset();
    await closed;
  }

  #serve(server: Server): void {
    server.on('connection', (client) => {
      if (!this.#cut) {
        this.#relay(client);
        return;
      }
      client.pause();
      client.on('error', () => client.destroy());
      this.#waiting.push(client);
    });
  }

  #relay(client: Socket): void {
    const upstream = createConnection({ ...this.#target, allowHalfOpen: true });
    const delayMs = () => this.#delayMs;
    const lines = [
      new DelayLine(client, upstream, delayMs),
      new DelayLine(upstream, client, delayMs),
    ] as const;
    const relay = { client, upstream, lines };
    this.#relays.add(relay);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.setNoDelay(true);
      socket.on('error', () => other.resetAndDestroy());
      socket.on('close', () => {
        if (client.destroyed && upstream.destroyed) this.#forget(relay);
      });
    }
  }

  #forget(relay: Relay): void {
    for (const line of relay.lines) line.stop();
    this.#relays.delete(relay);
  }

  #setCut(cut: boolean): void {
    this.#cut = cut;
    for (const { lines } of this.#relays) for (const line of lines) line.hold(cut);
    if (cut) return;
    for (const client of this.#waiting) if (!client.destroyed) this.#relay(client);
    this.#waiting = [];
  }
}

async function listen(host: string, port: number): Promise<Server> {
  // Each direction ends by itself, when what was sent in it has arrived.
  const server = createServer({ allowHalfOpen: true });
  server.listen(port, host);
  await once(server, 'listening');
  return server;
}
