import type { Container, Node, Observed, PortBinding, Service } from '../model.ts';
import { portsOnNode } from '../scheduler/node-ports.ts';
import { tlsOfPort } from './tls-ports.ts';

/** An address that a user can open. */
export interface Endpoint {
  readonly id: string;
  readonly kind: 'container' | 'service';
  readonly service: string;
  readonly container: string;
  readonly node: string;
  readonly url: string;
  readonly containerPort: number;
  readonly hostPort: number;
  readonly ready: boolean;
}

export interface EndpointSource {
  readonly service: Service;
  readonly container: Container;
  readonly observed: Observed | undefined;
  readonly node: Node | undefined;
}

/**
 * One endpoint for each published port of a running container, and one for the service where that port is
 * fixed: a dynamic port belongs to its container alone.
 */
export function endpointsOf({ service, container, observed, node }: EndpointSource): Endpoint[] {
  if (observed?.phase !== 'running' || node === undefined) return [];
  return observed.ports
    .filter((binding) => binding.published)
    .flatMap((binding) => {
      const common = {
        service: service.name,
        container: container.name,
        node: node.name,
        url: urlOf(binding, node.publicAddress, speaksTls(service, binding)),
        containerPort: binding.containerPort,
        hostPort: binding.hostPort,
        ready: observed.ready && container.wanted === 'running',
      };
      const port = `${binding.containerPort}/${binding.protocol}`;
      const own: Endpoint = { ...common, id: `${container.id}:${port}`, kind: 'container' };
      const fixed = portsOnNode(service.spec).some(
        (each) => each.hostPort > 0 && each.containerPort === binding.containerPort,
      );
      const shared: Endpoint = {
        ...common,
        id: `${service.id}:${port}:${node.id}`,
        kind: 'service',
      };
      return fixed ? [shared, own] : [own];
    });
}

/** What is no load balancer is known by its port alone. */
function speaksTls({ spec }: Service, { containerPort }: PortBinding): boolean {
  if (spec.apiRole !== 'proxy') return containerPort === 443;
  return tlsOfPort(spec.tls, containerPort) !== null;
}

function urlOf({ protocol, hostPort }: PortBinding, host: string, secure: boolean): string {
  const name = host.includes(':') ? `[${host}]` : host;
  if (protocol === 'udp') return `udp://${name}:${hostPort}`;
  if (secure) return `https://${name}:${hostPort}`;
  return hostPort === 80 ? `http://${name}` : `http://${name}:${hostPort}`;
}
