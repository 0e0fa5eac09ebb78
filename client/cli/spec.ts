import {
  ApiRole,
  FailureAction,
  PlacementStrategy,
  PortProtocol,
  RestartPolicy,
  ServiceSpec,
  UpdateOrder,
  type DeepPartial,
  type Link,
  type PortSpec,
} from '../../shared/gen/fairlead/v1/service.ts';
import { optionChanges, type OptionChange } from './option-flags.ts';
import { optionGroups, type ListEditFlags, type SpecFlags } from './spec-flags.ts';
import type { Amount } from './values.ts';

/** The definition that flags give for a new service. */
export function specOf(
  flags: SpecFlags,
  image: string,
  command: readonly string[],
): DeepPartial<ServiceSpec> {
  return patchOf({ ...flags, image }, command, ServiceSpec.fromPartial({})).spec;
}

/** New values of a definition, and which of its fields they are for. */
export interface SpecPatch {
  readonly spec: ServiceSpec;
  /** Paths of an update mask. */
  readonly mask: readonly string[];
}

/**
 * What flags change in a definition. Scalars stand for themselves; list flags add to the list that is
 * there, or replace the entry of the same key, so that naming one entry never drops the others.
 */
export function patchOf(
  flags: SpecFlags & ListEditFlags,
  command: readonly string[],
  now: ServiceSpec,
): SpecPatch {
  const changes: Change[] = [
    ...contentChanges(flags, command),
    ...listChanges(flags, now),
    ...replacementChanges(flags),
    ...optionChanges(optionGroups, { ...flags }, now).map(changeOfOption),
  ];
  return {
    spec: ServiceSpec.fromPartial(
      changes.map(({ fields }) => fields).reduce((all, one) => merge(all, one), {}),
    ),
    mask: [...new Set(changes.map(({ path }) => path))],
  };
}

type Fields = DeepPartial<ServiceSpec>;

interface Change {
  readonly path: string;
  readonly fields: Fields;
}

/** Both, with messages that both have merged in turn: their fields come from more than one flag. */
function merge<T extends object>(a: T, b: T): T {
  const into = { ...a } as Record<string, unknown>;
  for (const [name, value] of Object.entries(b)) {
    const before = into[name];
    into[name] = isMessage(before) && isMessage(value) ? merge(before, value) : value;
  }
  return into as T;
}

