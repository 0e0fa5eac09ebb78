import type { Action as ProtoAction } from '../../shared/gen/fairlead/v1/action.ts';
import {
  ActionState as ProtoActionState,
  ContainerMoveState,
} from '../../shared/gen/fairlead/v1/action.ts';
import type { PortBinding as ProtoPortBinding } from '../../shared/gen/fairlead/v1/container.ts';
import { ContainerPhase } from '../../shared/gen/fairlead/v1/container.ts';
import {
  Availability as ProtoAvailability,
  NodeState as ProtoNodeState,
  type NodeReason,
} from '../../shared/gen/fairlead/v1/node.ts';
import { NodeClusterState as ProtoNodeClusterState } from '../../shared/gen/fairlead/v1/node_cluster.ts';
import {
  PortProtocol,
  RolloutState as ProtoRolloutState,
  ServiceState as ProtoServiceState,
  type Rollout as ProtoRollout,
} from '../../shared/gen/fairlead/v1/service.ts';
import { Role as ProtoRole, type Token as ProtoToken } from '../../shared/gen/fairlead/v1/token.ts';
import type {
  Action,
  ActionState,
  Availability,
  Move,
  MoveState,
  NodeState,
  PlacementReason,
  PortBinding,
  Protocol,
  Role,
  RolloutState,
  Service,
  Token,
} from '../model.ts';
import type { ContainerView } from '../orchestrator/views.ts';
import type { ServiceState } from '../orchestrator/service-state.ts';
import type { NodeClusterState } from '../scheduler/cluster-state.ts';
import type { Store } from '../store/store.ts';
import { undoingOf } from './cancellable.ts';

// Words of the model in the contract's numbers. `satisfies` keeps each table complete.

export const serviceStates = {
  'not-running': ProtoServiceState.NOT_RUNNING,
  starting: ProtoServiceState.STARTING,
  running: ProtoServiceState.RUNNING,
  'partly-running': ProtoServiceState.PARTLY_RUNNING,
  scaling: ProtoServiceState.SCALING,
  redeploying: ProtoServiceState.REDEPLOYING,
  paused: ProtoServiceState.PAUSED,
  stopping: ProtoServiceState.STOPPING,
  stopped: ProtoServiceState.STOPPED,
  failed: ProtoServiceState.FAILED,
  terminating: ProtoServiceState.TERMINATING,
} as const satisfies Record<ServiceState, ProtoServiceState>;

const rolloutStates = {
  going: ProtoRolloutState.GOING,
  paused: ProtoRolloutState.PAUSED,
  failed: ProtoRolloutState.FAILED,
  'rolling-back': ProtoRolloutState.ROLLING_BACK,
  'rolled-back': ProtoRolloutState.ROLLED_BACK,
  'rollback-failed': ProtoRolloutState.ROLLBACK_FAILED,
} as const satisfies Record<RolloutState, ProtoRolloutState>;

export const nodeStates = {
  unknown: ProtoNodeState.UNKNOWN,
  joining: ProtoNodeState.JOINING,
  ready: ProtoNodeState.READY,
  'engine-away': ProtoNodeState.ENGINE_AWAY,
  unreachable: ProtoNodeState.UNREACHABLE,
  down: ProtoNodeState.DOWN,
} as const satisfies Record<NodeState, ProtoNodeState>;

export const nodeClusterStates = {
  empty: ProtoNodeClusterState.EMPTY,
  waiting: ProtoNodeClusterState.WAITING,
  complete: ProtoNodeClusterState.COMPLETE,
} as const satisfies Record<NodeClusterState, ProtoNodeClusterState>;

export const availabilities = {
  active: ProtoAvailability.ACTIVE,
  paused: ProtoAvailability.PAUSED,
  draining: ProtoAvailability.DRAINING,
} as const satisfies Record<Availability, ProtoAvailability>;

const protocols = {
  tcp: PortProtocol.TCP,
  udp: PortProtocol.UDP,
} as const satisfies Record<Protocol, PortProtocol>;

const actionStates = {
  'in-progress': ProtoActionState.IN_PROGRESS,
  succeeded: ProtoActionState.SUCCEEDED,
  failed: ProtoActionState.FAILED,
  superseded: ProtoActionState.SUPERSEDED,
  cancelled: ProtoActionState.CANCELLED,
} as const satisfies Record<ActionState, ProtoActionState>;

