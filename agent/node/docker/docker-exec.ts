import type { Duplex } from 'node:stream';
import type Docker from 'dockerode';
import { onAbort } from '../../../shared/abort.ts';
import type { Clock } from '../../../shared/clock.ts';
import { outputReader, type OutputChunk } from './output-frames.ts';

/** A command to run inside of an engine container. */
export interface ExecCommand {
  readonly command: readonly string[];
  readonly terminal: boolean;
  readonly interactive: boolean;
  /** Empty: the container's. */
  readonly user: string;
  /** Empty: the container's. */
  readonly workingDir: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly size: TerminalSize | undefined;
}

/** In characters. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** What an engine is asked for a command inside of one of its containers. */
interface ExecRequests {
  readonly create: (options: object, signal: AbortSignal) => Promise<string>;
  /** The connection that its input and output go over. */
  readonly attach: (id: string, terminal: boolean, signal: AbortSignal) => Promise<Duplex>;
  /** Starts it with nobody connected. */
  readonly detach: (id: string, signal: AbortSignal) => Promise<void>;
  readonly resize: (id: string, size: TerminalSize, signal: AbortSignal) => Promise<void>;
  readonly inspect: (
    id: string,
    signal: AbortSignal,
  ) => Promise<{ readonly Running: boolean; readonly ExitCode: number | null }>;
}

/** Sends one request, and gives it up after a time. */
type Send = <T>(
  limitMs: number,
  signal: AbortSignal,
  request: (signal: AbortSignal) => Promise<T>,
) => Promise<T>;

/** The requests for commands inside of one engine container. */
export function execRequests(
  { docker, engineId }: { readonly docker: Docker; readonly engineId: string },
  limitsMs: { readonly quick: number; readonly start: number },
  send: Send,
): ExecRequests {
  return {
    create: async (options, signal) => {
      const { id } = await send(limitsMs.quick, signal, (abortSignal) =>
        docker.getContainer(engineId).exec({ ...options, abortSignal }),
      );
      return id;
    },
    attach: (id, terminal, signal) =>
      send(limitsMs.start, signal, () =>
        docker.getExec(id).start({ hijack: true, stdin: true, Tty: terminal }),
      ),
    detach: async (id, signal) => {
      const answer = await send(limitsMs.start, signal, () =>
        docker.getExec(id).start({ Detach: true }),
      );
      answer.resume();
    },
    resize: async (id, { rows, columns }, signal) => {
      await send(limitsMs.quick, signal, () => docker.getExec(id).resize({ h: rows, w: columns }));
    },
    inspect: (id, signal) => send(limitsMs.quick, signal, () => docker.getExec(id).inspect()),
  };
}

export interface DockerExecDeps {
  readonly requests: ExecRequests;
  readonly clock: Clock;
  /** Marks the command, so that it and what it starts can be found again. */
  readonly mark: string;
}

/** The variable that marks a command. */
const markName = 'FAIRLEAD_EXEC';
/** An engine knows the exit status a moment after the output has ended. */
const lookMs = 25;
/** A terminal can have a size only when its process is there. */
const resizeTries = 20;
/** Between asking a command to end and ending it. */
const graceMs = 2_000;

/**
 * Sends a signal to every process of the user that has the mark. Engines have no such request; and the agent
 * has no right to the processes of its host, nor needs one for this.
 */
const signalScript = `for p in /proc/[0-9]*; do
  if grep -qs "${markName}=$1" "$p/environ"; then kill -s "$2" "\${p#/proc/}"; fi
done 2>/dev/null`;

const never = new AbortController().signal;

/** A command that runs inside of an engine container. */
export class DockerExec {
  readonly #deps: DockerExecDeps;
  readonly #command: ExecCommand;
  readonly #id: string;
  readonly #socket: Duplex;

  private constructor(deps: DockerExecDeps, command: ExecCommand, id: string, socket: Duplex) {
    this.#deps = deps;
    this.#command = command;
    this.#id = id;
    this.#socket = socket;
    // Told to whoever reads or writes.
    socket.on('error', () => undefined);
  }

