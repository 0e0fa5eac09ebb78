import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { serverParameters } from '../../../agent/proxy/server-commands.ts';
import { systemClock } from '../../../shared/clock.ts';
import { eventually } from '../../support/eventually.ts';
import type { NewServer, Side } from './side.ts';

/** As the agent: HAProxy 2.6 may still point to a server that was just taken out of use. */
const deleteAfterMs = 5_000;

/** All that come in one write are carried out before HAProxy does anything else. */
const deletionsAtOnce = 200;

/** In which a master notices that its worker died, and says so. */
const masterMs = 2_000;
/** A watchdog's report of two threads has some forty lines. */
const maxLines = 80;
const never = new AbortController().signal;

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
  readonly #log: string;
  /** That HAProxy is gone though nobody ended it, with its last words. */
  #failure: Error | undefined;
  #isEnding = false;
  /** Called when answers have come, or none will. */
  #onNews: (() => void) | undefined;
  #removed: { readonly id: string; readonly removedAtMs: number }[] = [];
  #nextNumber = firstNumber;
  #prompts = 0;
  #rest = '';

  private constructor(port: number, child: ChildProcess, socket: Socket, log: string) {
    this.port = port;
    this.#child = child;
    this.#socket = socket;
    this.#log = log;
    socket.on('data', (chunk: Buffer) => {
      const text = this.#rest + chunk.toString('latin1');
      if (/\[[0-3]\]:/.test(text)) throw new Error(`HAProxy refused: ${text}`);
      this.#prompts += text.split('\n> ').length - 1;
      this.#rest = text.slice(-2) === '\n>' ? '\n>' : text.slice(-1) === '\n' ? '\n' : '';
      this.#onNews?.();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (!this.#isEnding) void this.#fail();
    });
  }

  static async start(directory: string, port: number, original: Original): Promise<FloorSide> {
    mkdirSync(directory, { mode: 0o700 });
    const config = join(directory, 'haproxy.cfg');
    writeFileSync(
      config,
      original.configuration
        .replaceAll(original.directory, directory)
        .replaceAll(`bind :${original.port}\n`, `bind :${port}\n`)
        .replaceAll(`bind :::${original.port} `, `bind :::${port} `),
    );
    writeFileSync(join(directory, 'server.state'), '1\n');
    // All that the file names.
    for (const name of readdirSync(original.directory)) {
      if (name !== 'maps' && !name.endsWith('.lua')) continue;
      cpSync(join(original.directory, name), join(directory, name), { recursive: true });
    }
    // As the agent's: in a file.
    const log = join(directory, 'haproxy.log');
    const output = openSync(log, 'a');
    const child = spawn('haproxy', ['-W', '-f', config], {
      stdio: ['ignore', output, output],
      // As the agent's: the kernel shares the processors out by session.
      detached: true,
    });
    closeSync(output);
    const socket = await eventually(
      async () => {
        const each = connect(join(directory, 'admin.sock'));
        await once(each, 'connect');
        return each;
      },
      { timeoutMs: 60_000 },
    );
    const side = new FloorSide(port, child, socket, log);
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
    const [first = [], ...others] = inTurns(due.map(({ id }) => `del server web/${id}`));
    await this.#send([
      ...servers.flatMap(({ id }) => [
        `set server web/${id} state maint`,
        `shutdown sessions server web/${id}`,
      ]),
      ...first,
    ]);
    for (const deletions of others) await this.#send(deletions);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true;
    this.#socket.destroy();
    if (hasEnded(this.#child)) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exit;
  }

  async #send(commands: readonly string[]): Promise<void> {
    const until = this.#prompts + commands.length;
    this.#socket.write(`${commands.join('\n')}\n`);
    while (this.#prompts < until) {
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => (this.#onNews = resolve));
    }
  }

  /** A worker that dies takes its sockets along, and its master says of what. */
  async #fail(): Promise<void> {
    if (!hasEnded(this.#child)) {
      await Promise.race([once(this.#child, 'exit'), systemClock.sleep(masterMs, never)]);
    }
    const words = lastWords(readFileSync(this.#log, 'utf8'));
    this.#failure = new Error(`the floor's HAProxy ended:\n${words}`);
    this.#onNews?.();
  }
}

/**
 * Deletions, given in the order in which the servers were made, as writes in which no two are of neighbours: every
 * second one of those that are left. HAProxy takes servers out of a list of all without a lock (its issue 2733), and two
 * threads that do so with neighbours spoil its memory.
 */
function inTurns(deletions: readonly string[]): string[][] {
  const writes: string[][] = [];
  for (let left = deletions; left.length > 0; left = left.filter((_, index) => index % 2 === 1)) {
    const turn = left.filter((_, index) => index % 2 === 0);
    while (turn.length > 0) writes.push(turn.splice(0, deletionsAtOnce));
  }
  return writes;
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** All but what is said of servers that come, go and are deleted. */
function lastWords(log: string): string {
  const said = log.split('\n').filter((line) => !/^\[(?:NOTICE|WARNING)\]/.test(line));
  return said.slice(-maxLines).join('\n');
}
