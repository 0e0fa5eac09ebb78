import type { Container } from '../../shared/gen/fairlead/v1/container.ts';
import type { Service } from '../../shared/gen/fairlead/v1/service.ts';
import type { Call } from './call.ts';

// A load balancer has the use of names and addresses, and faces the internet: whoever takes it over is not
// to find passwords of what it balances.

/** A service as the caller may see it: a proxy sees no variables, which often are secrets. */
export function serviceFor({ principal }: Call, service: Service): Service {
  if (principal.role !== 'proxy' || service.spec === undefined) return service;
  return { ...service, spec: { ...service.spec, environment: {} }, linkVariables: {} };
}

/** A container as the caller may see it: a proxy sees no variables, which often are secrets. */
export function containerFor({ principal }: Call, container: Container): Container {
  return principal.role === 'proxy' ? { ...container, environment: {} } : container;
}
