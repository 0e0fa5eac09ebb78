import type { ContainerId, NodeId } from '../../../shared/ids.ts';
import type { PortProtocol, PortSpec } from '../model.ts';

/** What an engine container is to Fairlead; kept in its labels, so that any agent can adopt it. */
export interface ContainerIdentity {
  readonly nodeId: NodeId;
  readonly containerId: ContainerId;
  readonly name: string;
  readonly service: string;
  readonly serviceId: string;
  readonly slot: number;
  readonly revision: number;
  readonly ports: readonly PortSpec[];
}

/** The two labels that engine containers are looked up by. */
export const nodeLabel = 'fairlead.node';
export const containerLabel = 'fairlead.container';

/** The labels that an engine container of this identity carries. */
export function labelsOf(identity: ContainerIdentity): Record<string, string> {
  return {
    [nodeLabel]: identity.nodeId,
    [containerLabel]: identity.containerId,
    'fairlead.name': identity.name,
    'fairlead.service': identity.service,
    'fairlead.service-id': identity.serviceId,
    'fairlead.slot': String(identity.slot),
    'fairlead.revision': String(identity.revision),
    'fairlead.ports': JSON.stringify(identity.ports),
  };
}

/**
 * Reads an identity back; undefined if the labels are not those of a container of Fairlead. Labels that
 * an older agent did not write yet, or that somebody damaged, read as empty: the two ids suffice.
 */
export function identityOf(
  labels: Readonly<Record<string, string>>,
): ContainerIdentity | undefined {
  const nodeId = labels[nodeLabel];
  const containerId = labels[containerLabel];
  if (!nodeId || !containerId) return undefined;
  return {
    nodeId: nodeId as NodeId,
    containerId: containerId as ContainerId,
    name: labels['fairlead.name'] ?? '',
    service: labels['fairlead.service'] ?? '',
    serviceId: labels['fairlead.service-id'] ?? '',
    slot: wholeNumber(labels['fairlead.slot']),
    revision: wholeNumber(labels['fairlead.revision']),
    ports: portsOf(labels['fairlead.ports']),
  };
}

function wholeNumber(text: string | undefined): number {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : 0;
}

function portsOf(text: string | undefined): PortSpec[] {
  if (text === undefined) return [];
  try {
    const values: unknown = JSON.parse(text);
    return Array.isArray(values) ? values.flatMap(portOf) : [];
  } catch {
    return [];
  }
}

function portOf(value: unknown): PortSpec[] {
  if (typeof value !== 'object' || value === null) return [];
  const { containerPort, protocol, published, hostPort } = value as Partial<PortSpec>;
  if (typeof containerPort !== 'number' || !isProtocol(protocol)) return [];
  return [
    {
      containerPort,
      protocol,
      published: published === true,
      hostPort: typeof hostPort === 'number' ? hostPort : 0,
    },
  ];
}

function isProtocol(value: unknown): value is PortProtocol {
  return value === 'tcp' || value === 'udp';
}
