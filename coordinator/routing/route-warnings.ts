import type { Service } from '../model.ts';
import { balancedPort, plainBalancing, pooledPort, poolSettings } from './routes.ts';

/**
 * Why some route, or the balancing, of a service is not as it was asked, in words: what it needs is missing at a
 * load balancer. Empty if all is well. Nothing of this is refused: the load balancer may be made, linked or given
 * a port later.
 */
export function routeWarning(service: Service, services: Iterable<Service>): string {
  const { routes, balancing } = service.spec;
  const isPlain = balancing.backups.length === 0 && poolSettings(balancing) === plainSettings;
  if (routes.length === 0 && isPlain) return '';
  const byName = new Map<string, Service>();
  for (const each of services) if (!each.terminating) byName.set(each.name, each);
  const balancers = [...byName.values()].filter(
    ({ spec }) =>
      spec.apiRole === 'proxy' && spec.links.some((link) => link.service === service.name),
  );
  if (balancers.length === 0) {
    return routes.length === 0 ? '' : 'no load balancer links to it: nothing comes by its routes';
  }
  for (const lb of balancers) {
    const words =
      missingAt(service, lb) || portlessAt(service, byName) || ignoredAt(service, lb, byName);
    if (words !== '') return words;
  }
  return '';
}

const plainSettings = poolSettings(plainBalancing);

function tcpPorts({ spec }: Service): number[] {
  return spec.ports.flatMap(({ protocol, containerPort }) =>
    protocol === 'tcp' ? [containerPort] : [],
  );
}

function missingAt({ spec: { routes, balancing } }: Service, lb: Service): string {
  const ports = tcpPorts(lb);
  const portless = routes.find(({ port }) => port !== 0 && !ports.includes(port));
  if (portless !== undefined) {
    return `${lb.name} has no TCP port ${portless.port}: nothing comes by the route ${portless.name}`;
  }
  const { tls } = lb.spec;
  const passed = routes.find(
    ({ kind, port }) => kind === 'tls-passthrough' && tls.ports.includes(port),
  );
  if (passed !== undefined) {
    return (
      `${lb.name} is to speak TLS at port ${passed.port}, and cannot, as the route ${passed.name} passes on ` +
      'all that comes there'
    );
  }
  const linked = new Set(lb.spec.links.map((link) => link.service));
  const others = [
    ...routes.flatMap((route) => route.split.map((share) => share.service)),
    ...balancing.backups,
  ];
  const unlinked = others.find((name) => !linked.has(name));
  return unlinked === undefined
    ? ''
    : `${lb.name} does not link to ${unlinked}: it gets no requests that are meant for it`;
}

/** A part of the requests that is meant for a port which no container has. */
function portlessAt({ spec }: Service, byName: ReadonlyMap<string, Service>): string {
  for (const route of spec.routes) {
    for (const { service: name, targetPort } of route.split) {
      const other = byName.get(name);
      if (other === undefined) continue;
      if (
        targetPort === 0
          ? balancedPort(other.spec.ports) !== null
          : tcpPorts(other).includes(targetPort)
      )
        continue;
      const what = targetPort === 0 ? 'no TCP port' : `no TCP port ${targetPort}`;
      return `${name} has ${what}: it gets no requests of the route ${route.name}`;
    }
  }
  return '';
}

/** In one pool with others it is balanced as all of them are, or in turn. */
function ignoredAt(service: Service, lb: Service, byName: ReadonlyMap<string, Service>): string {
  const own = poolSettings(service.spec.balancing);
  if (own === plainSettings) return '';
  const linked = lb.spec.links.flatMap((link) => byName.get(link.service) ?? []);
  const backups = new Set(linked.flatMap(({ spec }) => spec.balancing.backups));
  const pooled = linked.filter((each) => !backups.has(each.name) && pooledPort(each) !== null);
  const other = pooled.find(({ spec }) => poolSettings(spec.balancing) !== own);
  if (other === undefined || !pooled.some(({ name }) => name === service.name)) return '';
  return (
    `${lb.name} has it in one pool with ${other.name}, which is balanced otherwise: ` +
    'its balancing does not count there until it has a route'
  );
}