const moveStates = {
  waiting: ContainerMoveState.WAITING,
  moving: ContainerMoveState.MOVING,
  moved: ContainerMoveState.MOVED,
  stuck: ContainerMoveState.STUCK,
  removed: ContainerMoveState.REMOVED,
  kept: ContainerMoveState.KEPT,
} as const satisfies Record<MoveState, ContainerMoveState>;

export const roles = {
  viewer: ProtoRole.VIEWER,
  operator: ProtoRole.OPERATOR,
  admin: ProtoRole.ADMIN,
  node: ProtoRole.NODE,
  proxy: ProtoRole.PROXY,
} as const satisfies Record<Role, ProtoRole>;

/** Where a container stands for its user: what was seen, but for what the coordinator is about to do. */
export function phaseOf({ phase, wanted }: ContainerView): ContainerPhase {
  switch (phase) {
    case 'pending':
      return ContainerPhase.PENDING;
    case 'pulling':
      return ContainerPhase.PULLING;
    case 'starting':
      return ContainerPhase.STARTING;
    case 'running':
      if (wanted === 'running') return ContainerPhase.RUNNING;
      return wanted === 'draining' ? ContainerPhase.DRAINING : ContainerPhase.STOPPING;
    case 'stopping':
      return ContainerPhase.STOPPING;
    case 'stopped':
      return ContainerPhase.STOPPED;
    case 'failed':
      return ContainerPhase.FAILED;
    case 'removed':
      return ContainerPhase.REMOVED;
  }
}

export function rolloutToProto({ revision, base, rollout }: Service): ProtoRollout | undefined {
  if (rollout === null) return undefined;
  const { state, reason, failedSlots, sinceMs, canaries } = rollout;
  return {
    revision,
    baseRevision: base?.revision ?? 0,
    state: state === 'going' && canaries > 0 ? ProtoRolloutState.CANARY : rolloutStates[state],
    reason,
    failedSlots: [...failedSlots],
    since: new Date(sinceMs),
    canaries,
  };
}

export function bindingToProto(binding: PortBinding): ProtoPortBinding {
  return { ...binding, protocol: protocols[binding.protocol] };
}

export function actionToProto(action: Action): ProtoAction {
  return {
    id: action.id,
    method: action.method,
    targetKind: action.targetKind,
    targetId: action.targetId,
    targetName: action.targetName,
    state: actionStates[action.state],
    message: action.message,
    principal: action.principal,
    peer: action.peer,
    requestId: action.requestId,
    timeline: action.timeline.map(({ timeMs, container, message, lines = [] }) => ({
      time: new Date(timeMs),
      container,
      message,
      lines: [...lines],
    })),
    startedAt: new Date(action.startedAtMs),
    endedAt: dateOf(action.endedAtMs),
    cancellable: action.state === 'in-progress' && undoingOf(action) !== null,
    moves: (action.moves?.members ?? []).map(moveToProto),
  };
}

function moveToProto({ container, service, from, to, state, message, reasons }: Move) {
  const placement = reasons.map(reasonToProto);
  return { container, service, from, to, state: moveStates[state], message, placement };
}

export function reasonToProto({ node, filter, reason }: PlacementReason): NodeReason {
  return { node, filter, reason };
}

/** A token, when it was last used, and when it stops working where that is not a time of its own. */
export function tokenToProto(
  store: Pick<Store, 'services' | 'clusters'>,
  token: Token,
  lastUsedAtMs: number | null,
  expiresAtMs = token.expiresAtMs,
): ProtoToken {
  return {
    id: token.id,
    name: token.name,
    role: roles[token.role],
    serviceIds: [...token.serviceIds],
    clusterIds: [...token.clusterIds],
    tags: [...token.tags],
    clusterId: token.clusterId ?? '',
    services: token.serviceIds.map((id) => store.services.get(id)?.name ?? id),
    clusters: token.clusterIds.map((id) => store.clusters.get(id)?.name ?? id),
    cluster:
      (token.clusterId && store.clusters.get(token.clusterId)?.name) ?? token.clusterId ?? '',
    maxUses: token.maxUses,
    uses: token.uses,
    createdAt: new Date(token.createdAtMs),
    expiresAt: dateOf(expiresAtMs),
    lastUsedAt: dateOf(lastUsedAtMs),
  };
}

export function dateOf(ms: number | null): Date | undefined {
  return ms === null ? undefined : new Date(ms);
}
