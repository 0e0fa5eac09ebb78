import type { NodeId, ServiceId } from '../../shared/ids.ts';
import type { Occupancy } from './occupancy.ts';
import type { NodeView } from './views.ts';

/** The group that each node is in. */
export type Groups = ReadonlyMap<NodeId, string>;

const remembered = new WeakMap<readonly NodeView[], Map<string, readonly Groups[]>>();

/** Sets of keys that are remembered of a fleet. */
const maxSets = 64;

/**
 * The groups that keys of tags make of nodes: by the first key, within those by the second, and so on. Nodes that
 * have no tag with a key are one group together. The list of nodes must never be changed in place.
 */
export function groupsOf(nodes: readonly NodeView[], keys: readonly string[]): readonly Groups[] {
  if (keys.length === 0) return [];
  const sets = remembered.get(nodes) ?? new Map<string, readonly Groups[]>();
  remembered.set(nodes, sets);
  const name = keys.join(' ');
  const known = sets.get(name);
  if (known !== undefined) return known;
  const found = keys.map((_, at) => {
    const upToHere = keys.slice(0, at + 1);
    return new Map(
      nodes.map(({ id, tags }) => [id, upToHere.map((key) => tagOf(tags, key)).join(' ')]),
    );
  });
  if (sets.size >= maxSets) sets.clear();
  sets.set(name, found);
  return found;
}

/** Containers of a service that stay in each group, wherever there. */
export function crowdsOf(
  groups: Groups,
  serviceId: ServiceId,
  occupancy: Occupancy,
): ReadonlyMap<string, number> {
  const countOn = occupancy.countsOf(serviceId);
  const crowds = new Map<string, number>();
  for (const [id, group] of groups) crowds.set(group, (crowds.get(group) ?? 0) + countOn(id));
  return crowds;
}

/** Of the nodes that can have a container, those of the groups with the fewest of its service; all without keys. */
export function inEmptiestGroups(
  able: readonly NodeView[],
  {
    serviceId,
    spreadOver,
  }: { readonly serviceId: ServiceId; readonly spreadOver: readonly string[] },
  nodes: readonly NodeView[],
  occupancy: Occupancy,
): readonly NodeView[] {
  let left = able;
  for (const groups of groupsOf(nodes, spreadOver)) {
    const crowds = crowdsOf(groups, serviceId, occupancy);
    const crowdAt = ({ id }: NodeView) => crowds.get(groups.get(id) ?? '') ?? 0;
    const least = left.reduce((min, node) => Math.min(min, crowdAt(node)), Infinity);
    left = left.filter((node) => crowdAt(node) === least);
  }
  return left;
}

/** KEY=VALUE, the first of them; empty: none. */
function tagOf(tags: readonly string[], key: string): string {
  const prefix = `${key}=`;
  return tags.filter((tag) => tag.startsWith(prefix)).sort()[0] ?? '';
}
