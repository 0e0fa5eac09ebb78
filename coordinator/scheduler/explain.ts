import { groupBy } from '../../shared/collections.ts';
import type { PlacementFilter, PlacementReason } from '../model.ts';
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
  const inTheWay = reasons.find(({ filter }) => filter === 'ORPHAN_RUNS');
  if (inTheWay !== undefined) return `${inTheWay.node} ${inTheWay.reason}`;
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

/** Where in a reason begins what differs by node: by whom, why, how much. */
const details: Partial<Record<PlacementFilter, string>> = {
  PORT_TAKEN: ' by ',
  NOT_READY: ': ',
  FAILING_HERE: ': ',
  NOT_ENOUGH_CPU: ': ',
  NOT_ENOUGH_MEMORY: ': ',
};

/** What reasons have in common that are told as one. */
function claimOf({ filter, reason }: PlacementReason): string {
  const separator = details[filter];
  return separator === undefined ? reason : splitAt(reason, separator)[0];
}

function sentenceOf(group: readonly PlacementReason[]): string {
  const [first] = group;
  if (first === undefined) return '';
  const all = [...new Set(group.map(({ reason }) => reason))];
  const words = all.length === 1 ? first.reason : `${claimOf(first)}${tailOf(first, all)}`;
  return group.length === 1 ? `1 ${words}` : `${group.length} ${plural(words)}`;
}

function tailOf({ filter }: PlacementReason, reasons: readonly string[]): string {
  if (filter !== 'PORT_TAKEN') return '';
  const holders = reasons.map((reason) => splitAt(reason, ' by ')[1]);
  const more = holders.length - namesShown;
  return ` by ${holders.slice(0, namesShown).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Reasons are predicates of one node; their verb is the first word. */
function plural(reason: string): string {
  return reason
    .replace(/^is /, 'are ')
    .replace(/^has /, 'have ')
    .replace(/^keeps /, 'keep ')
    .replace(/^lacks /, 'lack ');
}

function splitAt(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}
