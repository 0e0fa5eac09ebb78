import type { ContainerId } from '../../shared/ids.ts';
import type { DockerExec, ExecCommand, TerminalSize } from './docker/docker-exec.ts';
import type { EngineContainer } from './docker/engine.ts';

/** What is asked for. */
export interface ExecOrder {
  readonly containerId: ContainerId;
  readonly command: ExecCommand;
  /** Differs for each. */
  readonly mark: string;
}

/** The part of an engine that runs commands inside of containers. */
export interface ExecEngine {
  find(containerId: ContainerId, signal: AbortSignal): Promise<EngineContainer | undefined>;
  /** `mark` tells the processes of the command from others. */
  exec(
    engineId: string,
    what: { readonly command: ExecCommand; readonly mark: string },
    signal: AbortSignal,
  ): Promise<DockerExec>;
}

/** What a command is sent while it runs. */
export type ExecInput =
  | { readonly kind: 'stdin'; readonly data: Uint8Array }
  | { readonly kind: 'stdin-end' }
  | { readonly kind: 'resize'; readonly size: TerminalSize }
  | { readonly kind: 'signal'; readonly name: string };

/** What is told of a command, in order. */
export type ExecNews =
  | { readonly kind: 'started' }
  | { readonly kind: 'stdout' | 'stderr'; readonly data: Buffer }
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'missing' };

/** Runs a command inside of a container; one that still runs when nobody wants it any more is ended. */
export async function* runExec(
  engine: ExecEngine,
  { containerId, command, mark }: ExecOrder,
  inputs: AsyncIterable<ExecInput>,
  signal: AbortSignal,
): AsyncGenerator<ExecNews> {
  const container = await engine.find(containerId, signal);
  if (container === undefined) {
    yield { kind: 'missing' };
    return;
  }
  const exec = await engine.exec(container.engineId, { command, mark }, signal);
  let hasExited = false;
  try {
    yield { kind: 'started' };
    void feed(exec, inputs, signal);
    yield* exec.output(signal);
    signal.throwIfAborted();
    const code = await exec.exitCode(signal);
    hasExited = true;
    yield { kind: 'exit', code };
  } finally {
    if (!hasExited) await exec.stop();
  }
}

/**
 * Never rejects: what a command cannot be given, as a signal where it has no shell or anything once it has
 * ended, is left out, and what comes after it is taken all the same.
 */
async function feed(
  exec: DockerExec,
  inputs: AsyncIterable<ExecInput>,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const input of inputs) await give(exec, input, signal).catch(() => undefined);
  } catch {
    // Whoever sent it went away.
  }
}

async function give(exec: DockerExec, input: ExecInput, signal: AbortSignal): Promise<void> {
  switch (input.kind) {
    case 'stdin':
      await exec.write(input.data, signal);
      return;
    case 'stdin-end':
      exec.endInput();
      return;
    case 'resize':
      await exec.resize(input.size, signal);
      return;
    case 'signal':
      await exec.signal(input.name, signal);
      return;
  }
}
