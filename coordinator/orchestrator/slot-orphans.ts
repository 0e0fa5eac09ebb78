import type { Volume } from '../../shared/container-options.ts';
import type { NodeId } from '../../shared/ids.ts';
import type { NodeState, Orphan, PlacementReason } from '../model.ts';
import { isAlive } from './views.ts';
import { areWritten } from './volumes.ts';

// An older backup that was restored knows nothing of what was made after it. Where that writes to volumes, a
// second container of its slot would write to them as well: the slot waits until somebody decides.

/** An orphan, as it was seen last, and the node that it is on. */
export interface OrphanSighting {
  readonly nodeId: NodeId;
  readonly node: string;
  readonly state: NodeState;
  readonly orphan: Orphan;
  /** What to call it by: its name, or its id where another of that node has the same name. */
  readonly handle: string;
}

/** What is to be filled. */
export interface SlotView {
  readonly service: string;
  /** SERVICE-SLOT. */
  readonly name: string;
  /** The node that it stands for, if its service has one on every node; else null. */
  readonly home: NodeId | null;
  /** Those that its container would have. */
  readonly volumes: readonly Volume[];
}

/**
 * The orphan that a slot has to wait for; undefined if it may be filled.
 *
 * On every node there is one of a service, and its volumes are there: what counts is the node, not the number.
 * A node that is out of reach may still run what it was seen to run.
 */
export function orphanInTheWay(
  slot: SlotView,
  sightings: readonly OrphanSighting[],
): OrphanSighting | undefined {
  if (!areWritten(slot.volumes)) return undefined;
  return sightings.find((seen) => isAlive(seen.orphan) && isOfSlot(seen, slot));
}

function isOfSlot({ nodeId, orphan }: OrphanSighting, { service, name, home }: SlotView): boolean {
  if (home === null) return orphan.name === name;
  return nodeId === home && serviceOf(orphan.name) === service;
}

/** The service that a container's name begins with. */
export function serviceOf(name: string): string {
  return name.slice(0, name.lastIndexOf('-'));
}

/** Why a slot waits for an orphan, and what ends that, as a predicate of its node. */
export function reasonToWaitFor(sighting: OrphanSighting): PlacementReason {
  const { nodeId, node } = sighting;
  return { nodeId, node, filter: 'ORPHAN_RUNS', reason: wordsFor(sighting) };
}

function wordsFor({ node, state, orphan, handle }: OrphanSighting): string {
  const what = `the orphan ${orphan.name}, which may write to the same volumes`;
  const adopt = `adopt it (fairlead node adopt ${node} ${handle})`;
  const discard = `discard it (fairlead node discard ${node} ${handle})`;
  if (state !== 'ready') {
    return `is not in reach, and was last seen to run ${what}: have the node come back, or remove it if it is gone for good (fairlead node rm ${node})`;
  }
  if (orphan.phase === 'stopping') return `is stopping ${what} until it has ended`;
  return `runs ${what}: ${adopt}, or ${discard}`;
}
