import { pathOf, type ListSnapshot, type Target } from './backend-list.ts';
import type { KnownServer } from './server-state.ts';

/** For a drain whose order was lost with the agent. */
const defaultDrainTimeoutMs = 30_000;

/** Of a server that no list has. */
const unlisted = {
  ...{ drainTimeoutMs: defaultDrainTimeoutMs, container: '', containerId: '', backup: false },
};

/**
 * Corrects a list from disk by what a running HAProxy really has.
 *
 * The agent before this one may have ended after a command and before the write: its HAProxy knows
 * better. A target that it was told to drain must not be made ready again by an old list. Targets of
 * backends that it does not have yet are kept.
 */
export function adoptServers(
  list: ListSnapshot,
  servers: ReadonlyMap<string, KnownServer>,
  backends: ReadonlySet<string>,
): ListSnapshot {
  const targets = new Map(list.targets.map((target) => [pathOf(target), target]));
  const corrected: Target[] = [...targets.values()].filter(({ backend }) => !backends.has(backend));
  for (const [path, server] of servers) {
    const listed = targets.get(path);
    // Not in the list and in maintenance: it was removed, and waits for its deletion.
    if (listed === undefined && server.mode === 'maint') continue;
    corrected.push({
      ...(listed ?? unlisted),
      id: server.id,
      backend: server.backend,
      address: server.address,
      port: server.port,
      mode: server.mode === 'ready' ? 'ready' : 'drain',
    });
  }
  return { ...list, targets: corrected };
}
