import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { onAbort } from '../../../shared/abort.ts';

/** What is started, by Node. */
export interface ServerProgram {
  readonly args: readonly string[];
  /** Besides that of the benchmark. */
  readonly env: Readonly<Record<string, string>>;
  /** What it writes when it listens, with its port. */
  readonly listening: RegExp;
}

/** A server of the benchmark as a process of its own, and what it says on stdout. */
export class ServerProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, 'exit');
  }

  /** Starts it, and resolves with the first match in a line that it writes. */
  static async start(
    { args, env, listening }: ServerProgram,
    signal: AbortSignal,
  ): Promise<readonly [ServerProcess, string]> {
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    const server = new ServerProcess(child);
    using _abort = onAbort(signal, () => child.kill('SIGKILL'));
    const lines = createInterface({ input: child.stdout });
    for await (const line of lines) {
      const match = listening.exec(line)?.[1];
      if (match === undefined) continue;
      // What else it writes is of no interest, but must be read.
      child.stdout.resume();
      return [server, match];
    }
    throw new Error(`${args.join(' ')} ended before it listened`);
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the server was not started');
    return this.#child.pid;
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill();
  }
}
