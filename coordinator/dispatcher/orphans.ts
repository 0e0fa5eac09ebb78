import type { ContainerId } from '../../shared/ids.ts';
import type { Orphan } from '../model.ts';
import type { InventoryEntry } from './node-hello.ts';

/** Containers without a record that are kept of a node: more than an engine runs. */
const maxOrphans = 10_000;

/** Keeps an engine container without a record; a host that was broken into could name new ones for ever. */
export function keepOrphan(orphans: Map<ContainerId, InventoryEntry>, entry: InventoryEntry): void {
  if (orphans.size >= maxOrphans && !orphans.has(entry.containerId)) return;
  orphans.set(entry.containerId, entry);
}

/** What is shown of an engine container without a record. */
export function asOrphan({ containerId, name, reported }: InventoryEntry): Orphan {
  const { engineId, phase } = reported;
  return { containerId, name, engineId, phase };
}
