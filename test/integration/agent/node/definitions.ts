import type { ContainerDefinition } from '../../../../shared/gen/fairlead/v1/agent_service.ts';
import {
  PortProtocol,
  RestartPolicy,
  type PortSpec,
  type Readiness,
} from '../../../../shared/gen/fairlead/v1/service.ts';

/** A container id that differs for each number. */
export function idOf(number: number): string {
  return `${number.toString(16).padStart(8, '0')}${'c'.repeat(24)}`;
}

/** Readiness by TCP, checked often so that tests are quick. */
export const tcpReadiness: Readiness = {
  check: { $case: 'tcp', value: { port: 0 } },
  intervalMs: 100,
  timeoutMs: 1_000,
  failureThreshold: 3,
};

/** A definition of a container that needs nothing but an image. */
export function aDefinition(
  definition: Pick<ContainerDefinition, 'image'> & Partial<ContainerDefinition>,
): ContainerDefinition {
  return {
    name: 'web-1',
    service: 'web',
    serviceId: '5'.repeat(32),
    slot: 1,
    revision: 1,
    command: [],
    entrypoint: [],
    environment: {},
    labels: {},
    hostname: definition.name ?? 'web-1',
    ports: [],
    hosts: [],
    restart: RestartPolicy.ALWAYS,
    readiness: tcpReadiness,
    stopGraceMs: 5_000,
    options: undefined,
    restartLimit: 0,
    liveness: undefined,
    drainTimeoutMs: 30_000,
    volumes: [],
    ...definition,
  };
}

/** A TCP port that is published, on a port that the engine chooses. */
export function published(containerPort: number, hostPort = 0): PortSpec {
  return { containerPort, protocol: PortProtocol.TCP, published: true, hostPort };
}

/** A TCP port for proxies and peers only. */
export function linked(containerPort: number): PortSpec {
  return { containerPort, protocol: PortProtocol.TCP, published: false, hostPort: 0 };
}
