import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { serverParameters } from '../../../agent/proxy/server-commands.ts';
import { systemClock } from '../../../shared/clock.ts';
import { eventually } from '../../support/eventually.ts';
import type { NewServer, Side } from './side.ts';

/** As the agent: HAProxy 2.6 may still point to a server that was just taken out of use. */
const deleteAfterMs = 5_000;

/** HAProxy 2.6 with ten thousand servers was gone after 2,400 deletions in one write. */
const deletionsAtOnce = 200;

/** Above those of the servers in the file. */
const firstNumber = 100_000;

export interface Original {
  readonly configuration: string;
  readonly directory: string;
  readonly port: number;
}

/**
 * The same HAProxy with the same file, which nobody looks after: commands are written to its socket as
 * they come, and their answers counted.
 */
export class FloorSide implements Side, AsyncDisposable {
  readonly name = 'floor';
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #socket: Socket;
  #removed: { readonly id: string; readonly removedAtMs: number }[] = [];
  #nextNumber = firstNumber;
  #prompts = 0;
  #rest = '';

  private constructor(port: number, child: ChildProcess, socket: Socket) {
    this.port = port;
    this.#child = child;
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      const text = this.#rest + chunk.toString('latin1');
      if (/\[[0-3]\]:/.test(text)) throw new Error(`HAProxy refused: ${text}`);
      this.#prompts += text.split('\n> ').length - 1;
      this.#rest = text.slice(-2) === '\n>' ? '\n>' : text.slice(-1) === '\n' ? '\n' : '';
    });
  }

  static async start(directory: string, port: number, original: Original): Promise<FloorSide> {
    mkdirSync(directory, { mode: 0o700 });
    const config = join(directory, 'haproxy.cfg');
    writeFileSync(
      config,
      original.configuration
        .replaceAll(original.directory, directory)
        .replaceAll(`bind :${original.port}\n`, `bind :${port}\n`),
    );
    writeFileSync(join(directory, 'server.state'), '1\n');
    // All that the file names.
    for (const name of readdirSync(original.directory)) {
      if (name !== 'maps' && !name.endsWith('.lua')) continue;
      cpSync(join(original.directory, name), join(directory, name), { recursive: true });
    }
    const child = spawn('haproxy', ['-W', '-f', config], {
      stdio: 'ignore',
      // As the agent's: the kernel shares the processors out by session.
      detached: true,
    });
    const socket = await eventually(
      async () => {
        const each = connect(join(directory, 'admin.sock'));
        await once(each, 'connect');
        return each;
      },
      { timeoutMs: 60_000 },
    );
    const side = new FloorSide(port, child, socket);
    await side.#send(['prompt', 'set severity-output number']);
    return side;
  }

  async add(servers: readonly NewServer[]): Promise<void> {
    await this.#send(
      servers.flatMap(({ id, address, port }) => [
        // With a number: to find a free one HAProxy would look at all.
        `add server web/${id} ${address}:${port} ${serverParameters} id ${this.#nextNumber++}`,
        `enable health web/${id}`,
        `set server web/${id} state ready`,
      ]),
    );
  }

  async remove(servers: readonly NewServer[]): Promise<void> {
    const now = systemClock.monotonic();
    const isDue = ({ removedAtMs }: { removedAtMs: number }) => removedAtMs + deleteAfterMs <= now;
    const due = this.#removed.filter(isDue);
    this.#removed = this.#removed.filter((each) => !isDue(each));
    this.#removed.push(...servers.map(({ id }) => ({ id, removedAtMs: now })));
    const deletions = due.map(({ id }) => `del server web/${id}`);
    await this.#send([
      ...servers.flatMap(({ id }) => [
        `set server web/${id} state maint`,
        `shutdown sessions server web/${id}`,
      ]),
      ...deletions.splice(0, deletionsAtOnce),
    ]);
    while (deletions.length > 0) await this.#send(deletions.splice(0, deletionsAtOnce));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exit;
  }

  async #send(commands: readonly string[]): Promise<void> {
    const until = this.#prompts + commands.length;
    this.#socket.write(`${commands.join('\n')}\n`);
    while (this.#prompts < until) await once(this.#socket, 'data');
  }
}
