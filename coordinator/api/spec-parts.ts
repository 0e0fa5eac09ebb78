import type { NetworkMode } from '../../shared/container-options.ts';
import type { FieldViolation } from '../../shared/errors.ts';
import {
  FailureAction as ProtoFailureAction,
  PortProtocol,
  UpdateOrder,
  type Link as ProtoLink,
  type PortSpec as ProtoPort,
  type UpdatePolicy as ProtoUpdatePolicy,
} from '../../shared/gen/fairlead/v1/service.ts';
import type { Amount, Link, Port, UpdatePolicy } from '../model.ts';
import { templateRule } from '../orchestrator/templates.ts';
import { numberOf, wordOf, type EnumWords } from './enum-words.ts';
import {
  quote,
  validateCount,
  validateName,
  validateRange,
  validateText,
  validateUnique,
} from './validate.ts';

// The parts of a spec, each from and to its message. `…FromProto` collects what is wrong and fills
// defaults.

const maxArguments = 1000;
const maxArgumentBytes = 32 * 1024;
const maxEntries = 200;
const maxKeyBytes = 255;
const maxValueBytes = 32 * 1024;
const maxPorts = 100;
const maxLinks = 1000;
const maxPort = 65_535;

const protocols: EnumWords<PortProtocol, Port['protocol']> = [
  [PortProtocol.TCP, 'tcp'],
  [PortProtocol.UDP, 'udp'],
];
const updateOrders: EnumWords<UpdateOrder, UpdatePolicy['order']> = [
  [UpdateOrder.UNSPECIFIED, 'default'],
  [UpdateOrder.START_FIRST, 'start-first'],
  [UpdateOrder.STOP_FIRST, 'stop-first'],
];

const failureActions: EnumWords<ProtoFailureAction, UpdatePolicy['onFailure']> = [
  [ProtoFailureAction.ROLL_BACK, 'roll-back'],
  [ProtoFailureAction.PAUSE, 'pause'],
  [ProtoFailureAction.CONTINUE, 'continue'],
];

/** Arguments of a process. */
export function argumentsFromProto(
  values: readonly string[],
  field: string,
  into: FieldViolation[],
): readonly string[] {
  validateCount(values.length, { max: maxArguments, field }, into);
  for (const [index, value] of values.entries()) {
    const at = `${field}[${index}]`;
    validateText(value, { maxBytes: maxArgumentBytes, field: at, line: false }, into);
  }
  return [...values];
}

/** Variables that the user sets; the system's own are refused. */
export function environmentFromProto(
  environment: Readonly<Record<string, string>>,
  field: string,
  into: FieldViolation[],
): Readonly<Record<string, string>> {
  const isLine = (name: string) => name.startsWith('FAIRLEAD_PROXY_');
  for (const [name, value] of Object.entries(environment)) {
    const rule = templateRule(value);
    if (rule !== undefined) into.push({ field: `${field}[${quote(name)}]`, rule });
  }
  return mapFromProto(environment, { field, keyRule: variableRule, isLine }, into);
}

/** Engine labels that the user sets; the system's own are refused. */
export function labelsFromProto(
  labels: Readonly<Record<string, string>>,
  field: string,
  into: FieldViolation[],
): Readonly<Record<string, string>> {
  return mapFromProto(labels, { field, keyRule: labelRule, isLine: () => false }, into);
}

/** A label that services are asked for; without a value any will do. */
export interface LabelFilter {
  readonly key: string;
  readonly value: string | undefined;
}

/** Labels that services are asked for, `key` or `key=value`; keys that none can have are refused. */
export function labelFiltersFromProto(
  labels: readonly string[],
  field: string,
  into: FieldViolation[],
): readonly LabelFilter[] {
  validateCount(labels.length, { max: maxEntries, field }, into);
  return labels.map((label, index) => {
    const at = label.indexOf('=');
    const key = at === -1 ? label : label.slice(0, at);
    const rule = lengthRule(key) ?? labelRule(key);
    if (rule !== undefined) into.push({ field: `${field}[${index}]`, rule });
    return { key, value: at === -1 ? undefined : label.slice(at + 1) };
  });
}