  static async start(
    deps: DockerExecDeps,
    command: ExecCommand,
    signal: AbortSignal,
  ): Promise<DockerExec> {
    const { requests, mark } = deps;
    const { terminal, interactive, user, workingDir, environment, size } = command;
    const id = await requests.create(
      {
        Cmd: [...command.command],
        AttachStdin: interactive,
        AttachStdout: true,
        AttachStderr: true,
        Tty: terminal,
        // Engines before 23.0 do not know it: they are told once it runs.
        ...(size !== undefined && { ConsoleSize: [size.rows, size.columns] }),
        ...(user !== '' && { User: user }),
        ...(workingDir !== '' && { WorkingDir: workingDir }),
        Env: [
          ...Object.entries(environment).map(([name, value]) => `${name}=${value}`),
          `${markName}=${mark}`,
        ],
      },
      signal,
    );
    // Not given up half-way: it would run, and nobody would have it.
    const socket = await requests.attach(id, terminal, never);
    const exec = new DockerExec(deps, command, id, socket);
    if (size !== undefined) await exec.resize(size, signal);
    return exec;
  }

  /** What it writes, as fast as it is read, until it has ended. */
  async *output(signal: AbortSignal): AsyncGenerator<OutputChunk> {
    const read = outputReader({ hasTerminal: this.#command.terminal });
    using _stop = onAbort(signal, () => {
      this.#socket.destroy();
    });
    for await (const chunk of this.#socket) yield* read(chunk as Buffer);
  }

  /** Gives it input; resolves when more can be taken. */
  async write(data: Uint8Array, signal: AbortSignal): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded || socket.write(data)) return;
    await new Promise<void>((resolve) => {
      const stop = onAbort(signal, settle);
      socket.once('drain', settle).once('close', settle);
      function settle(): void {
        stop[Symbol.dispose]();
        socket.off('drain', settle).off('close', settle);
        resolve();
      }
    });
  }

  /** Its input ends. */
  endInput(): void {
    this.#socket.end();
  }

  async resize(size: TerminalSize, signal: AbortSignal): Promise<void> {
    const { requests, clock } = this.#deps;
    for (let tries = 1; !signal.aborted; tries++) {
      try {
        await requests.resize(this.#id, size, signal);
        return;
      } catch {
        // It is not there yet, or no more: neither is worth more than this.
        if (tries === resizeTries) return;
      }
      await clock.sleep(lookMs, signal);
    }
  }

  /** Sends a signal to it and to what it started, as far as the container has a shell. */
  async signal(name: string, signal: AbortSignal): Promise<void> {
    const { requests, mark } = this.#deps;
    const { user } = this.#command;
    const id = await requests.create(
      {
        Cmd: ['sh', '-c', signalScript, 'sh', mark, name],
        ...(user !== '' && { User: user }),
      },
      signal,
    );
    await requests.detach(id, signal);
  }

  /** Its exit status, once its output has ended. */
  async exitCode(signal: AbortSignal): Promise<number> {
    for (;;) {
      const { Running, ExitCode } = await this.#deps.requests.inspect(this.#id, signal);
      if (!Running && ExitCode !== null) return ExitCode;
      await this.#deps.clock.sleep(lookMs, signal);
      signal.throwIfAborted();
    }
  }

  /** Ends it, if it still runs: nobody is there for it any more. */
  async stop(): Promise<void> {
    this.#socket.destroy();
    if (!(await this.#isRunning())) return;
    await this.signal('HUP', never);
    await this.signal('TERM', never);
    const { clock } = this.#deps;
    const untilMs = clock.monotonic() + graceMs;
    while (await this.#isRunning()) {
      if (clock.monotonic() >= untilMs) {
        await this.signal('KILL', never);
        return;
      }
      await clock.sleep(4 * lookMs, never);
    }
  }

  async #isRunning(): Promise<boolean> {
    return (await this.#deps.requests.inspect(this.#id, never)).Running;
  }
}
