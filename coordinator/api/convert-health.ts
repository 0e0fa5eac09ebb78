import type { FieldViolation } from '../../shared/errors.ts';
import type {
  HttpCheck as ProtoHttp,
  Liveness as ProtoLiveness,
  Readiness as ProtoReadiness,
} from '../../shared/gen/fairlead/v1/service.ts';
import type { HealthCheck, HttpCheck, Liveness, Readiness } from '../../shared/health-check.ts';
import type { Port } from '../model.ts';
import { quote, validateCount, validateRange, validateText, validateUnique } from './validate.ts';

const maxPathLength = 1024;
const maxHeaders = 20;
const maxHeaderBytes = 1024;
const maxStatuses = 50;
const maxWords = 100;
const maxWordBytes = 32 * 1024;
const maxWaitMs = 3_600_000;
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'OPTIONS'];
const ownHeaders = ['host', 'connection', 'content-length', 'transfer-encoding'];

/** Where a check stands in a spec, and the ports that it may ask. */
interface Place {
  readonly field: string;
  readonly ports: readonly Port[];
}

/** When a container may take traffic; `ports` are those of the spec, which a check may name. */
export function readinessFromProto(
  readiness: ProtoReadiness | undefined,
  place: Place,
  into: FieldViolation[],
): Readiness {
  const { field } = place;
  const { check, intervalMs = 5_000, timeoutMs = 2_000, failureThreshold = 3 } = readiness ?? {};
  const { successThreshold = 1, startPeriodMs = 0 } = readiness ?? {};
  validateRange(intervalMs, { min: 100, max: 600_000, field: `${field}.interval_ms` }, into);
  const times = { intervalMs, timeoutMs, failureThreshold, successThreshold, startPeriodMs };
  validateTimes(times, field, into);
  const converted = check?.$case === 'none' ? none : checkFromProto(check, place, into);
  return { check: converted ?? { kind: 'tcp', port: 0 }, ...times };
}

const none = { kind: 'none' } as const;

/** When a container is restarted; null: never. */
export function livenessFromProto(
  liveness: ProtoLiveness | undefined,
  place: Place,
  into: FieldViolation[],
): Liveness | null {
  if (liveness === undefined) return null;
  const { field } = place;
  const { check, intervalMs = 10_000, timeoutMs = 5_000, failureThreshold = 3 } = liveness;
  const { successThreshold = 1, startPeriodMs = 60_000 } = liveness;
  validateRange(intervalMs, { min: 1_000, max: 600_000, field: `${field}.interval_ms` }, into);
  const times = { intervalMs, timeoutMs, failureThreshold, successThreshold, startPeriodMs };
  validateTimes(times, field, into);
  const converted = checkFromProto(check, place, into);
  if (converted === undefined) into.push({ field, rule: 'needs a check' });
  return { check: converted ?? { kind: 'tcp', port: 0 }, ...times };
}

function validateTimes(
  times: Omit<Liveness, 'check' | 'intervalMs'>,
  field: string,
  into: FieldViolation[],
): void {
  const { timeoutMs, failureThreshold, successThreshold, startPeriodMs } = times;
  validateRange(timeoutMs, { min: 50, max: 60_000, field: `${field}.timeout_ms` }, into);
  validateRange(failureThreshold, { min: 1, max: 100, field: `${field}.failure_threshold` }, into);
  validateRange(successThreshold, { min: 1, max: 100, field: `${field}.success_threshold` }, into);
  validateRange(startPeriodMs, { min: 0, max: maxWaitMs, field: `${field}.start_period_ms` }, into);
}

function checkFromProto(
  check: ProtoLiveness['check'] | Exclude<ProtoReadiness['check'], { $case: 'none' }>,
  { field, ports }: Place,
  into: FieldViolation[],
): HealthCheck | undefined {
  switch (check?.$case) {
    case undefined:
      return undefined;
    case 'tcp': {
      const { port } = check.value;
      if (port !== 0) validatePort(port, { field: `${field}.tcp.port`, ports }, into);
      return { kind: 'tcp', port };
    }
    case 'http':
      return httpFromProto(check.value, { field: `${field}.http`, ports }, into);
    case 'command':
      validateCommand(check.value.command, `${field}.command.command`, into);
      return { kind: 'command', command: [...check.value.command] };
    case 'grpc': {
      const { port, service } = check.value;
      validatePort(port, { field: `${field}.grpc.port`, ports }, into);
      const text = { maxBytes: 255, field: `${field}.grpc.service`, line: true };
      validateText(service, text, into);
      return { kind: 'grpc', port, service };
    }
  }
}

