import { isIP } from 'node:net';
import type * as proto from '../../shared/gen/fairlead/v1/agent_service.ts';
import { ReadinessState, WantedPhase } from '../../shared/gen/fairlead/v1/agent_service.ts';
import {
  ContainerPhase,
  type ContainerFailure as ProtoContainerFailure,
} from '../../shared/gen/fairlead/v1/container.ts';
import { NodeDescription } from '../../shared/gen/fairlead/v1/node.ts';
import { PortProtocol } from '../../shared/gen/fairlead/v1/service.ts';
import type { ContainerId } from '../../shared/ids.ts';
import type { Assignment } from '../dispatcher/assignments.ts';
import type { EngineReport, InventoryEntry, NodeHello } from '../dispatcher/node-hello.ts';
import type { TokenIssuer } from '../identity/tokens.ts';
import type { ContainerFailure, ObservedPhase } from '../model.ts';
import type { Placement } from '../orchestrator/placement.ts';
import { isDiallable, momentOf, named, words } from './agent-words.ts';
import type { AssignmentPart } from './assignment-parts.ts';
import { optionsToProto } from './convert-options.ts';
import { volumeToProto } from './convert-volumes.ts';
import { livenessToProto, readinessToProto } from './convert-health.ts';
import type { PeerCertificate } from './peer.ts';
import type { UpgradeFailure, UpgradeHello } from '../upgrades/node-upgrades.ts';
import { portToProto } from './spec-parts.ts';
import { restartToProto } from './convert-spec.ts';
import { quote, throwIfInvalid } from './validate.ts';

/** More than an agent knows. */
const maxVerbs = 64;

/** What an agent says first, as the dispatcher takes it. Throws 'invalid' if others could not reach the node. */
export function helloFromProto(
  hello: proto.NodeHello,
  { authority, validToMs, fingerprint }: PeerCertificate,
): NodeHello {
  requireAddress(hello.advertiseAddress);
  return {
    verbs: hello.verbs.slice(0, maxVerbs).map(named),
    bootId: named(hello.bootId),
    sequence: hello.sequence,
    description: descriptionFromProto(hello.description),
    advertiseAddress: hello.advertiseAddress,
    publicAddress: named(hello.publicAddress),
    engine: engineFromProto(hello.engine),
    inventory: hello.inventory.flatMap(statusFromProto),
    clockMs: momentOf(hello.clock),
    certificate: {
      authority,
      untilMs: validToMs,
      ...(fingerprint !== undefined && { fingerprint }),
    },
  };
}

/** Balancers dial it, and it gets into the hosts files of containers on other nodes. */
function requireAddress(address: string): void {
  if (isIP(address) !== 0) return;
  const rule = `must be an IP address, and is ${quote(address)}; the agent's --advertise-address names one`;
  throwIfInvalid([{ field: 'hello.advertise_address', rule }]);
}

function descriptionFromProto(
  description: NodeDescription = NodeDescription.create(),
): NodeDescription {
  return {
    ...{ cpus: description.cpus, memoryBytes: description.memoryBytes },
    hostname: named(description.hostname),
    operatingSystem: named(description.operatingSystem),
    architecture: named(description.architecture),
    engineVersion: named(description.engineVersion),
    engineApiVersion: named(description.engineApiVersion),
    agentVersion: named(description.agentVersion),
    os: named(description.os),
  };
}

/** Whether the node's engine answers. */
export function engineFromProto(engine: proto.EngineStatus | undefined): EngineReport {
  return { reachable: engine?.reachable ?? false, message: words(engine?.message ?? '') };
}

/** What an agent says first of upgrades. */
export function upgradeHelloFromProto(hello: proto.NodeHello): UpgradeHello {
  const { verbs, upgradeObstacle, upgradeFailure } = hello;
  return {
    package: verbs.includes('upgrade') ? named(hello.package) : '',
    obstacle: words(upgradeObstacle),
    failure: upgradeFailure === undefined ? null : upgradeFailureFromProto(upgradeFailure),
    isOnTrial: hello.onTrial,
  };
}

/** Why a host did not take an upgrade; people read it. */
export function upgradeFailureFromProto(failure: proto.UpgradeFailure): UpgradeFailure {
  const { attempt, version, reason } = failure;
  return { attempt: named(attempt), version: named(version), reason: words(reason) };
}

