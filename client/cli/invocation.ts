import type { Command } from 'commander';
import type { FairleadClient } from '../index.ts';
import { systemClock } from '../../shared/clock.ts';
import { addressOf, wantsColours, type GlobalFlags } from './context.ts';
import { environment } from './environment.ts';
import { CommandFailure, exitStatus } from './exit-status.ts';
import type { Output } from './output.ts';

/** What a command works with. */
export interface Invocation<Flags> {
  readonly client: FairleadClient;
  readonly output: Output;
  readonly flags: Flags & GlobalFlags;
  /** The arguments that are no flags, in their order. */
  readonly args: readonly string[];
  /** Aborts on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}

// Long enough for a coordinator that is just being restarted.
const connectTimeoutMs = 5_000;

/** A handler for commander that is run with a connected client, and whose client is closed after it. */
export function connected<Flags>(
  handler: (invocation: Invocation<Flags>) => Promise<void>,
  interruptible: () => Disposable & { readonly signal: AbortSignal } = () => new Interrupts(),
): (...params: unknown[]) => Promise<void> {
  return async (...params) => {
    const command = params.at(-1) as Command;
    const flags = command.optsWithGlobals<Flags & GlobalFlags>();
    const output = await openOutput(flags);
    const interrupts = interruptible();
    try {
      const connect = await loadConnect();
      await using client = await connect(
        addressOf(flags, environment),
        {
          connectTimeoutMs,
          onWatchLost: () => {
            if (output.isWatched) output.note('the connection was lost; trying again', 'busy');
          },
        },
        interrupts.signal,
      );
      const { args } = command;
      await handler({ client, output, flags, args, signal: interrupts.signal });
      interrupts.signal.throwIfAborted();
    } catch (error) {
      throw interrupts.signal.aborted && !(error instanceof CommandFailure)
        ? interrupts.signal.reason
        : error;
    } finally {
      interrupts[Symbol.dispose]();
    }
  };
}

/** On its own: TypeScript 6.0 leaves the `.ts` of an import in a block that has `using`. */
export async function loadConnect() {
  return (await import('../index.ts')).connect;
}

/** Where this command writes, as its flags and the streams say. */
export async function openOutput(flags: GlobalFlags): Promise<Output> {
  const { Output } = await import('./output.ts');
  return new Output({
    stdout: process.stdout,
    stderr: process.stderr,
    json: flags.json === true,
    colours: wantsColours(environment),
    now: () => systemClock.now(),
  });
}

/** Turns the first SIGINT or SIGTERM into an abort; a second one ends the process at once. */
export class Interrupts implements Disposable {
  readonly #controller = new AbortController();
  readonly #onInterrupt = () => {
    this.#controller.abort(new CommandFailure(exitStatus.interrupted, ''));
  };
  readonly #onTerminate = () => {
    this.#controller.abort(new CommandFailure(exitStatus.terminated, ''));
  };

  constructor() {
    process.once('SIGINT', this.#onInterrupt);
    process.once('SIGTERM', this.#onTerminate);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    process.off('SIGINT', this.#onInterrupt);
    process.off('SIGTERM', this.#onTerminate);
  }
}
