import type { NodeId } from '../../shared/ids.ts';
import type { NodeFailures } from '../model.ts';

// Nodes that keep failing a revision: they are left alone for a while, which grows with every failure. Where there
// is no other node that is the pace at which it is tried again.

/** Fewer may be an accident, and each slot has a pace of its own. */
const threshold = 3;

const firstWaitMs = 10_000;
const longestWaitMs = 5 * 60_000;

/** Failures that are older say nothing any more. */
const memoryMs = 15 * 60_000;

/** What failed where. */
export interface FailedAt {
  readonly nodeId: NodeId;
  readonly revision: number;
}

/** What is known with one more failure; what was long ago, or of a revision that is not wanted any more, is forgotten. */
export function withFailure(
  before: readonly NodeFailures[],
  at: FailedAt,
  { nowMs, wanted }: { readonly nowMs: number; readonly wanted: readonly number[] },
): NodeFailures[] {
  const current = before.filter(
    ({ lastAtMs, revision }) => nowMs - lastAtMs < memoryMs && wanted.includes(revision),
  );
  const known = current.find((each) => isAt(each, at));
  const others = current.filter((each) => each !== known);
  const { nodeId, revision } = at;
  return [...others, { nodeId, revision, count: (known?.count ?? 0) + 1, lastAtMs: nowMs }];
}

/** What is known when a container of a revision serves on a node. */
export function withoutFailures(before: readonly NodeFailures[], at: FailedAt): NodeFailures[] {
  return before.filter((each) => !isAt(each, at));
}

/** A node that is left alone. */
export interface FailingNode {
  readonly nodeId: NodeId;
  readonly count: number;
  readonly untilMs: number;
}

/** Nodes that containers of a revision are kept from now. */
export function failingNodes(
  failures: readonly NodeFailures[],
  revision: number,
  nowMs: number,
): FailingNode[] {
  return failures
    .filter((each) => each.revision === revision && each.count >= threshold)
    .map(({ nodeId, count, lastAtMs }) => ({ nodeId, count, untilMs: lastAtMs + waitMs(count) }))
    .filter(({ untilMs }) => nowMs < untilMs);
}

function waitMs(count: number): number {
  return Math.min(longestWaitMs, firstWaitMs * 2 ** (count - threshold));
}

function isAt(each: NodeFailures, { nodeId, revision }: FailedAt): boolean {
  return each.nodeId === nodeId && each.revision === revision;
}
