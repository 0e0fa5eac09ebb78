import type { Action } from '../../shared/gen/fairlead/v1/action.ts';
import type { Container } from '../../shared/gen/fairlead/v1/container.ts';
import type { Service, ServiceSpec } from '../../shared/gen/fairlead/v1/service.ts';
import type { Call } from './call.ts';

// A load balancer has the use of names and addresses, and faces the internet: whoever takes it over is not
// to find passwords of what it balances.

/** A service as the caller may see it: a proxy sees no variables, which often are secrets. */
export function serviceFor(call: Call, service: Service): Service {
  if (call.principal.role !== 'proxy' || service.spec === undefined) return service;
  return { ...service, spec: specFor(call, service.spec), linkVariables: {} };
}

/** A definition as the caller may see it: a proxy sees no variables, which often are secrets. */
export function specFor({ principal }: Call, spec: ServiceSpec): ServiceSpec {
  return principal.role === 'proxy' ? { ...spec, environment: {} } : spec;
}

/** A container as the caller may see it: a proxy sees no variables, which often are secrets, and no logs. */
export function containerFor({ principal }: Call, container: Container): Container {
  if (principal.role !== 'proxy') return container;
  return { ...container, environment: {}, failure: undefined };
}

/** An action as the caller may see it: a proxy sees no logs. */
export function actionFor({ principal }: Call, action: Action): Action {
  if (principal.role !== 'proxy') return action;
  return { ...action, timeline: action.timeline.map((entry) => ({ ...entry, lines: [] })) };
}