interface MapRules {
  readonly field: string;
  /** What is wrong with a key; undefined if nothing is. */
  readonly keyRule: (key: string) => string | undefined;
  /** Whether the value of a key must fit on a line, because it becomes part of a file of lines. */
  readonly isLine: (key: string) => boolean;
}

function mapFromProto(
  map: Readonly<Record<string, string>>,
  { field, keyRule, isLine }: MapRules,
  into: FieldViolation[],
): Readonly<Record<string, string>> {
  const entries = Object.entries(map);
  validateCount(entries.length, { max: maxEntries, field }, into);
  for (const [key, value] of entries) {
    const at = `${field}[${quote(key)}]`;
    const rule = lengthRule(key) ?? keyRule(key);
    if (rule !== undefined) into.push({ field: at, rule });
    validateText(value, { maxBytes: maxValueBytes, field: at, line: isLine(key) }, into);
  }
  return Object.fromEntries(entries);
}

function lengthRule(key: string): string | undefined {
  if (Buffer.byteLength(key) <= maxKeyBytes) return undefined;
  return `must have a name of at most ${maxKeyBytes} bytes`;
}

/** JavaScript objects have a field of this name, so that it gets lost on the way through JSON. */
const lostKey = '__proto__';

function variableRule(name: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    return 'must have a name of letters, digits and "_" that does not begin with a digit';
  }
  if (name.startsWith('FAIRLEAD_') && !name.startsWith('FAIRLEAD_PROXY_')) {
    return "must not begin with FAIRLEAD_: these names are the system's, but for FAIRLEAD_PROXY_ settings";
  }
  return name === lostKey ? 'must have another name' : undefined;
}

function labelRule(key: string): string | undefined {
  if (key === '') return 'must have a name';
  if (key.startsWith('fairlead.')) {
    return "must not begin with fairlead.: these names are the system's";
  }
  if (/\p{Cc}|\p{Surrogate}/u.test(key)) return 'must have a name without control characters';
  return key === lostKey ? 'must have another name' : undefined;
}

