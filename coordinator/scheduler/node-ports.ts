import type { Port, ServiceSpec } from '../model.ts';

/** The ports of a spec as they are on a node: in the node's own network each is the port of that number. */
export function portsOnNode({ ports, container }: ServiceSpec): readonly Port[] {
  if (container.network === 'bridge') return ports;
  return ports.map((port) => ({ ...port, hostPort: port.containerPort }));
}
