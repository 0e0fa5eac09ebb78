import {
  ReadinessState as ProtoReadinessState,
  WantedPhase as ProtoWantedPhase,
  type Assignment as ProtoAssignment,
  type AssignmentSet as ProtoAssignmentSet,
  type ContainerDefinition as ProtoContainerDefinition,
  type ContainerStatus as ProtoContainerStatus,
  type NodeContainerFailure,
  type NodeHello,
  type NodeReport,
} from '../../shared/gen/fairlead/v1/agent_service.ts';
import { ContainerPhase } from '../../shared/gen/fairlead/v1/container.ts';
import {
  PortProtocol as ProtoPortProtocol,
  RestartPolicy as ProtoRestartPolicy,
} from '../../shared/gen/fairlead/v1/service.ts';
import { pingVerb } from '../../shared/rpc/lease.ts';
import { partsVerb } from '../../shared/rpc/parts.ts';
import type { ContainerId } from '../../shared/ids.ts';
import type {
  Assignment,
  AssignmentSet,
  ContainerDefinition,
  ContainerFailure,
  ContainerStatus,
  NodeDescription,
  Phase,
  PortProtocol,
  ReadinessState,
  RestartPolicy,
  WantedPhase,
} from './model.ts';
import { livenessOf, readinessOf } from './convert-health.ts';
import { optionsOf, volumeOf } from './convert-options.ts';
import type { Picture, Report } from './reporter.ts';
import type { UpgradeGreeting } from './upgrade/upgrader.ts';

const protocolVersion = 1;
/** What this agent can do beyond that. */
const verbs = [pingVerb, partsVerb, 'logs', 'exec'];

const phases: Readonly<Record<Phase, ContainerPhase>> = {
  pulling: ContainerPhase.PULLING,
  starting: ContainerPhase.STARTING,
  running: ContainerPhase.RUNNING,
  stopping: ContainerPhase.STOPPING,
  stopped: ContainerPhase.STOPPED,
  failed: ContainerPhase.FAILED,
  removed: ContainerPhase.REMOVED,
};

const readinessStates: Readonly<Record<ReadinessState, ProtoReadinessState>> = {
  unknown: ProtoReadinessState.UNSPECIFIED,
  ready: ProtoReadinessState.READY,
  'not-ready': ProtoReadinessState.NOT_READY,
};

const protocols: Readonly<Record<PortProtocol, ProtoPortProtocol>> = {
  tcp: ProtoPortProtocol.TCP,
  udp: ProtoPortProtocol.UDP,
};

/** What a node says of itself when it opens a session. */
export interface Greeting {
  readonly bootId: string;
  readonly description: NodeDescription;
  readonly advertiseAddress: string;
  readonly publicAddress: string;
  /** The host's time. */
  readonly clock: Date;
  readonly upgrades: UpgradeGreeting;
}

/** The first message of a session. */
export function helloOf(
  { upgrades, ...greeting }: Greeting,
  { sequence, engine, containers }: Picture,
): NodeHello {
  return {
    ...greeting,
    protocolVersion,
    verbs: upgrades.package === '' ? verbs : [...verbs, 'upgrade'],
    package: upgrades.package,
    upgradeObstacle: upgrades.obstacle,
    upgradeFailure: upgrades.failure ?? undefined,
    onTrial: upgrades.isOnTrial,
    engine,
    inventory: containers.map(statusToProto),
    sequence,
  };
}

/** A report in the words of the protocol. */
export function reportToProto({ sequence, engine, containers }: Report): NodeReport {
  return { sequence, engine, containers: containers.map(statusToProto) };
}

function statusToProto(status: ContainerStatus): ProtoContainerStatus {
  return {
    ...status,
    phase: phases[status.phase],
    readiness: readinessStates[status.readiness],
    ports: status.ports.map((port) => ({ ...port, protocol: protocols[port.protocol] })),
  };
}

/** A failure in the words of the protocol. */
export function failureToProto({
  containerId,
  lines,
  ...rest
}: ContainerFailure): NodeContainerFailure {
  const { exitCode, endedAt } = rest;
  const how = { endedAt, lines: [...lines], ...(exitCode !== undefined && { exitCode }) };
  return { containerId, failure: how };
}

/** Assignments in the agent's words. One that this agent does not understand is left out. */
export function assignmentSetOf(proto: ProtoAssignmentSet): AssignmentSet {
  return {
    complete: proto.complete,
    assignments: proto.assignments.flatMap((assignment) => assignmentOf(assignment)),
    forgotten: proto.forgotten.map((id) => id as ContainerId),
  };
}

function assignmentOf(assignment: ProtoAssignment): Assignment[] {
  const { containerId, wanted, definition, drained } = assignment;
  const phase = wantedPhaseOf(wanted);
  if (containerId === '' || phase === undefined) return [];
  return [
    {
      containerId: containerId as ContainerId,
      wanted: phase,
      definition: definition && definitionOf(definition),
      drained,
    },
  ];
}

function wantedPhaseOf(wanted: ProtoWantedPhase): WantedPhase | undefined {
  switch (wanted) {
    case ProtoWantedPhase.RUNNING:
      return 'running';
    case ProtoWantedPhase.STOPPED:
      return 'stopped';
    case ProtoWantedPhase.REMOVED:
      return 'removed';
    case ProtoWantedPhase.UNSPECIFIED:
    default:
      return undefined;
  }
}

function definitionOf(proto: ProtoContainerDefinition): ContainerDefinition {
  return {
    ...proto,
    ports: proto.ports.map((port) => ({
      ...port,
      protocol: port.protocol === ProtoPortProtocol.UDP ? 'udp' : 'tcp',
    })),
    restart: restartOf(proto.restart),
    readiness: readinessOf(proto.readiness),
    liveness: livenessOf(proto.liveness),
    options: optionsOf(proto.options),
    volumes: proto.volumes.map((volume) => volumeOf(volume)),
  };
}

function restartOf(policy: ProtoRestartPolicy): RestartPolicy {
  switch (policy) {
    case ProtoRestartPolicy.NEVER:
      return 'never';
    case ProtoRestartPolicy.ON_FAILURE:
      return 'on-failure';
    case ProtoRestartPolicy.ALWAYS:
    case ProtoRestartPolicy.UNSPECIFIED:
    default:
      return 'always';
  }
}
