import type { ActionId, ContainerId, NodeClusterId, NodeId, ServiceId } from '../../shared/ids.ts';
import type { Action, Container, Event, Node } from '../model.ts';
import { kindOf } from './event-log.ts';
import type { ReadonlyTable } from './table.ts';

export interface OwnedTables {
  readonly containers: ReadonlyTable<ContainerId, Container>;
  readonly nodes: ReadonlyTable<NodeId, Node>;
  readonly actions: ReadonlyTable<ActionId, Action>;
}

/**
 * The service or the node cluster that an event belongs to: who is limited to others is not to see it. Empty:
 * none; undefined: what it was about is not there.
 */
export function ownerOf(
  { type, objectId, actionId }: Pick<Event, 'type' | 'objectId' | 'actionId'>,
  tables: OwnedTables,
): ServiceId | NodeClusterId | '' | undefined {
  switch (kindOf(type)) {
    case 'service':
      return objectId as ServiceId;
    case 'node-cluster':
      return objectId as NodeClusterId;
    case 'container':
      return tables.containers.get(objectId as ContainerId)?.serviceId;
    case 'node':
      return clusterOf(objectId, tables);
    case 'action':
      return ownerOfAction(tables.actions.get(actionId as ActionId), tables);
    default:
      return '';
  }
}

function clusterOf(id: string, { nodes }: OwnedTables): NodeClusterId | '' | undefined {
  const node = nodes.get(id as NodeId);
  return node === undefined ? undefined : (node.clusterId ?? '');
}

function ownerOfAction(
  action: Action | undefined,
  tables: OwnedTables,
): ServiceId | NodeClusterId | '' | undefined {
  if (action === undefined) return '';
  const { serviceId, targetKind, targetId, moves } = action;
  if (serviceId !== null) return serviceId;
  // What moves containers of several is nobody's alone.
  if (targetKind === 'service' && moves?.members.some((move) => move.serviceId !== targetId)) {
    return '';
  }
  const kind = targetKind === 'fleet' || targetKind === 'authority' ? '' : targetKind;
  return ownerOf({ type: `${kind}.`, objectId: targetId, actionId: '' }, tables);
}
