import {
  credentials,
  Server,
  ServerCredentials,
  status,
  type ServerDuplexStream,
} from '@grpc/grpc-js';
import { ClientError, createChannel } from 'nice-grpc';
import { expect, test } from 'vitest';
import { converse } from '../../../../shared/rpc/converse.ts';

/** A line of text, on the wire as it is. */
const text = {
  encode: (line: string) => ({ finish: () => new TextEncoder().encode(line) }),
  decode: (bytes: Uint8Array) => new TextDecoder().decode(bytes),
};
const method = { name: 'Talk', requestType: text, responseType: text };
const never = new AbortController().signal;

type Call = ServerDuplexStream<string, string>;

/** A server whose one method is answered by `answer`, and a channel to it. */
class Peer implements AsyncDisposable {
  readonly channel;
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.channel = createChannel(`127.0.0.1:${port}`, credentials.createInsecure());
  }

  static async start(answer: (call: Call) => void): Promise<Peer> {
    const server = new Server();
    const serialize = (line: string) => Buffer.from(line);
    const deserialize = (bytes: Buffer) => bytes.toString();
    const codec = {
      ...{ requestSerialize: serialize, requestDeserialize: deserialize },
      ...{ responseSerialize: serialize, responseDeserialize: deserialize },
    };
    const stream = { path: '/test.Peer/Talk', requestStream: true, responseStream: true, ...codec };
    server.addService({ talk: stream }, { talk: answer });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    return new Peer(server, port);
  }

  async talk(
    requests: AsyncIterable<string>,
    onResponse: (line: string) => void,
    signal = never,
  ): Promise<void> {
    const conversation = { service: 'test.Peer', method, requests, onResponse };
    await converse(this.channel, conversation, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.channel.close();
    this.#server.forceShutdown();
    await Promise.resolve();
  }
}

async function* lines(...all: readonly string[]): AsyncGenerator<string> {
  await Promise.resolve();
  yield* all;
}

/** Says nothing until the signal aborts. */
async function* silence(signal: AbortSignal): AsyncGenerator<string> {
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => {
      resolve();
    });
  });
  yield* [];
}

function echo(call: Call): void {
  call.on('data', (line: string) => call.write(line.toUpperCase()));
  call.on('end', () => {
    call.end();
  });
}

test('says all in order, hears all in order, and returns when the other side has ended', async () => {
  await using peer = await Peer.start(echo);
  // More than fits into what either side holds for the other.
  const said = Array.from({ length: 300 }, (_, index) => `${index} ${'x'.repeat(2_000)}`);
  const heard: string[] = [];
  await peer.talk(lines(...said), (line) => {
    heard.push(line);
  });
  expect(heard).toEqual(said.map((line) => line.toUpperCase()));
});

test('throws why the other side ended it', async () => {
  await using peer = await Peer.start((call) => {
    call.emit('error', { code: status.UNAUTHENTICATED, details: 'not you' });
  });
  using life = new Life();
  const talk = peer.talk(silence(life.signal), () => undefined);
  await expect(talk).rejects.toThrow(ClientError);
  await expect(talk).rejects.toMatchObject({ code: status.UNAUTHENTICATED, details: 'not you' });
});

test('ends with its signal, and the other side hears of it', async () => {
  let cancelled: () => void = () => undefined;
  const heardOf = new Promise<void>((resolve) => {
    cancelled = resolve;
  });
  await using peer = await Peer.start((call) => {
    call.on('cancelled', cancelled);
    call.write('welcome');
  });
  using life = new Life();
  const hangUp = () => {
    life[Symbol.dispose]();
  };
  const talk = peer.talk(silence(life.signal), hangUp, life.signal);
  await expect(talk).rejects.toMatchObject({ code: status.CANCELLED });
  await heardOf;
});

test('ends when what is heard cannot be taken in, or what is to be said cannot be made', async () => {
  await using peer = await Peer.start(echo);
  const refuse = () => {
    throw new Error('not like that');
  };
  await expect(peer.talk(lines('hello'), refuse)).rejects.toThrow('not like that');

  async function* broken(): AsyncGenerator<string> {
    yield* lines('hello');
    throw new Error('nothing to say');
  }
  await expect(peer.talk(broken(), () => undefined)).rejects.toThrow('nothing to say');
});

/** A signal that aborts when it is disposed of. */
class Life implements Disposable {
  readonly #controller = new AbortController();

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    this.#controller.abort();
  }
}
