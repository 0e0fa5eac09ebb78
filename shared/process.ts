import { DomainError } from './errors.ts';

/** What a daemon's `main.ts` exports: it returns when the signal aborts and all it started has ended. */
export type Run = (
  flags: Record<string, unknown>,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
) => Promise<void>;

/** Exit statuses of a process of ours; the command line adds more. */
export const exitStatus = { stopped: 0, failed: 1, usage: 2 } as const;

/** Time from the first signal until the process ends all the same. */
const stopLimitMs = 10_000;

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

/** A bug shows where it is; anything expected is for the user. */
function wordsOf(error: unknown): string {
  if (error instanceof DomainError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function endAtOnce(why: string): never {
  process.stderr.write(`stopped the hard way: ${why}\n`);
  process.exit(exitStatus.failed);
}
