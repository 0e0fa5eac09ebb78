import { countBy } from '../../shared/collections.ts';
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

/** Not running first, then the fullest node, then the highest number; where a canary is tried last of all. */
function scaleDown(service: ServiceView, slots: Slots, surplus: number, draft: PlanDraft): void {
  const hasCanary = (members: readonly ContainerView[]) =>
    Number(members.some((c) => c.wanted === 'running' && isCanary(service, c)));
  const live = [...slots.values()].flat().filter(({ wanted }) => wanted === 'running');
  const perNode = countBy(live, ({ nodeId }) => nodeId);
  for (let i = 0; i < surplus; i++) {
    const [victim] = [...slots.entries()].sort(
      ([slotA, a], [slotB, b]) =>
        hasCanary(a) - hasCanary(b) ||
        rank(a) - rank(b) ||
        Number(isEvicted(b)) - Number(isEvicted(a)) ||
        crowd(b, perNode) - crowd(a, perNode) ||
        slotB - slotA,
    );
    if (victim === undefined) return;
    const [slot, members] = victim;
    slots.delete(slot);
    for (const container of members) {
      draft.discard(container, 'scaled-down');
      const count = perNode.get(container.nodeId);
      if (count !== undefined) perNode.set(container.nodeId, count - 1);
    }
  }
}

function fitNodes(nodes: readonly NodeId[], slots: Slots, draft: PlanDraft): MissingSlot[] {
  const covered = new Set<NodeId>();
  for (const [slot, members] of slots) {
    const home = members[0]?.pinnedTo ?? null;
    if (home !== null && nodes.includes(home) && !covered.has(home)) {
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

function crowd(
  members: readonly ContainerView[],
  perNode: ReadonlyMap<NodeId | null, number>,
): number {
  return Math.max(0, ...members.map(({ nodeId }) => perNode.get(nodeId) ?? 0));
}
