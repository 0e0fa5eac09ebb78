import { createConnection, type OnReadOpts, type Socket } from 'node:net';
import { onAbort } from '../../shared/abort.ts';
import { DomainError } from '../../shared/errors.ts';

/** HAProxy understood the command and refused it, or does not know it. */
export interface Refusal {
  /** Its first line. */
  readonly command: string;
  /** HAProxy's words. */
  readonly message: string;
}

/** The answer to one command. */
export interface Reply {
  readonly text: string;
  /** Undefined: done. */
  readonly refusal: Refusal | undefined;
}

export interface RuntimeClientOptions {
  readonly socketPath: string;
  /** Bounds the connecting, and every wait for answers, so that a stuck HAProxy stalls nothing. */
  readonly timeoutMs: number;
}

/** All answers are read into the same piece of memory, and past the machinery of streams: none waits to be read. */
const readBytes = 64 * 1024;

/**
 * While more answers than this are due, each that HAProxy writes would wake us: that costs it twice the time of a short
 * command. So they are left to come together for a moment, which is no longer than it takes to read so many one by one,
 * and too short to fill the socket, where there is room for some 270 answers.
 */
const manyAnswers = 64;
const gatherMs = 1;

/** The prompt that ends each answer. It follows an empty line, or stands alone after a silent success. */
const prompt = '> ';
const promptMark = `\n${prompt}`;

interface Batch {
  readonly commands: readonly string[];
  /** Takes the answer line by line, in place of a reply; only of a batch of one command. */
  readonly onLine?: ((line: string) => void) | undefined;
  readonly replies: Reply[];
  readonly resolve: (replies: Reply[]) => void;
  readonly reject: (error: Error) => void;
}

/**
 * One interactive connection to the runtime socket of a worker.
 *
 * Commands go one a line, many in one write, and are answered in order. A connection stays with its
 * worker for ever, and keeps it alive: after a reload it must be closed and another one opened.
 */
export class RuntimeClient implements Disposable {
  readonly #socket: Socket;
  readonly #options: RuntimeClientOptions;
  readonly #batches: Batch[] = [];
  /** One for all answers, and left to run when there is none to wait for: to set and clear it is not for nothing. */
  readonly #timer: NodeJS.Timeout;
  /** Answers that are still to come. */
  #due = 0;
  /** Runs while nothing is read. */
  #gathering: NodeJS.Timeout | undefined;
  #received = '';
  /** The end of it, which may be the beginning of a prompt. */
  #tail = '';
  #failure: Error | undefined;
  #onClose: (() => void) | undefined;

