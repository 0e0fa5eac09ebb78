import { argv, env } from 'node:process';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { DomainError, messageOf } from './errors.ts';

/** What a daemon's `main.ts` exports: it returns when the signal aborts and all it started has ended. */
export type Run = (
  flags: Record<string, unknown>,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
) => Promise<void>;

/** Flags of a daemon by their camelCase name: given once, or as often as one likes. */
export type FlagNames = Readonly<Record<string, 'one' | 'many'>>;

/** Exit statuses of a process of ours; the command line adds more. */
export const exitStatus = { stopped: 0, failed: 1, usage: 2 } as const;

/** Time from the first signal until the process ends all the same. */
const stopLimitMs = 10_000;

/**
 * Makes a daemon of this process: runs it with the flags of the command line, and ends the process
 * with its exit status when it is over. With `--version` it says its version and does nothing else.
 */
export async function runDaemon(run: Run, names: FlagNames, version: string): Promise<void> {
  if (argv[2] === '--version') {
    process.stdout.write(`${version}\n`);
    return;
  }
  const status = await untilSignalled((signal) =>
    run(parseFlags(argv.slice(2), names), env, signal),
  );
  // The connections that a pool keeps must not keep the process; the logger flushes on exit.
  process.exit(status);
}

/**
 * Runs until SIGTERM or SIGINT, which abort the signal, and returns the exit status: being stopped is a
 * success. A second signal, or a stop that takes longer than the limit, ends the process at once.
 */
export async function untilSignalled(
  run: (signal: AbortSignal) => Promise<void>,
  limitMs: number = stopLimitMs,
): Promise<number> {
  const stop = new AbortController();
  let limit: NodeJS.Timeout | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    if (stop.signal.aborted) endAtOnce(`a second signal (${name}) came before all had stopped`);
    limit = setTimeout(() => {
      endAtOnce(`not everything had stopped ${limitMs} ms after ${name}`);
    }, limitMs);
    limit.unref();
    stop.abort();
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  try {
    await run(stop.signal);
    return exitStatus.stopped;
  } catch (error) {
    process.stderr.write(`${wordsOf(error)}\n`);
    return error instanceof DomainError && error.kind === 'invalid'
      ? exitStatus.usage
      : exitStatus.failed;
  } finally {
    clearTimeout(limit);
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
  }
}

/** Reads `--state-dir DIR` as `{ stateDir: 'DIR' }`; a flag that is not named is refused. */
export function parseFlags(args: readonly string[], names: FlagNames): Record<string, unknown> {
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const [name, times] of Object.entries(names)) {
    options[kebab(name)] = { type: 'string', multiple: times === 'many' };
  }
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true });
    return Object.fromEntries(
      Object.keys(names)
        .map((name) => [name, values[kebab(name)]] as const)
        .filter(([, value]) => value !== undefined),
    );
  } catch (error) {
    throw new DomainError('invalid', messageOf(error), { reason: 'FLAG_INVALID', cause: error });
  }
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** A bug shows where it is; anything expected is for the user. */
function wordsOf(error: unknown): string {
  if (error instanceof DomainError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function endAtOnce(why: string): never {
  process.stderr.write(`stopped the hard way: ${why}\n`);
  process.exit(exitStatus.failed);
}
