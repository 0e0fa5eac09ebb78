import { onAbort } from '../../shared/abort.ts';
import type { ContainerEngine, RunningCommand } from './docker/engine.ts';
import type { CommandProbe, CommandTarget } from './probe.ts';

/** Commands that are remembered for not having ended. */
const maxOverdue = 1_000;

/**
 * Checks by commands in containers. A command that does not end in time cannot be ended by its engine: while
 * it runs no other is begun, so that a check that hangs never fills a container with processes.
 */
export function commandProbe(engine: Pick<ContainerEngine, 'runCommand'>): CommandProbe {
  const overdue = new Map<string, RunningCommand>();
  return async (target, timeoutMs, signal) => {
    const key = keyOf(target);
    const before = overdue.get(key);
    if (before !== undefined) {
      if ((await before.exitCode(signal)) === undefined) return 'runs still, since a check before';
      overdue.delete(key);
    }
    const running = await engine.runCommand(target.engineId, target.command, signal);
    const output = await within(timeoutMs, signal, (until) => running.ended(until));
    if (output === undefined) {
      if (!signal.aborted) remember(overdue, key, running);
      return `did not end within ${timeoutMs} ms`;
    }
    const exitCode = await running.exitCode(signal);
    const words = output === '' ? '' : `: ${output.slice(-200)}`;
    return exitCode === 0 ? '' : `ended with status ${exitCode ?? 'unknown'}${words}`;
  };
}

/** Containers that are gone are never asked for again: the oldest go first. */
function remember(
  overdue: Map<string, RunningCommand>,
  key: string,
  running: RunningCommand,
): void {
  const [oldest] = overdue.keys();
  if (overdue.size >= maxOverdue && oldest !== undefined) overdue.delete(oldest);
  overdue.set(key, running);
}

function keyOf({ engineId, command }: CommandTarget): string {
  return `${engineId} ${command.join(' ')}`;
}

/** What the work comes to; undefined if it takes too long, or is not wanted any more. */
async function within<T>(
  timeoutMs: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const limit = new AbortController();
  using _parent = onAbort(signal, () => {
    limit.abort();
  });
  const timer = setTimeout(() => {
    limit.abort();
  }, timeoutMs);
  try {
    return await work(limit.signal);
  } catch (error) {
    if (limit.signal.aborted) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