  private constructor(socket: Socket, options: RuntimeClientOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#timer = setTimeout(() => {
      this.#giveUp();
    }, options.timeoutMs);
    socket.on('error', (error) => {
      this.#fail(error);
    });
    socket.on('close', () => {
      this.#fail(new Error('HAProxy closed the connection'));
    });
  }

  static async open(options: RuntimeClientOptions, signal: AbortSignal): Promise<RuntimeClient> {
    const buffer = Buffer.allocUnsafeSlow(readBytes);
    const onread: OnReadOpts = {
      buffer,
      callback: (count) => {
        client.#receive(buffer.toString('latin1', 0, count));
        return !client.#gather();
      },
    };
    const client: RuntimeClient = new RuntimeClient(await dial(options, signal, onread), options);
    try {
      // Numbers at the front of the answers tell refusals from successes; the words differ by version.
      await client.sendAll(['prompt', 'set severity-output number']);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  get closed(): boolean {
    return this.#failure !== undefined;
  }

  /** Calls `listener` once when the connection is over, for whatever reason. */
  onClose(listener: () => void): void {
    if (this.closed) listener();
    else this.#onClose = listener;
  }

  /** Sends one command and returns its answer; throws if HAProxy refuses it. */
  async query(command: string): Promise<string> {
    const [reply] = await this.sendAll([command]);
    if (reply?.refusal !== undefined) throw refused(reply.refusal);
    return reply?.text ?? '';
  }

  /**
   * Sends one command and hands over the lines of its answer as they come, so that a long one is never held
   * as a whole. Throws if HAProxy refuses it, and what `onLine` throws.
   */
  async readLines(command: string, onLine: (line: string) => void): Promise<void> {
    let failure: unknown;
    let isFirst = true;
    await this.#send([command], (line) => {
      if (failure !== undefined) return;
      try {
        const refusal = isFirst ? readReply(command, line).refusal : undefined;
        isFirst = false;
        if (refusal !== undefined) failure = refused(refusal);
        else onLine(line);
      } catch (error) {
        failure = error;
      }
    });
    if (failure !== undefined) throw failure as Error;
  }

  /**
   * Sends all commands in one write and returns their answers in order. Rejects only if the connection
   * is lost or HAProxy does not answer in time: then it is not known which commands were carried out.
   */
  async sendAll(commands: readonly string[]): Promise<readonly Reply[]> {
    return commands.length === 0 ? [] : await this.#send(commands);
  }

  close(): void {
    this.#socket.destroy();
    this.#fail(new Error('the connection to HAProxy was closed'));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #send(
    commands: readonly string[],
    onLine?: (line: string) => void,
  ): Promise<readonly Reply[]> {
    if (this.#failure !== undefined) throw this.#failure;
    const replies = new Promise<Reply[]>((resolve, reject) => {
      if (this.#batches.length === 0) this.#timer.refresh();
      this.#batches.push({ commands, onLine, replies: [], resolve, reject });
      this.#due += commands.length;
    });
    this.#socket.write(`${commands.join('\n')}\n`, 'latin1');
    return await replies;
  }

  #receive(chunk: string): void {
    // Only what is new can hold a prompt, but for the part of one that came before. Until there is one, what
    // came is left in pieces: a long answer is put together once.
    const news = this.#tail + chunk;
    this.#received += chunk;
    if (this.#batches[0]?.onLine !== undefined || news.includes(promptMark)) this.#takeReplies();
    this.#tail = news.slice(1 - promptMark.length);
  }

  /** True: nothing is read until many answers have come. A long one, which is read line by line, is not waited for. */
  #gather(): boolean {
    if (this.#due < manyAnswers || this.#batches[0]?.onLine !== undefined) return false;
    this.#gathering = setTimeout(() => {
      this.#socket.resume();
    }, gatherMs);
    return true;
  }

  #takeReplies(): void {
    let start = 0;
    for (;;) {
      const [batch] = this.#batches;
      if (batch?.onLine !== undefined) {
        start = this.#takeLines(batch.onLine, start);
        if (batch === this.#batches[0]) break;
        continue;
      }
      const end = this.#received.indexOf(promptMark, start);
      if (end < 0) break;
      this.#settle(this.#received.slice(start, end));
      start = end + promptMark.length;
    }
    if (start > 0) this.#received = this.#received.slice(start);
    // Once for all that came: among hundreds of replies it takes longer than to read them.
    if (this.#batches.length > 0) this.#timer.refresh();
  }

  /** Hands over the lines that are whole, and returns where the rest begins; a prompt settles the batch. */
  #takeLines(onLine: (line: string) => void, from: number): number {
    let start = from;
    for (;;) {
      if (this.#received.startsWith(prompt, start)) {
        this.#settle('');
        return start + prompt.length;
      }
      const end = this.#received.indexOf('\n', start);
      if (end < 0) return start;
      if (end > start) onLine(this.#received.slice(start, end));
      start = end + 1;
    }
  }

  #settle(text: string): void {
    const [batch] = this.#batches;
    if (batch === undefined) return;
    this.#due--;
    batch.replies.push(readReply(batch.commands[batch.replies.length] ?? '', text));
    if (batch.replies.length < batch.commands.length) return;
    this.#batches.shift();
    batch.resolve(batch.replies);
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    clearTimeout(this.#timer);
    clearTimeout(this.#gathering);
    for (const batch of this.#batches.splice(0)) batch.reject(error);
    this.#onClose?.();
  }

  #giveUp(): void {
    const [batch] = this.#batches;
    if (batch === undefined) return;
    const waiting = nameOf(batch.commands[batch.replies.length] ?? '');
    this.#socket.destroy(
      new Error(`HAProxy did not answer "${waiting}" within ${this.#options.timeoutMs} ms`),
    );
  }
}

