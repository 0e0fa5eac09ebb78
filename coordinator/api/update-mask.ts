import type { FieldViolation } from '../../shared/errors.ts';
import {
  ContainerOptions,
  LogConfig,
  ResourceLimits,
} from '../../shared/gen/fairlead/v1/container_options.ts';
import { Balancing, Forwarding } from '../../shared/gen/fairlead/v1/route.ts';
import {
  HttpCheck,
  Liveness,
  Readiness,
  Reservation,
  ServiceSpec,
  UpdatePolicy,
} from '../../shared/gen/fairlead/v1/service.ts';
import { TlsSettings } from '../../shared/gen/fairlead/v1/tls.ts';
import { quote } from './validate.ts';

/** Copies one field of `from` into `to`; a field that `from` leaves empty becomes empty. */
type Copy = (to: ServiceSpec, from: ServiceSpec) => void;

/** Any message, by the names of its fields. */
type Fields = Record<string, unknown>;

/** The messages whose fields can be named one by one, empty, by their path. */
const messages: ReadonlyMap<string, Fields> = new Map<string, Fields>([
  ['', { ...ServiceSpec.create() }],
  ['readiness', { ...Readiness.create() }],
  ['liveness', { ...Liveness.create() }],
  ['update', { ...UpdatePolicy.create() }],
  ['reservation', { ...Reservation.create() }],
  ['tls', { ...TlsSettings.create() }],
  ['balancing', { ...Balancing.create() }],
  ['forwarding', { ...Forwarding.create() }],
  ['container', { ...ContainerOptions.create() }],
  ['container.log', { ...LogConfig.create() }],
  ['container.limits', { ...ResourceLimits.create() }],
]);

/** By path in camelCase, the form that proto3's JSON has; snake_case is converted before. */
const copies: ReadonlyMap<string, Copy> = new Map([
  ...[...messages].flatMap(([path, empty]) =>
    Object.keys(empty)
      // The alternatives have paths of their own.
      .filter((name) => name !== 'check')
      .map((name) => fieldOf(path, name)),
  ),
  ...(['tcp', 'http', 'command', 'grpc', 'none'] as const).map((kind) =>
    checkField('readiness', kind),
  ),
  ...(['tcp', 'http', 'command', 'grpc'] as const).map((kind) => checkField('liveness', kind)),
  ...httpFields('readiness'),
  ...httpFields('liveness'),
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
      takeBackOther(merged, change, toCamelCase(path));
    }
  }
  return merged;
}

/** Fields of which at most one is set: a number, or a share. */
const otherForms = new Map<string, keyof UpdatePolicy>([
  ['update.parallelism', 'parallelismPercent'],
  ['update.parallelismPercent', 'parallelism'],
  ['update.failureBudget', 'failureBudgetPercent'],
  ['update.failureBudgetPercent', 'failureBudget'],
]);

/** Whoever gives a number doesn't have to know that it was a share before, and the other way round. */
function takeBackOther(to: ServiceSpec, { update }: ServiceSpec, path: string): void {
  const other = otherForms.get(path);
  if (other === undefined || to.update === undefined || update?.[other] !== undefined) return;
  const given = path.slice('update.'.length) as keyof UpdatePolicy;
  if (update?.[given] !== undefined) to.update = { ...to.update, [other]: undefined };
}

/** A field by its name; the messages around it are made where they are not there. */
function fieldOf(parent: string, name: string): [string, Copy] {
  const around = parent === '' ? [] : parent.split('.');
  const path = [...around, name].join('.');
  return [
    path,
    (to, from) => {
      let target = to as unknown as Fields;
      let source: Fields | undefined = from as unknown as Fields;
      for (const [index, outer] of around.entries()) {
        const empty = messages.get(around.slice(0, index + 1).join('.'));
        const inner: Fields = { ...empty, ...(target[outer] as Fields | undefined) };
        target[outer] = inner;
        target = inner;
        source = source?.[outer] as Fields | undefined;
      }
      target[name] = source?.[name] ?? messages.get(parent)?.[name];
    },
  ];
}

type Check = NonNullable<(Readiness | Liveness)['check']>;

/** Naming one of the checks sets it; naming one that the change doesn't have takes it away. */
function checkField(of: 'readiness' | 'liveness', kind: Check['$case']): [string, Copy] {
  return [
    `${of}.${kind}`,
    (to, from) => {
      const given = from[of]?.check;
      const kept = to[of]?.check;
      const check = given?.$case === kind ? given : kept?.$case === kind ? undefined : kept;
      Object.assign(to, { [of]: { ...messages.get(of), ...to[of], check } });
    },
  ];
}

function httpFields(of: 'readiness' | 'liveness'): [string, Copy][] {
  const names = Object.keys(HttpCheck.create()) as (keyof HttpCheck)[];
  return names.map((name) => [
    `${of}.http.${name}`,
    (to, from) => {
      const value = { ...httpOf(to[of]), [name]: httpOf(from[of])[name] };
      const check = { $case: 'http', value };
      Object.assign(to, { [of]: { ...messages.get(of), ...to[of], check } });
    },
  ]);
}

function httpOf(checked: Readiness | Liveness | undefined): HttpCheck {
  return checked?.check?.$case === 'http' ? checked.check.value : HttpCheck.create();
}

/** Proto field names have no upper-case letters, so that both forms can be told from one another. */
function toCamelCase(path: string): string {
  return path.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
