import type { Service } from '../model.ts';

/**
 * Why some route, or the balancing, of a service is not as it was asked, in words: what it needs is missing at a
 * load balancer. Empty if all is well. Nothing of this is refused: the load balancer may be made, linked or given
 * a port later.
 */
export function routeWarning(service: Service, services: Iterable<Service>): string {
  const { routes, balancing } = service.spec;
  if (routes.length === 0 && balancing.backups.length === 0) return '';
  const balancers = [...services].filter(
    ({ spec, terminating }) =>
      !terminating &&
      spec.apiRole === 'proxy' &&
      spec.links.some((link) => link.service === service.name),
  );
  if (balancers.length === 0) {
    return routes.length === 0 ? '' : 'no load balancer links to it: nothing comes by its routes';
  }
  for (const lb of balancers) {
    const missing = missingAt(service, lb);
    if (missing !== '') return missing;
  }
  return '';
}

function missingAt({ spec: { routes, balancing } }: Service, lb: Service): string {
  const ports = lb.spec.ports.flatMap(({ protocol, containerPort }) =>
    protocol === 'tcp' ? [containerPort] : [],
  );
  const portless = routes.find(({ port }) => port !== 0 && !ports.includes(port));
  if (portless !== undefined) {
    return `${lb.name} has no TCP port ${portless.port}: nothing comes by the route ${portless.name}`;
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
