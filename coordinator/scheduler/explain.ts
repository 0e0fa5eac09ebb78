import { groupBy } from '../../shared/collections.ts';
import type { PlacementReason } from '../model.ts';
import type { PendingView } from './views.ts';

/** How many names of port holders a sentence lists before it only counts. */
const namesShown = 3;

/**
 * One sentence for people on why no node can take a container: `no node can take it: 4 lack the tag
 * "web", 1 has port 80 taken by lb-1`.
 */
export function explainUnplaceable(
  reasons: readonly PlacementReason[],
  { pinnedTo }: Pick<PendingView, 'pinnedTo'>,
): string {
  if (pinnedTo !== null) {
    const own = reasons.find(({ nodeId }) => nodeId === pinnedTo);
    return own === undefined
      ? 'the node that it belongs to is gone'
      : `the node that it belongs to, ${own.node}, ${own.reason}`;
  }
  if (reasons.length === 0) return 'no node has joined yet';
  const groups = [...groupBy(reasons, claimOf).values()].sort((a, b) => b.length - a.length);
  return `no node can take it: ${groups.map(sentenceOf).join(', ')}`;
}

/** What reasons have in common that are told as one: the rest (by whom, why) differs by node. */
function claimOf({ filter, reason }: PlacementReason): string {
  switch (filter) {
    case 'PORT_TAKEN':
      return splitAt(reason, ' by ')[0];
    case 'NOT_READY':
      return splitAt(reason, ': ')[0];
    case 'TAG_MISSING':
    case 'NOT_ACTIVE':
    case 'FAILING_HERE':
    case 'PINNED_ELSEWHERE':
      return reason;
  }
}

function sentenceOf(group: readonly PlacementReason[]): string {
  const [first] = group;
  if (first === undefined) return '';
  const details = [...new Set(group.map(({ reason }) => reason))];
  const words = details.length === 1 ? first.reason : `${claimOf(first)}${tailOf(first, details)}`;
  return group.length === 1 ? `1 ${words}` : `${group.length} ${plural(words)}`;
}

function tailOf({ filter }: PlacementReason, details: readonly string[]): string {
  if (filter !== 'PORT_TAKEN') return '';
  const holders = details.map((reason) => splitAt(reason, ' by ')[1]);
  const more = holders.length - namesShown;
  return ` by ${holders.slice(0, namesShown).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Reasons are predicates of one node; their verb is the first word. */
function plural(reason: string): string {
  return reason
    .replace(/^is /, 'are ')
    .replace(/^has /, 'have ')
    .replace(/^lacks /, 'lack ');
}

function splitAt(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}
