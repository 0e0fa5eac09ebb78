import type { View } from '../../../../agent/node/advance.ts';
import type { EngineContainer } from '../../../../agent/node/docker/engine.ts';
import type {
  Assignment,
  ContainerDefinition,
  ContainerStatus,
  PortBinding,
  PortSpec,
} from '../../../../agent/node/model.ts';
import type { Readiness } from '../../../../shared/health-check.ts';
import type { ContainerId, NodeId } from '../../../../shared/ids.ts';
import { someOptions } from '../../../support/container-options.ts';

export const nodeId = 'a'.repeat(32) as NodeId;
export const containerId = '1f0c9a2b'.padEnd(32, '0') as ContainerId;
export const startedAt = new Date('2030-01-01T00:00:00.000Z');

export function aPort(port: Partial<PortSpec> = {}): PortSpec {
  return { containerPort: 80, protocol: 'tcp', published: true, hostPort: 0, ...port };
}

export function aBinding(binding: Partial<PortBinding> = {}): PortBinding {
  return {
    containerPort: 80,
    protocol: 'tcp',
    hostAddress: '0.0.0.0',
    hostPort: 49_153,
    published: true,
    ...binding,
  };
}

export function aReadinessSpec(spec: Partial<Readiness> = {}): Readiness {
  return {
    check: { kind: 'tcp', port: 0 },
    intervalMs: 1_000,
    timeoutMs: 2_000,
    failureThreshold: 3,
    successThreshold: 1,
    startPeriodMs: 0,
    ...spec,
  };
}

export function aDefinition(definition: Partial<ContainerDefinition> = {}): ContainerDefinition {
  return {
    name: 'web-3',
    service: 'web',
    serviceId: '5'.repeat(32),
    slot: 3,
    revision: 2,
    image: 'hello',
    command: [],
    entrypoint: [],
    environment: {},
    labels: {},
    hostname: 'web-3',
    ports: [aPort()],
    hosts: [],
    restart: 'always',
    restartLimit: 0,
    readiness: aReadinessSpec(),
    liveness: undefined,
    drainTimeoutMs: 30_000,
    stopGraceMs: 10_000,
    options: someOptions(),
    volumes: [],
    ...definition,
  };
}

export function anAssignment(assignment: Partial<Assignment> = {}): Assignment {
  return {
    containerId,
    wanted: 'running',
    definition: aDefinition(),
    drained: false,
    ...assignment,
  };
}

export function anEngineContainer(container: Partial<EngineContainer> = {}): EngineContainer {
  return {
    engineId: 'e'.repeat(64),
    identity: { ...aDefinition(), nodeId, containerId },
    state: 'running',
    pid: 4_242,
    exitCode: 0,
    error: '',
    outOfMemory: false,
    restartPolicy: 'always',
    restartLimit: 0,
    restarts: 0,
    startedAt,
    endedAt: undefined,
    ports: [aBinding()],
    ...container,
  };
}

export function aStatus(status: Partial<ContainerStatus> = {}): ContainerStatus {
  return {
    containerId,
    name: 'web-3',
    phase: 'running',
    readiness: 'ready',
    ports: [aBinding()],
    exitCode: undefined,
    message: '',
    engineId: 'e'.repeat(64),
    restarts: 0,
    awaitsDrain: false,
    startedAt,
    endedAt: undefined,
    ...status,
  };
}

/** A container that is wanted to run and that nothing was done for yet. */
export function aView(view: Partial<View> = {}): View {
  return {
    containerId,
    name: 'web-3',
    wanted: 'running',
    hasDefinition: true,
    engine: undefined,
    seen: view.engine !== undefined,
    image: 'unknown',
    failure: '',
    trouble: '',
    mayReturn: false,
    readiness: 'not-ready',
    readinessMessage: '',
    livenessMessage: '',
    mayRestart: false,
    hasJustEnded: false,
    last: undefined,
    ...view,
  };
}
