import type { FieldViolation } from '../../shared/errors.ts';
import type {
  CreateNodeClusterRequest,
  UpdateNodeClusterRequest,
  UpdateNodeRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import {
  Availability as ProtoAvailability,
  Node as ProtoNode,
  NodeState as ProtoNodeState,
} from '../../shared/gen/fairlead/v1/node.ts';
import type { Action, Availability, NodeCluster } from '../model.ts';
import { quote, validateGivenTags, validateName, validateRange } from './validate.ts';

const maxTargetNodes = 10_000;

/** What a caller changes of a node; undefined: leave it. */
export interface NodeChange {
  readonly tags: readonly string[] | undefined;
  readonly availability: Availability | undefined;
  /** Name or id of the cluster; null: none. */
  readonly cluster: string | null | undefined;
}

export function nodeChangeFromProto(
  { tags, availability, cluster, updateMask }: UpdateNodeRequest,
  into: FieldViolation[],
): NodeChange {
  const masked = maskOf(updateMask, ['tags', 'availability', 'cluster'], into);
  if (masked('tags')) validateGivenTags(tags, 'tags', into);
  return {
    tags: masked('tags') ? tags : undefined,
    availability: masked('availability') ? availabilityFromProto(availability) : undefined,
    cluster: masked('cluster') ? (cluster === '' ? null : cluster) : undefined,
  };
}

/** What is told of a node that is gone, by the action that removed it. */
export function removedNode({ targetId, targetName, principal, startedAtMs }: Action): ProtoNode {
  return ProtoNode.create({
    id: targetId,
    name: targetName,
    state: ProtoNodeState.REMOVED,
    message: `removed by ${principal} at ${new Date(startedAtMs).toISOString()}`,
  });
}

function availabilityFromProto(availability: ProtoAvailability): Availability {
  switch (availability) {
    case ProtoAvailability.PAUSED:
      return 'paused';
    case ProtoAvailability.DRAINING:
      return 'draining';
    case ProtoAvailability.ACTIVE:
    case ProtoAvailability.UNSPECIFIED:
    default:
      return 'active';
  }
}

/** A node cluster as a caller asks for it. */
export function clusterWishFromProto(
  { name, targetNodes, tags }: CreateNodeClusterRequest,
  into: FieldViolation[],
): Pick<NodeCluster, 'name' | 'targetNodes' | 'tags'> {
  validateName(name, 'name', into);
  validateTarget(targetNodes, into);
  validateGivenTags(tags, 'tags', into);
  return { name, targetNodes, tags };
}

/** What a caller changes of a node cluster; undefined: leave it. */
export interface NodeClusterChange {
  readonly targetNodes: number | undefined;
  readonly tags: readonly string[] | undefined;
}

export function clusterChangeFromProto(
  { targetNodes, tags, updateMask }: UpdateNodeClusterRequest,
  into: FieldViolation[],
): NodeClusterChange {
  const masked = maskOf(updateMask, ['target_nodes', 'tags'], into);
  if (masked('target_nodes')) validateTarget(targetNodes, into);
  if (masked('tags')) validateGivenTags(tags, 'tags', into);
  return {
    targetNodes: masked('target_nodes') ? targetNodes : undefined,
    tags: masked('tags') ? tags : undefined,
  };
}

function validateTarget(targetNodes: number, into: FieldViolation[]): void {
  validateRange(targetNodes, { min: 0, max: maxTargetNodes, field: 'target_nodes' }, into);
}

/** Tells which paths a mask names; it must name one, and none but these. */
function maskOf<Path extends string>(
  updateMask: readonly string[] | undefined,
  paths: readonly Path[],
  into: FieldViolation[],
): (path: Path) => boolean {
  const mask = updateMask ?? [];
  if (mask.length === 0) into.push({ field: 'update_mask', rule: 'is required' });
  for (const [index, path] of mask.entries()) {
    if ((paths as readonly string[]).includes(path)) continue;
    const possible = paths.map((each) => `"${each}"`);
    const last = possible.pop() ?? '';
    into.push({
      field: `update_mask.paths[${index}]`,
      rule: `must be ${possible.join(', ')} or ${last}, and is ${quote(path)}`,
    });
  }
  return (path) => mask.includes(path);
}