function isMessage(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Paths in a mask are the names of the contract: in snake_case. */
function changeOfOption({ path, value, mask, also }: OptionChange): Change {
  const names = path.split('.');
  const fields = names.reduceRight<unknown>((inner, name) => ({ [name]: inner }), value);
  const maskPath = mask.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return { path: maskPath, fields: merge(also, fields as Fields) };
}

/** A change if there is a value for it. */
function change<T>(path: string, value: T | undefined, fields: (value: T) => Fields): Change[] {
  return value === undefined ? [] : [{ path, fields: fields(value) }];
}

function contentChanges(flags: SpecFlags & ListEditFlags, command: readonly string[]): Change[] {
  const cleared = (field: string) => flags.clear?.includes(field) === true;
  return [
    ...change('image', flags.image, (image) => ({ image })),
    ...change('replicas', flags.replicas, (replicas) => ({ replicas })),
    ...change('strategy', flags.strategy, (name) => ({ strategy: strategies[name] ?? 0 })),
    ...change('command', listOr(command, cleared('command')), (words) => ({ command: words })),
    ...change('entrypoint', listOr(flags.entrypoint, cleared('entrypoint')), (words) => ({
      entrypoint: words,
    })),
    ...change('restart', flags.restart, ({ policy }) => ({ restart: restarts[policy] ?? 0 })),
    ...change('restart_limit', flags.restart, ({ limit }) => ({ restartLimit: limit })),
    ...change('api_role', flags.role, (name) => ({ apiRole: roles[name] ?? 0 })),
  ];
}

/** The list if it has entries, an empty one if it was cleared. */
function listOr(words: readonly string[] | undefined, isCleared: boolean): string[] | undefined {
  if (words !== undefined && words.length > 0) return [...words];
  return isCleared ? [] : undefined;
}

function listChanges(flags: SpecFlags & ListEditFlags, now: ServiceSpec): Change[] {
  const added = <T>(...lists: readonly (readonly T[] | undefined)[]) =>
    lists.flatMap((list) => list ?? []);
  const edited = <T>(field: string, edit: Omit<Edit<T>, 'isCleared'>) =>
    editList({ ...edit, isCleared: flags.clear?.includes(field) === true });
  const environment = edited('env', {
    now: Object.entries(now.environment),
    add: added(flags.envFile, flags.env, flags.envAdd),
    remove: added(flags.envRm),
    keyOf: ([key]) => key,
  });
  const labels = edited('label', {
    now: Object.entries(now.labels),
    add: added(flags.label, flags.labelAdd),
    remove: added(flags.labelRm),
    keyOf: ([key]) => key,
  });
  const ports = edited('port', {
    now: now.ports,
    // A port that is both exposed and published is published.
    add: added(flags.expose, flags.exposeAdd, flags.publish, flags.publishAdd),
    remove: added(flags.portRm).map(portKey),
    keyOf: portKey,
  });
  const links = edited('link', {
    now: now.links,
    add: added(flags.link, flags.linkAdd),
    remove: added(flags.linkRm),
    keyOf: linkKey,
  });
  const tags = edited('tag', {
    now: now.tags,
    add: added(flags.tag, flags.tagAdd),
    remove: added(flags.tagRm),
    keyOf: (tag) => tag,
  });
  const avoidTags = edited('avoid-tag', {
    now: now.avoidTags,
    add: added(flags.avoidTag, flags.avoidTagAdd),
    remove: added(flags.avoidTagRm),
    keyOf: (tag) => tag,
  });
  return [
    ...change('environment', environment, (pairs) => ({ environment: Object.fromEntries(pairs) })),
    ...change('labels', labels, (pairs) => ({ labels: Object.fromEntries(pairs) })),
    ...change('ports', ports, (list) => ({ ports: list })),
    ...change('links', links, (list) => ({ links: list })),
    ...change('tags', tags, (list) => ({ tags: list })),
    ...change('avoid_tags', avoidTags, (list) => ({ avoidTags: list })),
  ];
}

interface Edit<T> {
  readonly now: readonly T[];
  readonly add: readonly T[];
  readonly remove: readonly string[];
  readonly keyOf: (item: T) => string;
  readonly isCleared: boolean;
}

function editList<T>({ now, add, remove, keyOf, isCleared }: Edit<T>): T[] | undefined {
  if (add.length === 0 && remove.length === 0 && !isCleared) return undefined;
  const items = new Map((isCleared ? [] : now).map((item) => [keyOf(item), item]));
  for (const key of remove) items.delete(key);
  for (const item of add) items.set(keyOf(item), item);
  return [...items.values()];
}

function portKey({ containerPort, protocol }: PortSpec): string {
  return `${containerPort}/${protocol === PortProtocol.UDP ? 'udp' : 'tcp'}`;
}

function linkKey({ service, alias }: Link): string {
  return alias === '' ? service : alias;
}

function replacementChanges(flags: SpecFlags): Change[] {
  const check = flags.readiness;
  return [
    ...change(`readiness.${check?.$case ?? ''}`, check, (value) => ({
      readiness: { check: value },
    })),
    ...change('readiness.interval_ms', flags.readinessInterval, (intervalMs) => ({
      readiness: { intervalMs },
    })),
    ...change('readiness.timeout_ms', flags.readinessTimeout, (timeoutMs) => ({
      readiness: { timeoutMs },
    })),
    ...change('readiness.failure_threshold', flags.readinessFailures, (failureThreshold) => ({
      readiness: { failureThreshold },
    })),
    ...change('update.order', flags.order, (name) => ({ update: { order: orders[name] ?? 0 } })),
    ...amountChange('parallelism', flags.parallelism),
    ...change('update.settle_ms', flags.settle, (settleMs) => ({ update: { settleMs } })),
    ...amountChange('failureBudget', flags.failureBudget),
    ...change('update.on_failure', flags.onFailure, (name) => ({
      update: { onFailure: failureActions[name] ?? 0 },
    })),
    ...change('update.revisions_kept', flags.revisionsKept, (revisionsKept) => ({
      update: { revisionsKept },
    })),
    ...change('update.deadline_ms', flags.updateDeadline, (deadlineMs) => ({
      update: { deadlineMs },
    })),
    ...change('drain_timeout_ms', flags.drainTimeout, (drainTimeoutMs) => ({ drainTimeoutMs })),
    ...change('stop_grace_ms', flags.stopGrace, (stopGraceMs) => ({ stopGraceMs })),
  ];
}

/** One of two fields: the number, or the share. */
function amountChange(
  field: 'parallelism' | 'failureBudget',
  amount: Amount | undefined,
): Change[] {
  if (amount === undefined) return [];
  const path = `update.${field === 'parallelism' ? 'parallelism' : 'failure_budget'}`;
  return 'count' in amount
    ? [{ path, fields: { update: { [field]: amount.count } } }]
    : [{ path: `${path}_percent`, fields: { update: { [`${field}Percent`]: amount.percent } } }];
}

type Names<T> = Readonly<Record<string, T>>;

/** What the strategies of placement are called here. */
export const strategies: Names<PlacementStrategy> = {
  'emptiest-node': PlacementStrategy.EMPTIEST_NODE,
  'high-availability': PlacementStrategy.HIGH_AVAILABILITY,
  'every-node': PlacementStrategy.EVERY_NODE,
};

const restarts: Names<RestartPolicy> = {
  no: RestartPolicy.NEVER,
  'on-failure': RestartPolicy.ON_FAILURE,
  always: RestartPolicy.ALWAYS,
};

const roles: Names<ApiRole> = {
  none: ApiRole.NONE,
  proxy: ApiRole.PROXY,
  viewer: ApiRole.VIEWER,
  operator: ApiRole.OPERATOR,
};

const orders: Names<UpdateOrder> = {
  'start-first': UpdateOrder.START_FIRST,
  'stop-first': UpdateOrder.STOP_FIRST,
};

const failureActions: Names<FailureAction> = {
  'roll-back': FailureAction.ROLL_BACK,
  pause: FailureAction.PAUSE,
  continue: FailureAction.CONTINUE,
};