function httpFromProto(
  http: ProtoHttp,
  { field, ports }: Place,
  into: FieldViolation[],
): HttpCheck {
  const { path, port, method, host, headers, statuses } = http;
  const wrong = pathRule(path);
  if (wrong !== undefined) into.push({ field: `${field}.path`, rule: wrong });
  validatePort(port, { field: `${field}.port`, ports }, into);
  if (method !== '' && !methods.includes(method)) {
    const rule = `must be one of ${methods.join(', ')}, and is ${quote(method)}`;
    into.push({ field: `${field}.method`, rule });
  }
  if (host !== '' && !/^[A-Za-z0-9._:[\]-]{1,255}$/.test(host)) {
    const rule = `must be a host name with or without a port, and is ${quote(host)}`;
    into.push({ field: `${field}.host`, rule });
  }
  validateHeaders(headers, `${field}.headers`, into);
  validateCount(statuses.length, { max: maxStatuses, field: `${field}.statuses` }, into);
  for (const [index, status] of statuses.entries()) {
    validateRange(status, { min: 100, max: 599, field: `${field}.statuses[${index}]` }, into);
  }
  const texts = statuses.map(String);
  validateUnique(texts, { field: `${field}.statuses`, what: 'status' }, into);
  const kept = { path, port, method: method === '' ? 'GET' : method, host };
  return { kind: 'http', ...kept, headers: { ...headers }, statuses: [...statuses] };
}

function validateHeaders(
  headers: Readonly<Record<string, string>>,
  field: string,
  into: FieldViolation[],
): void {
  const entries = Object.entries(headers);
  validateCount(entries.length, { max: maxHeaders, field }, into);
  for (const [name, value] of entries) {
    const at = `${field}[${quote(name)}]`;
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(name) || name === '__proto__') {
      into.push({ field: at, rule: 'must have the name of a header' });
    } else if (ownHeaders.includes(name.toLowerCase())) {
      into.push({ field: at, rule: 'must not be set: it follows from the rest' });
    }
    if (value.length > maxHeaderBytes || !/^[\t -~]*$/.test(value)) {
      const rule = `must have at most ${maxHeaderBytes} printable ASCII characters`;
      into.push({ field: at, rule });
    }
  }
}

function validateCommand(command: readonly string[], field: string, into: FieldViolation[]): void {
  if (command.length === 0) into.push({ field, rule: 'is required' });
  validateCount(command.length, { max: maxWords, field }, into);
  for (const [index, word] of command.entries()) {
    const at = `${field}[${index}]`;
    validateText(word, { maxBytes: maxWordBytes, field: at, line: false }, into);
  }
}

/** 0 is the first TCP port, if there is one. */
function validatePort(port: number, { field, ports }: Place, into: FieldViolation[]): void {
  const tcpPorts = ports.filter(({ protocol }) => protocol === 'tcp');
  if (port === 0 && tcpPorts.length === 0) {
    into.push({ field, rule: 'needs a TCP port in spec.ports' });
  } else if (port !== 0 && !tcpPorts.some(({ containerPort }) => containerPort === port)) {
    into.push({
      field,
      rule: `must be the container port of a TCP port in spec.ports, or 0 for the first, and is ${port}`,
    });
  }
}

function pathRule(path: string): string | undefined {
  if (path === '') return 'is required';
  if (path.length > maxPathLength) return `must have at most ${maxPathLength} characters`;
  if (/^\/[!"$-~]*$/.test(path)) return undefined;
  return `must begin with "/" and have no space, no "#" and only ASCII characters, and is ${quote(path)}`;
}

export function readinessToProto({ check, ...times }: Readiness): ProtoReadiness {
  const converted =
    check.kind === 'none' ? { $case: 'none' as const, value: {} } : checkToProto(check);
  return { check: converted, ...times };
}

export function livenessToProto(liveness: Liveness | null): ProtoLiveness | undefined {
  if (liveness === null) return undefined;
  const { check, ...times } = liveness;
  return { check: checkToProto(check), ...times };
}

function checkToProto(check: HealthCheck): NonNullable<ProtoLiveness['check']> {
  switch (check.kind) {
    case 'tcp':
      return { $case: 'tcp', value: { port: check.port } };
    case 'http': {
      const { path, port, method, host, headers, statuses } = check;
      const kept = { path, port, method, host };
      return {
        $case: 'http',
        value: { ...kept, headers: { ...headers }, statuses: [...statuses] },
      };
    }
    case 'command':
      return { $case: 'command', value: { command: [...check.command] } };
    case 'grpc':
      return { $case: 'grpc', value: { port: check.port, service: check.service } };
  }
}
