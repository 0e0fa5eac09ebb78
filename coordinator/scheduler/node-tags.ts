import { maxTagLength, type AutomaticTagKey } from '../../shared/ids.ts';
import type { Node, NodeCluster } from '../model.ts';

/** The tags of a node by where it has them from, and all of them together, each once. */
export interface NodeTags {
  readonly own: readonly string[];
  readonly cluster: readonly string[];
  readonly automatic: readonly string[];
  readonly all: readonly string[];
}

/** The tags that placement sees: the node's own, those of its cluster, and the automatic ones. */
export function tagsOf(
  node: Pick<Node, 'tags' | 'description'>,
  cluster: Pick<NodeCluster, 'name' | 'tags'> | null,
): NodeTags {
  const { architecture = '', os = '', hostname = '' } = node.description ?? {};
  const automatic = [
    ...automaticTag('cluster', cluster?.name ?? ''),
    ...automaticTag('arch', architecture),
    ...automaticTag('os', os),
    ...automaticTag('hostname', hostname),
  ];
  const inherited = cluster?.tags ?? [];
  const all = [...new Set([...node.tags, ...inherited, ...automatic])];
  return { own: node.tags, cluster: inherited, automatic, all };
}

/** What agents say of their hosts may be anything: it is made to fit the rule for tags. */
function automaticTag(key: AutomaticTagKey, value: string): string[] {
  const tag = `${key}=${value.trim().replaceAll(/[^A-Za-z0-9_.=-]+/g, '-')}`;
  return value.trim() === '' ? [] : [tag.slice(0, maxTagLength)];
}
