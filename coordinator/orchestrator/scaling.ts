import { countBy, groupBy } from '../../shared/collections.ts';
import type { NodeId } from '../../shared/ids.ts';
import { isCanary } from './canary.ts';
import type { Slots } from './standing.ts';
import type { PlanDraft } from './steps.ts';
import type { ContainerView, ServiceView } from './views.ts';

/** A slot that is wanted and that nothing stands for. */
export interface MissingSlot {
  readonly slot: number;
  readonly pinnedTo: NodeId | null;
}

/** Takes the slots that are not wanted out of `slots` and their containers away; returns the slots to add. */
export function fitSlots(service: ServiceView, slots: Slots, draft: PlanDraft): MissingSlot[] {
  return service.everyNode === null
    ? fitReplicas(service, slots, draft)
    : fitNodes(service.everyNode, slots, draft);
}

function fitReplicas(service: ServiceView, slots: Slots, draft: PlanDraft): MissingSlot[] {
  const { replicas } = service;
  const surplus = slots.size - replicas;
  if (surplus > 0) scaleDown(service, slots, surplus, draft);
  const missing: MissingSlot[] = [];
  for (let slot = 1; slots.size + missing.length < replicas; slot++) {
    if (!slots.has(slot)) missing.push({ slot, pinnedTo: null });
  }
  return missing;
}

/** Not running first, then the fullest group and node, then the highest number; where a canary is tried last of all. */
function scaleDown(service: ServiceView, slots: Slots, surplus: number, draft: PlanDraft): void {
  const live = [...slots.values()].flat().filter(({ wanted }) => wanted === 'running');
  const perNode = countBy(live, ({ nodeId }) => nodeId);
  let left = surplus;
  for (const group of byWorth(service, slots)) {
    for (const { slot, members } of inTurn(group, perNode, service.groups).slice(0, left)) {
      slots.delete(slot);
      for (const container of members) {
        draft.discard(container, 'scaled-down');
        const count = perNode.get(container.nodeId);
        if (count !== undefined) perNode.set(container.nodeId, count - 1);
      }
      left--;
    }
    if (left === 0) return;
  }
}

interface Candidate {
  readonly slot: number;
  readonly members: readonly ContainerView[];
}

/** Slots that are worth the same together, the least first. */
function byWorth(service: ServiceView, slots: Slots): Candidate[][] {
  const hasCanary = (members: readonly ContainerView[]) =>
    members.some((c) => c.wanted === 'running' && isCanary(service, c));
  const groups = groupBy(
    [...slots].map(([slot, members]) => ({ slot, members })),
    // What is to leave its node anyway goes before its like.
    ({ members }) =>
      (hasCanary(members) ? 100 : 0) + 2 * rank(members) - Number(isEvicted(members)),
  );
  return [...groups].sort(([a], [b]) => a - b).map(([, group]) => group);
}

/**
 * In the order in which they go: always from the group, and there from the node, that is fullest then. How full it
 * will be follows from how many of the same go before, so that nobody has to count again after each.
 */
function inTurn(
  candidates: readonly Candidate[],
  perNode: ReadonlyMap<NodeId | null, number>,
  groups: ServiceView['groups'],
): readonly Candidate[] {
  const homes = new Map(candidates.map((each) => [each, homeOf(each.members, perNode)]));
  const homeOfOne = (candidate: Candidate) => homes.get(candidate) ?? null;
  const byNumber = candidates.toSorted((a, b) => b.slot - a.slot);
  const byNode = fullestFirst(byNumber, homeOfOne, (home) => perNode.get(home) ?? 0);
  // The largest groups are asked about last, so that they count first.
  return groups.toReversed().reduce((order, group) => {
    const groupOf = (id: NodeId | null) => (id === null ? undefined : group.get(id));
    const perGroup = new Map<string | undefined, number>();
    for (const [id, count] of perNode) {
      perGroup.set(groupOf(id), (perGroup.get(groupOf(id)) ?? 0) + count);
    }
    const place = (candidate: Candidate) => groupOf(homeOfOne(candidate));
    return fullestFirst(order, place, (at) => perGroup.get(at) ?? 0);
  }, byNode);
}

/** In the order in which they go from places that are fullest then; those of one place stay in their order. */
function fullestFirst<Place>(
  candidates: readonly Candidate[],
  placeOf: (candidate: Candidate) => Place,
  crowdOf: (place: Place) => number,
): readonly Candidate[] {
  const gone = new Map<Place, number>();
  return candidates
    .map((candidate) => {
      const place = placeOf(candidate);
      const before = gone.get(place) ?? 0;
      gone.set(place, before + 1);
      return { candidate, crowd: Math.max(0, crowdOf(place) - before) };
    })
    .sort((a, b) => b.crowd - a.crowd)
    .map(({ candidate }) => candidate);
}

/** The fullest of its nodes. */
function homeOf(
  members: readonly ContainerView[],
  perNode: ReadonlyMap<NodeId | null, number>,
): NodeId | null {
  const nodes = members.map(({ nodeId }) => nodeId);
  return nodes.reduce((a, b) => ((perNode.get(b) ?? 0) > (perNode.get(a) ?? 0) ? b : a));
}

function fitNodes(nodes: readonly NodeId[], slots: Slots, draft: PlanDraft): MissingSlot[] {
  const wanted = new Set(nodes);
  const covered = new Set<NodeId>();
  for (const [slot, members] of slots) {
    const home = members[0]?.pinnedTo ?? null;
    if (home !== null && wanted.has(home) && !covered.has(home)) {
      covered.add(home);
    } else {
      slots.delete(slot);
      for (const container of members) draft.discard(container, 'not-eligible');
    }
  }
  const missing: MissingSlot[] = [];
  let slot = 1;
  for (const node of nodes.filter((id) => !covered.has(id))) {
    while (slots.has(slot)) slot++;
    missing.push({ slot, pinnedTo: node });
    slot++;
  }
  return missing;
}

/** How much a slot is worth keeping in a scale-down. One that only empties goes first, or it would go again. */
function rank(members: readonly ContainerView[]): number {
  const live = members.filter(({ wanted }) => wanted === 'running');
  const present = live.filter(({ lost }) => !lost);
  if (present.some(({ ready }) => ready)) return 3;
  if (present.some(({ phase }) => phase === 'running')) return 2;
  return live.length > 0 || members.some(({ held }) => held) ? 1 : 0;
}

function isEvicted(members: readonly ContainerView[]): boolean {
  return members.some(({ wanted, evicted }) => wanted === 'running' && evicted);
}