/**
 * Asks the master, or through it (`@!PID command`) a worker that was replaced, one thing on a connection
 * of its own, which neither outlives a reload nor keeps an old worker alive.
 */
export async function askMaster(
  command: string,
  options: RuntimeClientOptions,
  signal: AbortSignal,
): Promise<string> {
  const socket = await dial(options, signal);
  using _abort = onAbort(signal, () => socket.destroy());
  const timer = setTimeout(() => {
    socket.destroy(new Error(`HAProxy's master did not answer "${command}" in time`));
  }, options.timeoutMs);
  try {
    return await new Promise<string>((resolve, reject) => {
      let text = '';
      socket.setEncoding('latin1');
      socket.on('data', (chunk: string) => (text += chunk));
      socket.on('error', reject);
      socket.on('close', () => {
        if (text === '') reject(new Error(`HAProxy's master did not answer "${command}"`));
        else if (!isWhole(text))
          reject(new Error(`HAProxy's master broke off its answer to "${command}"`));
        else resolve(text);
      });
      // The master closes only after it was told that nothing more comes.
      socket.end(`${command}\n`, 'latin1');
    });
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

/**
 * An empty line is the end of a table, and of one line its own end. What is missing where a master that loads closed
 * its connections would be read as nothing: no worker, no request in flight.
 */
function isWhole(answer: string): boolean {
  if (answer.endsWith('\n\n')) return true;
  return answer.indexOf('\n') === answer.length - 1 && !answer.startsWith('#');
}

async function dial(
  { socketPath, timeoutMs }: RuntimeClientOptions,
  signal: AbortSignal,
  onread?: OnReadOpts,
): Promise<Socket> {
  signal.throwIfAborted();
  const socket = createConnection({ path: socketPath, ...(onread && { onread }) });
  using _abort = onAbort(signal, () => socket.destroy(signal.reason as Error));
  const timer = setTimeout(() => {
    socket.destroy(new Error(`no connection to ${socketPath} within ${timeoutMs} ms`));
  }, timeoutMs);
  let failure: Error | undefined;
  const onError = (error: Error) => {
    failure = error;
  };
  socket.once('error', onError);
  try {
    await new Promise<void>((resolve) => {
      socket.once('connect', resolve).once('close', resolve);
    });
    if (failure !== undefined || socket.destroyed) {
      throw failure ?? new Error(`the connection to ${socketPath} was closed`);
    }
    return socket;
  } finally {
    clearTimeout(timer);
    socket.off('error', onError);
  }
}

function refused({ command, message }: Refusal): DomainError {
  return new DomainError('precondition', `HAProxy refused "${command}": ${message}`, {
    reason: 'HAPROXY_REFUSED',
  });
}

/** Silence, or an empty line. */
const done: Reply = { text: '', refusal: undefined };

/**
 * Severities 0 to 3 are refusals; 4 and up are notices, and silence is success. An unknown command alone
 * comes as a notice.
 */
function readReply(command: string, raw: string): Reply {
  if (raw.length <= 1) return done;
  // Each line of a payload is asked for with a prompt of its own.
  const text = raw.replace(/^(?:\+ )+/, '').trim();
  const refused = /^\[[0-3]\]:/.test(text) || text.includes('Unknown command');
  const words = text.replace(/^\[\d\]: */, '');
  return {
    text: words,
    refusal: refused ? { command: nameOf(command), message: words } : undefined,
  };
}

/** What a command is called in errors and logs: its first line. A payload, of which some hold keys, comes after. */
function nameOf(command: string): string {
  return command.split('\n', 1)[0] ?? '';
}
