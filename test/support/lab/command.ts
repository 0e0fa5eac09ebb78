import { spawn } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { text } from 'node:stream/consumers';
import { onAbort } from '../../../shared/abort.ts';

/** A command that could not be started, or that ended with another status than 0. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  /** Undefined when the command could not be started or was ended by a signal. */
  readonly exitCode: number | undefined;
  readonly stderr: string;

  constructor(command: string, outcome: string, stderr: string, exitCode?: number) {
    super(`"${command}" ${outcome}${stderr === '' ? '' : `: ${stderr.trim().slice(-2000)}`}`);
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

export interface CommandOptions {
  /** What the command reads on stdin; nothing if left out. */
  readonly input?: string;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Daemons and network tools live in sbin, which the PATH of an ordinary login may lack. */
export function searchPath(): string[] {
  const directories = (process.env['PATH'] ?? '').split(':').filter((path) => path !== '');
  return [...new Set([...directories, '/usr/local/sbin', '/usr/sbin', '/sbin'])];
}

/** Runs a command to its end and returns what it wrote to stdout; a failed one is a rejection. */
export async function run(
  command: string,
  args: readonly string[],
  options: CommandOptions,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted();
  const child = spawn(command, args, {
    stdio: 'pipe',
    env: { ...process.env, PATH: searchPath().join(':'), ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  // Many commands may run at once, and each stops listening when it ends.
  setMaxListeners(0, signal);
  using _abort = onAbort(signal, () => child.kill('SIGKILL'));
  const line = [command, ...args].join(' ');
  // A command may end without reading its input; its exit status says whether that matters.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');

  const ended = new Promise<{ code: number | null; killedBy: string | null }>((resolve, reject) => {
    child.once('error', (error) => {
      reject(new CommandError(line, `could not be started (${error.message})`, ''));
    });
    child.once('close', (code, killedBy) => {
      resolve({ code, killedBy });
    });
  });
  const [stdout, stderr, { code, killedBy }] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    ended,
  ]);
  signal.throwIfAborted();
  if (code === null) throw new CommandError(line, `was ended by ${String(killedBy)}`, stderr);
  if (code !== 0) throw new CommandError(line, `ended with status ${code}`, stderr, code);
  return stdout;
}
