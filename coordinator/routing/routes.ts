import { shortId } from '../../shared/ids.ts';
import type { Backend, Container, Frontend, Observed, Port, Service, Target } from '../model.ts';

/** HAProxy's name for the pool of everything that a load balancer links to. */
export const defaultBackend = 'default';

/** The port of the statistics page: never a frontend. */
const statsPort = 1936;

/** Where a proxy runs decides which port it binds. */
export type ProxyPlace = 'container' | 'host';

/** What a proxy of this load balancer listens on: each TCP port of its definition. */
export function frontendsOf(ports: readonly Port[], place: ProxyPlace): Frontend[] {
  return ports
    .filter(({ protocol, containerPort }) => protocol === 'tcp' && containerPort !== statsPort)
    .map((each) => {
      const port = place === 'host' ? portOnHost(each) : each.containerPort;
      return { name: `http_${port}`, port, mode: 'http', defaultBackend };
    });
}

/** The port that a proxy on a plain host binds: the one that a container's node would have, if it is fixed. */
export function portOnHost({ containerPort, hostPort }: Port): number {
  return hostPort > 0 ? hostPort : containerPort;
}

/** The pools of every load balancer. */
export const backends: readonly Backend[] = [{ name: defaultBackend, mode: 'http' }];

/** The container port that a load balancer sends requests to: the first TCP port. */
export function balancedPort(ports: readonly Port[]): number | null {
  return ports.find(({ protocol }) => protocol === 'tcp')?.containerPort ?? null;
}

export interface RoutedContainer {
  readonly container: Container;
  readonly observed: Observed | undefined;
  /** Address of its node for proxies. */
  readonly advertiseAddress: string;
}

/**
 * The target of one container, or null if it has none.
 *
 * Ready containers take requests. One that is being taken away, or whose readiness check fails, drains:
 * it takes none, and what is in flight goes on. One whose process is gone has no target at all. That a node
 * is not heard of says nothing of its containers: proxies find out by themselves whether they answer, until
 * a successor serves and they are taken away as any other.
 */
export function targetOf(service: Service, routed: RoutedContainer): Target | null {
  const { container, observed, advertiseAddress } = routed;
  if (observed?.phase !== 'running') return null;
  if (container.wanted !== 'running' && container.wanted !== 'draining') return null;
  const port = portOfTarget(service, container);
  const binding = observed.ports.find((p) => p.protocol === 'tcp' && p.containerPort === port);
  if (binding === undefined) return null;
  const ready = container.wanted === 'running' && observed.ready;
  return {
    id: `${container.name}.${shortId(container.id)}.${binding.hostPort}`,
    backend: defaultBackend,
    containerId: container.id,
    container: container.name,
    address: isAny(binding.hostAddress) ? advertiseAddress : binding.hostAddress,
    port: binding.hostPort,
    mode: ready ? 'ready' : 'drain',
    drainTimeoutMs: service.spec.drainTimeoutMs,
  };
}

/** While another revision is rolled out, the service's port may be one that the container does not have. */
function portOfTarget({ spec }: Service, { definition }: Container): number | null {
  const wanted = balancedPort(spec.ports);
  const own = definition?.ports ?? spec.ports;
  const has = own.some((port) => port.protocol === 'tcp' && port.containerPort === wanted);
  return has ? wanted : balancedPort(own);
}

function isAny(address: string): boolean {
  return address === '0.0.0.0' || address === '::' || address === '';
}
