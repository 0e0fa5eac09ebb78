import { ChildController } from '../../shared/abort.ts';
import { systemClock } from '../../shared/clock.ts';
import { ContainerPhase, type Container } from '../../shared/gen/fairlead/v1/container.ts';
import { CommandFailure, exitStatus } from './exit-status.ts';
import type { Invocation } from './invocation.ts';
import { defaultTimeoutMs, type MutationFlags } from './mutation-flags.ts';

/** What a user has stopped stays where it is. */
const ended: ReadonlySet<ContainerPhase> = new Set([
  ContainerPhase.STOPPED,
  ContainerPhase.FAILED,
  ContainerPhase.REMOVED,
]);

/** Waits until nothing runs on a node any more, saying what left. Fails with status 6 after `--timeout`. */
export async function untilEmpty(
  {
    client,
    flags,
    output,
    signal,
  }: Pick<Invocation<MutationFlags>, 'client' | 'flags' | 'output' | 'signal'>,
  node: { readonly id: string; readonly name: string },
): Promise<void> {
  const timeoutMs = flags.timeout ?? defaultTimeoutMs;
  const shows = flags.progress ?? output.isWatched;
  using scope = new ChildController(signal);
  using _limit =
    timeoutMs === 0
      ? null
      : systemClock.after(timeoutMs, () => {
          scope.abort();
        });
  let staying: readonly Container[] = [];
  for await (const { items } of client.watchContainers({ nodes: [node.id] }, scope.signal)) {
    const before = staying.length;
    staying = [...items.values()].filter(({ phase }) => !ended.has(phase));
    if (staying.length === 0) return;
    if (shows && staying.length !== before) {
      output.note(`${node.name}: ${staying.length} containers to go`);
    }
  }
  signal.throwIfAborted();
  const names = staying.map(({ name, message }) => (message === '' ? name : `${name}: ${message}`));
  throw new CommandFailure(
    exitStatus.timedOut,
    `${node.name} was not empty within ${timeoutMs / 1_000}s; still there, and still to go: ${names.join(', ')}`,
    ['see what their services wait for: fairlead explain SERVICE'],
  );
}
