import type { FieldViolation } from '../../shared/errors.ts';
import {
  UpdateOrder,
  type Readiness,
  type ServiceSpec,
  type UpdatePolicy,
} from '../../shared/gen/fairlead/v1/service.ts';
import { quote } from './validate.ts';

/** Copies one field of `from` into `to`; a field that `from` leaves empty becomes empty. */
type Copy = (to: ServiceSpec, from: ServiceSpec) => void;

/** By path in camelCase, the form that proto3's JSON has; snake_case is converted before. */
const copies: ReadonlyMap<string, Copy> = new Map([
  ...wholeFields([
    'image',
    'replicas',
    'command',
    'entrypoint',
    'environment',
    'labels',
    'ports',
    'links',
    'tags',
    'strategy',
    'restart',
    'readiness',
    'update',
    'drainTimeoutMs',
    'stopGraceMs',
    'apiRole',
  ]),
  ...readinessFields(['intervalMs', 'timeoutMs', 'failureThreshold']),
  ...(['tcp', 'http', 'none'] as const).map((kind) => checkField(kind)),
  ...httpFields(['path', 'port']),
  ...updateFields(['order', 'parallelism', 'deadlineMs']),
]);

/**
 * `base` with the masked fields of `change`. Paths are accepted in snake_case and in camelCase; those
 * that name no field are collected.
 */
export function applyMask(
  base: ServiceSpec,
  { change, mask }: { readonly change: ServiceSpec; readonly mask: readonly string[] },
  into: FieldViolation[],
): ServiceSpec {
  const merged = { ...base };
  for (const [index, path] of mask.entries()) {
    const copy = copies.get(toCamelCase(path));
    if (copy === undefined) {
      into.push({
        field: `update_mask.paths[${index}]`,
        rule: `must name a field of the spec, like "image" or "update.parallelism", and is ${quote(path)}`,
      });
    } else {
      copy(merged, change);
    }
  }
  return merged;
}

function wholeFields(names: readonly (keyof ServiceSpec)[]): [string, Copy][] {
  return names.map((name) => [name, (to, from) => Object.assign(to, { [name]: from[name] })]);
}

function readinessFields(names: readonly (keyof Readiness)[]): [string, Copy][] {
  return names.map((name) => [
    `readiness.${name}`,
    (to, from) => {
      to.readiness = { check: undefined, ...to.readiness, [name]: from.readiness?.[name] };
    },
  ]);
}

type Check = NonNullable<Readiness['check']>;

/** Naming one of the checks sets it; naming one that the change doesn't have takes it away. */
function checkField(kind: Check['$case']): [string, Copy] {
  return [
    `readiness.${kind}`,
    (to, from) => {
      const given = from.readiness?.check;
      const kept = to.readiness?.check;
      const check = given?.$case === kind ? given : kept?.$case === kind ? undefined : kept;
      to.readiness = { ...to.readiness, check };
    },
  ];
}

function httpFields(names: readonly ('path' | 'port')[]): [string, Copy][] {
  return names.map((name) => [
    `readiness.http.${name}`,
    (to, from) => {
      const given = httpOf(from.readiness)[name];
      const value = { ...httpOf(to.readiness), [name]: given };
      to.readiness = { ...to.readiness, check: { $case: 'http', value } };
    },
  ]);
}

function httpOf(readiness: Readiness | undefined): { path: string; port: number } {
  return readiness?.check?.$case === 'http' ? readiness.check.value : { path: '', port: 0 };
}

function updateFields(names: readonly (keyof UpdatePolicy)[]): [string, Copy][] {
  return names.map((name) => [
    `update.${name}`,
    (to, from) => {
      const given = from.update?.[name];
      to.update = { order: UpdateOrder.UNSPECIFIED, ...to.update };
      Object.assign(to.update, { [name]: given ?? (name === 'order' ? 0 : undefined) });
    },
  ]);
}

/** Proto field names have no upper-case letters, so that both forms can be told from one another. */
function toCamelCase(path: string): string {
  return path.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
