import { constants } from 'node:os';
import { DomainError } from '../../shared/errors.ts';
import { CommandError } from '../support/lab/command.ts';

/** Removing a whole fleet takes seconds; a machine that cannot do it in so long never will. */
const limitMs = 60_000;
/** npm passes on the signal that the terminal has sent already: that is no second wish. */
const echoMs = 1_000;

/**
 * Runs until it is over or the user wants it to stop, and returns the exit status. Stopping means to
 * clean up, so impatience does not cut it short: a second Ctrl-C is answered with words.
 */
export async function interruptible(run: (signal: AbortSignal) => Promise<void>): Promise<number> {
  const stop = new AbortController();
  let stopped: { readonly status: number; readonly at: number } | undefined;
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const beginStop = (status: number, why: string) => {
    stopped = { status, at: performance.now() };
    say(`${why}: removing what was made …`);
    stop.abort();
    setTimeout(() => {
      say('it takes too long: "npm run demo -- --down" removes what is left');
      process.exit(status);
    }, limitMs).unref();
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (stopped === undefined) beginStop(128 + constants.signals[name], name);
      else if (performance.now() - stopped.at > echoMs) say('still removing, a few seconds more');
    });
  }
  // Whoever reads our words may leave at any time, and take their terminal with them.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: Error) => {
      if (stopped === undefined) beginStop(1, `nobody reads on (${error.message})`);
    });
  }
  try {
    await run(stop.signal);
    return stopped?.status ?? Number(process.exitCode ?? 0);
  } catch (error) {
    if (!stop.signal.aborted || error !== stop.signal.reason) say(wordsOf(error));
    return stopped?.status ?? 1;
  }
}

/** A bug shows where it is; anything expected is for the user. */
function wordsOf(error: unknown): string {
  // Removing failed after something else had: that something is the cause.
  if (error instanceof Error && 'suppressed' in error && 'error' in error) {
    return `${wordsOf(error.suppressed)}\n${wordsOf(error.error)}`;
  }
  if (error instanceof DomainError || error instanceof CommandError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
