import { Agent, request, type ClientRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { systemClock } from '../../../shared/clock.ts';
import { messageOf } from '../../../shared/errors.ts';
import { eventually } from '../eventually.ts';

/** What clients do; `kept` on a connection that is kept, `fresh` on one of its own. */
export type Kind = 'kept' | 'fresh' | 'big' | 'slow' | 'post' | 'websocket';

/** One request, or one WebSocket from its opening to its end, as its client saw it. */
export interface Entry {
  readonly kind: Kind;
  readonly beganAtMs: number;
  readonly endedAtMs: number;
  /** Who answered; empty if nobody began to. */
  readonly server: string;
  /** Empty: all went well. */
  readonly failure: string;
}

export interface TrafficOptions {
  readonly host: string;
  /** How many clients of each kind there are. */
  readonly clients: Readonly<Partial<Record<Kind, number>>>;
  /** How long a client waits between an answer and its next request. */
  readonly pauseMs: number;
}

const allKinds: TrafficOptions = {
  host: '127.0.0.1',
  clients: { kept: 12, fresh: 6, big: 2, slow: 8, post: 3, websocket: 4 },
  pauseMs: 0,
};
const webSocketLifeMs = 1_500;
const webSocketEveryMs = 20;
const timeoutMs = 20_000;

/**
 * Clients of several kinds at once, each with one request after the other, and a ledger of every one of
 * their requests. By default of all kinds, on this host, with no pause between.
 */
export class Traffic implements AsyncDisposable {
  readonly ledger: Entry[] = [];
  readonly #port: number;
  readonly #options: TrafficOptions;
  readonly #stop = new AbortController();
  readonly #clients: Promise<void>[];

  constructor(port: number, options: TrafficOptions = allKinds) {
    this.#port = port;
    this.#options = options;
    const kinds = Object.entries(options.clients) as [Kind, number][];
    this.#clients = kinds.flatMap(([kind, count]) =>
      Array.from({ length: count }, () => this.#client(kind)),
    );
  }

  get failures(): Entry[] {
    return this.ledger.filter(({ failure }) => failure !== '');
  }

  /** Resolves when that server has answered so many more requests, of any kind or of this one. */
  async answered(server: string, count: number, kind?: Kind): Promise<void> {
    let seen = 0;
    let next = this.ledger.length;
    await eventually(
      () => {
        for (; next < this.ledger.length; next++) {
          const entry = this.ledger[next]!;
          if (entry.server === server && (kind ?? entry.kind) === entry.kind) seen++;
        }
        if (seen < count) throw new Error(`${server} answered ${seen} requests, not ${count}`);
      },
      { intervalMs: 5, timeoutMs: 30_000 },
    );
  }

  /** Begins nothing more, and resolves when all that is in flight has ended. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#clients);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #client(kind: Kind): Promise<void> {
    const { signal } = this.#stop;
    const agent = new Agent({ keepAlive: kind !== 'fresh', maxSockets: 1 });
    while (!signal.aborted) {
      const answer = { server: '' };
      const beganAtMs = systemClock.monotonic();
      let failure = '';
      try {
        if (kind === 'websocket') await this.#webSocket(answer);
        else await this.#request(kind, agent, answer);
      } catch (error) {
        failure = messageOf(error);
      }
      const endedAtMs = systemClock.monotonic();
      this.ledger.push({ kind, beganAtMs, endedAtMs, server: answer.server, failure });
      // A proxy that is away must not be asked thousands of times.
      const pauseMs = Math.max(this.#options.pauseMs, failure === '' ? 0 : 10);
      if (pauseMs > 0) await systemClock.sleep(pauseMs, signal);
    }
    agent.destroy();
  }

  async #request(kind: Kind, agent: Agent, answer: { server: string }): Promise<void> {
    const path = kind === 'big' ? '/big' : kind === 'slow' ? '/slow' : '/';
    const method = kind === 'post' ? 'POST' : 'GET';
    const call = request({ host: this.#options.host, port: this.#port, path, method, agent });
    call.end(kind === 'post' ? Buffer.alloc(1_000, 'x') : undefined);
    await finished(call, answer, kind === 'big' ? 1_000_000 : 1_000);
  }

  async #webSocket(answer: { server: string }): Promise<void> {
    const socket = connect(this.#port, this.#options.host);
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('silent')));
    socket.write('GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    const until = systemClock.monotonic() + webSocketLifeMs;
    let isOpen = false;
    try {
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        const text = chunk.toString('latin1');
        if (!isOpen) {
          if (!text.startsWith('HTTP/1.1 101')) throw new Error(`answered ${text.slice(9, 12)}`);
          answer.server = /x-server: (\S+)/i.exec(text)?.[1] ?? '';
          isOpen = true;
        }
        if (systemClock.monotonic() >= until) return;
        setTimeout(() => socket.write('ping'), webSocketEveryMs);
      }
      throw new Error(isOpen ? 'closed while open' : 'closed before it was open');
    } finally {
      socket.destroy();
    }
  }
}

async function finished(
  call: ClientRequest,
  answer: { server: string },
  length: number,
): Promise<void> {
  call.setTimeout(timeoutMs, () => call.destroy(new Error('silent')));
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    call.once('response', resolve).once('error', reject);
  });
  answer.server = String(response.headers['x-server'] ?? '');
  let received = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) received += chunk.length;
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode ?? 0}`);
  if (received !== length) throw new Error(`${received} bytes of ${length}`);
}
