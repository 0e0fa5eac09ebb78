import type { Action } from '../../shared/gen/fairlead/v1/action.ts';
import type { Container } from '../../shared/gen/fairlead/v1/container.ts';
import type { FieldChange, Service, ServiceSpec } from '../../shared/gen/fairlead/v1/service.ts';
import type { Call } from './call.ts';

// A load balancer has the use of names and addresses, and faces the internet: whoever takes it over is not
// to find passwords of what it balances. A viewer is somebody who looks: values of variables often are passwords,
// and who has them can do more than look.

/** What stands where a value is that is not shown. */
export const hidden = '********';

/** Variables as the caller may see them: a proxy none, a viewer their names. */
function variablesFor(
  { principal }: Call,
  variables: Readonly<Record<string, string>>,
): Record<string, string> {
  if (principal.role === 'proxy') return {};
  if (principal.role !== 'viewer') return variables;
  return Object.fromEntries(Object.keys(variables).map((name) => [name, hidden]));
}

/** A service as the caller may see it. */
export function serviceFor(call: Call, service: Service): Service {
  if (service.spec === undefined) return service;
  const linkVariables = variablesFor(call, service.linkVariables);
  return { ...service, spec: specFor(call, service.spec), linkVariables };
}

/** A definition as the caller may see it. */
export function specFor(call: Call, spec: ServiceSpec): ServiceSpec {
  return { ...spec, environment: variablesFor(call, spec.environment) };
}

/** What differs between two definitions, as the caller may see it: to a viewer, which variables do. */
export function changesFor({ principal }: Call, changes: readonly FieldChange[]): FieldChange[] {
  const isValue = ({ path }: FieldChange) => path.startsWith('environment.');
  const hide = (value: string) => (value === '' ? '' : JSON.stringify(hidden));
  if (principal.role === 'proxy') {
    return changes.filter((change) => !isValue(change) && change.path !== 'environment');
  }
  if (principal.role !== 'viewer') return [...changes];
  return changes.map((change) =>
    isValue(change)
      ? { ...change, before: hide(change.before), after: hide(change.after) }
      : change,
  );
}

/** A container as the caller may see it: a proxy sees no logs either. */
export function containerFor(call: Call, container: Container): Container {
  const shown = { ...container, environment: variablesFor(call, container.environment) };
  return call.principal.role === 'proxy' ? { ...shown, failure: undefined } : shown;
}

/** An action as the caller may see it: a proxy sees no logs. */
export function actionFor({ principal }: Call, action: Action): Action {
  if (principal.role !== 'proxy') return action;
  return { ...action, timeline: action.timeline.map((entry) => ({ ...entry, lines: [] })) };
}