/** One container as its agent sees it; empty if this version does not know its phase. */
export function statusFromProto(status: proto.ContainerStatus): InventoryEntry[] {
  const phase = phases.get(status.phase);
  if (phase === undefined) return [];
  return [
    {
      containerId: named(status.containerId) as ContainerId,
      name: named(status.name),
      reported: {
        phase,
        ready: readinessFromProto(status.readiness),
        ports: status.ports.filter(isDiallable).map(({ protocol, ...rest }) => ({
          ...rest,
          protocol: protocol === PortProtocol.UDP ? 'udp' : 'tcp',
        })),
        exitCode: status.exitCode ?? null,
        message: words(status.message),
        engineId: named(status.engineId),
        restarts: status.restarts,
        awaitsDrain: status.awaitsDrain,
        startedAtMs: momentOf(status.startedAt),
        endedAtMs: momentOf(status.endedAt),
      },
    },
  ];
}

/** More than an agent sends. */
const maxFailureLines = 8;
const maxFailureCharacters = 500;

/** How a container failed. */
export function failureFromProto(failure: ProtoContainerFailure | undefined): ContainerFailure {
  return {
    exitCode: failure?.exitCode ?? null,
    endedAtMs: momentOf(failure?.endedAt),
    lines: (failure?.lines ?? [])
      .slice(-maxFailureLines)
      .map((line) => line.slice(0, maxFailureCharacters)),
  };
}

export interface AssignmentDeps {
  readonly tokens: Pick<TokenIssuer, 'containerVariables'>;
  readonly placement: Pick<Placement, 'environmentOf'>;
}

/** Assignments with the variables that their containers need; their secrets are derived here and not kept. */
export function assignmentsToProto(set: AssignmentPart, deps: AssignmentDeps): proto.AssignmentSet {
  return {
    complete: set.complete,
    sequence: set.sequence,
    unfinished: set.unfinished,
    assignments: [
      ...set.assignments.map((assignment) => assignmentToProto(assignment, deps)),
      ...set.discarded.map((containerId) => ({
        containerId,
        wanted: WantedPhase.REMOVED,
        definition: undefined,
        drained: false,
      })),
    ],
    forgotten: [...set.forgotten],
  };
}

function assignmentToProto(
  { containerId, wanted, container, definition, drained }: Assignment,
  { tokens, placement }: AssignmentDeps,
): proto.Assignment {
  const { tokenId } = definition;
  const auth = tokenId === null ? {} : tokens.containerVariables(tokenId);
  return {
    containerId,
    wanted: wantedPhases[wanted],
    drained,
    definition: {
      name: container.name,
      service: container.name.slice(0, container.name.lastIndexOf('-')),
      serviceId: container.serviceId,
      slot: container.slot,
      revision: container.revision,
      image: definition.image,
      command: [...definition.command],
      entrypoint: [...definition.entrypoint],
      environment: { ...placement.environmentOf(container), ...auth },
      labels: { ...definition.labels },
      hostname: definition.hostname === '' ? container.name : definition.hostname,
      ports: definition.ports.map(portToProto),
      hosts: [...definition.hosts],
      restart: restartToProto(definition.restart),
      restartLimit: definition.restartLimit,
      readiness: readinessToProto(definition.readiness),
      liveness: livenessToProto(definition.liveness),
      drainTimeoutMs: definition.drainTimeoutMs,
      stopGraceMs: definition.stopGraceMs,
      options: optionsToProto(definition.options),
      volumes: definition.volumes.map(volumeToProto),
    },
  };
}

function readinessFromProto(readiness: ReadinessState): boolean | null {
  switch (readiness) {
    case ReadinessState.READY:
      return true;
    case ReadinessState.NOT_READY:
      return false;
    case ReadinessState.UNSPECIFIED:
    default:
      return null;
  }
}

const phases = new Map<ContainerPhase, ObservedPhase>([
  [ContainerPhase.PULLING, 'pulling'],
  [ContainerPhase.STARTING, 'starting'],
  [ContainerPhase.RUNNING, 'running'],
  [ContainerPhase.STOPPING, 'stopping'],
  [ContainerPhase.STOPPED, 'stopped'],
  [ContainerPhase.FAILED, 'failed'],
  [ContainerPhase.REMOVED, 'removed'],
]);

const wantedPhases = {
  running: WantedPhase.RUNNING,
  stopped: WantedPhase.STOPPED,
  removed: WantedPhase.REMOVED,
} as const satisfies Record<Assignment['wanted'], WantedPhase>;