/** Ports that the containers listen on. */
export function portsFromProto(
  ports: readonly ProtoPort[],
  { field, network }: { readonly field: string; readonly network: NetworkMode },
  into: FieldViolation[],
): readonly Port[] {
  validateCount(ports.length, { max: maxPorts, field }, into);
  const converted = ports.map((port, index) => portFromProto(port, `${field}[${index}]`, into));
  if (network === 'host') requireOwnPorts(converted, field, into);
  const keys = converted.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`);
  validateUnique(keys, { field, what: 'container port' }, into);
  const hostKeys = converted.map(({ hostPort, protocol }) =>
    hostPort === 0 ? undefined : `${hostPort}/${protocol}`,
  );
  validateUnique(hostKeys, { field, what: 'host port' }, into);
  return converted;
}

/** In the node's own network a container has the very ports that it listens on. */
function requireOwnPorts(ports: readonly Port[], field: string, into: FieldViolation[]): void {
  for (const [index, { containerPort, hostPort }] of ports.entries()) {
    if (hostPort === 0 || hostPort === containerPort) continue;
    into.push({
      field: `${field}[${index}].host_port`,
      rule: `must be 0 or the container port with the network HOST, and is ${hostPort}`,
    });
  }
}

function portFromProto(port: ProtoPort, field: string, into: FieldViolation[]): Port {
  const { containerPort, published, hostPort } = port;
  validateRange(containerPort, { min: 1, max: maxPort, field: `${field}.container_port` }, into);
  validateRange(hostPort, { min: 0, max: maxPort, field: `${field}.host_port` }, into);
  if (hostPort !== 0 && !published) {
    into.push({ field: `${field}.host_port`, rule: 'must only be set together with published' });
  }
  return { containerPort, protocol: wordOf(protocols, port.protocol), published, hostPort };
}

export function portToProto({ containerPort, protocol, published, hostPort }: Port): ProtoPort {
  return { containerPort, protocol: numberOf(protocols, protocol), published, hostPort };
}

/** Links, each with its alias. */
export function linksFromProto(
  links: readonly ProtoLink[],
  field: string,
  into: FieldViolation[],
): readonly Link[] {
  validateCount(links.length, { max: maxLinks, field }, into);
  const converted = links.map((link, index) => linkFromProto(link, `${field}[${index}]`, into));
  const aliases = converted.map(({ alias }) => alias);
  validateUnique(aliases, { field, what: 'alias' }, into);
  return converted;
}

/** One link; without an alias, the service's name is the alias. */
export function linkFromProto(
  link: ProtoLink | undefined,
  field: string,
  into: FieldViolation[],
): Link {
  if (link === undefined) {
    into.push({ field, rule: 'is required' });
    return { service: '', alias: '' };
  }
  validateName(link.service, `${field}.service`, into);
  if (link.alias !== '') validateName(link.alias, `${field}.alias`, into);
  return { service: link.service, alias: link.alias === '' ? link.service : link.alias };
}

/** How containers are replaced. */
export function updateFromProto(
  update: ProtoUpdatePolicy | undefined,
  field: string,
  into: FieldViolation[],
): UpdatePolicy {
  const { order = UpdateOrder.UNSPECIFIED, deadlineMs = 600_000, settleMs = 0 } = update ?? {};
  const { onFailure = ProtoFailureAction.UNSPECIFIED, revisionsKept = 10 } = update ?? {};
  const parallelism = amountFromProto(
    { count: update?.parallelism, percent: update?.parallelismPercent },
    { field: `${field}.parallelism`, min: 1, max: 100, byDefault: 1 },
    into,
  );
  validateRange(deadlineMs, { min: 1_000, max: 86_400_000, field: `${field}.deadline_ms` }, into);
  validateRange(settleMs, { min: 0, max: 3_600_000, field: `${field}.settle_ms` }, into);
  const failureBudget = amountFromProto(
    { count: update?.failureBudget, percent: update?.failureBudgetPercent },
    { field: `${field}.failure_budget`, min: 0, max: 1_000, byDefault: 0 },
    into,
  );
  validateRange(revisionsKept, { min: 1, max: 100, field: `${field}.revisions_kept` }, into);
  return {
    order: wordOf(updateOrders, order),
    parallelism,
    deadlineMs,
    settleMs,
    failureBudget,
    onFailure: wordOf(failureActions, onFailure),
    revisionsKept,
    ...canariesFromProto(update, field, into),
  };
}

function canariesFromProto(
  update: ProtoUpdatePolicy | undefined,
  field: string,
  into: FieldViolation[],
): Pick<UpdatePolicy, 'canary' | 'autoPromote'> {
  const { canary = 0, autoPromote = false } = update ?? {};
  validateRange(canary, { min: 0, max: 1_000, field: `${field}.canary` }, into);
  return { canary, autoPromote };
}

/** A number of containers or a share of them: one of two fields, the second of which ends with `_percent`. */
function amountFromProto(
  { count, percent }: { readonly count: number | undefined; readonly percent: number | undefined },
  rule: {
    readonly field: string;
    readonly min: number;
    readonly max: number;
    readonly byDefault: number;
  },
  into: FieldViolation[],
): Amount {
  const { field, min, max, byDefault } = rule;
  if (percent === undefined) {
    validateRange(count ?? byDefault, { min, max, field }, into);
    return count ?? byDefault;
  }
  validateRange(percent, { min, max: 100, field: `${field}_percent` }, into);
  if (count !== undefined) {
    into.push({ field: `${field}_percent`, rule: `must not be set together with ${field}` });
  }
  return `${percent}%`;
}

export function updateToProto(policy: UpdatePolicy): ProtoUpdatePolicy {
  const { order, parallelism, failureBudget, onFailure, ...rest } = policy;
  return {
    ...rest,
    order: numberOf(updateOrders, order),
    ...(typeof parallelism === 'number'
      ? { parallelism }
      : { parallelismPercent: Number.parseInt(parallelism, 10) }),
    ...(typeof failureBudget === 'number'
      ? { failureBudget }
      : { failureBudgetPercent: Number.parseInt(failureBudget, 10) }),
    onFailure: numberOf(failureActions, onFailure),
  };
}
