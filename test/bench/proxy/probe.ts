import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const question = 'GET / HTTP/1.1\r\nHost: bench\r\n\r\n';

/** One client on one connection, that asks again and again without a pause. */
export class Probe implements Disposable {
  readonly #socket: Socket;
  #answered: ((text: string) => void) | undefined;
  #received = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#received += chunk.toString('latin1');
      const head = this.#received.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = Number(/content-length: (\d+)/i.exec(this.#received)?.[1] ?? 0);
      if (this.#received.length < head + 4 + length) return;
      const body = this.#received.slice(head + 4);
      this.#received = '';
      this.#answered?.(body);
    });
  }

  static async open(port: number): Promise<Probe> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Probe(socket);
  }

  /** Asks until the new server has answered. */
  async untilNew(): Promise<void> {
    for (let asked = 0; asked < 50_000; asked++) if ((await this.#ask()) === 'new') return;
    throw new Error('the new server never answered');
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #ask(): Promise<string> {
    return await new Promise((resolve) => {
      this.#answered = resolve;
      this.#socket.write(question);
    });
  }
}
