import { DomainError } from '../../shared/errors.ts';
import { conflictOf } from '../../shared/route-order.ts';
import type { Service } from '../model.ts';
import type { Store } from '../store/store.ts';

/**
 * Refuses a service as it would be if, at some load balancer, one of its routes and one of another service's
 * match the same requests with nothing to say which counts; or, of a load balancer, if two of those that it links
 * to do. `field`: what of the request is at fault; left out: what it is in a spec.
 */
export function requireNoConflicts(store: Store, service: Service, field?: string): void {
  const services = [...store.services.values()].filter(
    ({ id, terminating }) => id !== service.id && !terminating,
  );
  const all = new Map([...services, service].map((each) => [each.name, each]));
  const balancers = [...all.values()].filter(
    ({ name, spec }) =>
      spec.apiRole === 'proxy' &&
      (name === service.name || spec.links.some((link) => link.service === service.name)),
  );
  for (const lb of balancers) {
    const linked = lb.spec.links.flatMap((link) => all.get(link.service) ?? []);
    const routed = [...new Set(linked)].filter(({ spec }) => spec.routes.length > 0);
    const changed = lb === service ? routed : routed.filter((each) => each === service);
    const link = (name: string) => lb.spec.links.findIndex((each) => each.service === name);
    const fieldOf = (one: Service, route: number) =>
      field ?? (lb === service ? `spec.links[${link(one.name)}]` : `spec.routes[${route}]`);
    for (const one of changed) {
      for (const other of routed) requireApart({ one, other, lb, fieldOf });
    }
  }
}

interface Rivals {
  readonly one: Service;
  readonly other: Service;
  readonly lb: Service;
  /** What is at fault if it is this route of `one`. */
  readonly fieldOf: (one: Service, route: number) => string;
}

function requireApart({ one, other, lb, fieldOf }: Rivals): void {
  if (one === other) return;
  for (const [index, route] of one.spec.routes.entries()) {
    for (const rival of other.spec.routes) {
      const match = conflictOf(route, rival);
      if (match === undefined) continue;
      const what = route.port === 0 ? '' : ` on port ${route.port}`;
      const where = `${match.host === '' ? 'any host' : match.host}${match.path}`;
      const rule =
        `must not take what the route ${rival.name} of ${other.name} takes at ${lb.name}: ` +
        'give one of them a higher priority';
      throw new DomainError(
        'precondition',
        `spec.routes[${index}] of ${one.name} and the route ${rival.name} of ${other.name} both take ` +
          `${route.kind === 'http' ? where : route.kind}${what} at ${lb.name}: give one of them a higher priority`,
        { reason: 'ROUTE_CONFLICT', violations: [{ field: fieldOf(one, index), rule }] },
      );
    }
  }
}
