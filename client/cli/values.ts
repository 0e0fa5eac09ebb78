import { InvalidArgumentError } from 'commander';
import type { Link, Liveness, PortSpec, Readiness } from '../../shared/gen/fairlead/v1/service.ts';

// Readers of flag values. What is wrong is said in words that show a right one; ranges are the
// coordinator's to check, so that there is one place for each rule.

const unitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

// The values that ts-proto generates for these enums; the generated code itself is not loaded for help.
const tcp = 10;
const udp = 20;

/** `500ms`, `30s`, `5m`, `1h`, `2d` or `0`, in milliseconds. */
export function readDuration(text: string): number {
  const match = /^(?<count>\d+(?:\.\d+)?)(?<unit>ms|s|m|h|d)$/.exec(text);
  const unitMs = unitsMs[match?.groups?.['unit'] ?? ''];
  if (text === '0') return 0;
  if (unitMs === undefined) {
    throw new InvalidArgumentError('A duration is a number with a unit, such as 500ms, 30s or 5m.');
  }
  return Math.round(Number(match?.groups?.['count']) * unitMs);
}

/** A time: `2026-11-22T14:20:00Z`, a date, or how long ago: `10m`. */
export function readTime(text: string, nowMs: number): Date {
  if (/^\d+(?:\.\d+)?(?:ms|s|m|h|d)$/.test(text)) return new Date(nowMs - readDuration(text));
  const time = new Date(text);
  if (/^\d{4}-/.test(text) && !Number.isNaN(time.getTime())) return time;
  throw new InvalidArgumentError(
    'It must be a time, such as 2026-11-22T14:20:00Z, or how long ago, such as 10m.',
  );
}

/** A whole number from 0. */
export function readCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) {
    throw new InvalidArgumentError('It must be a whole number from 0.');
  }
  return Number(text);
}

/** A number of containers, or a share of those wanted. */
export type Amount = { readonly count: number } | { readonly percent: number };

/** A whole number, or one with a percent sign. */
export function readAmount(text: string): Amount {
  const digits = /^(\d+)%$/.exec(text)?.[1];
  return digits === undefined ? { count: readCount(text) } : { percent: Number(digits) };
}

/** `80`, `8080:80`, `5000:53/udp`: a port of the container, and the port of the node if it is fixed. */
export function readPublish(text: string): PortSpec {
  const match = /^(?:(?<host>\d+):)?(?<container>[^:]+)$/.exec(text);
  if (match?.groups === undefined) {
    throw new InvalidArgumentError(
      'A published port is CONTAINER or NODE:CONTAINER, such as 80, 8080:80 or 5000:53/udp.',
    );
  }
  const { host = '0', container = '' } = match.groups;
  return {
    ...readExpose(container),
    published: true,
    hostPort: host === '0' ? 0 : readPort(host),
  };
}

/** `80` or `53/udp`: a port of the container that proxies and peers reach. */
export function readExpose(text: string): PortSpec {
  const match = /^(?<port>\d+)(?:\/(?<protocol>tcp|udp))?$/.exec(text);
  if (match?.groups === undefined) {
    throw new InvalidArgumentError(
      'A port is a number with or without /tcp or /udp, such as 80 or 53/udp.',
    );
  }
  const { port = '', protocol } = match.groups;
  return {
    containerPort: readPort(port),
    protocol: protocol === 'udp' ? udp : tcp,
    published: false,
    hostPort: 0,
  };
}

function readPort(text: string): number {
  const port = Number(text);
  if (port < 1 || port > 65_535)
    throw new InvalidArgumentError('A port is a number from 1 to 65535.');
  return port;
}

/** `web` or `web:alias`. */
export function readLink(text: string): Link {
  const [service = '', alias = '', ...rest] = text.split(':');
  if (service === '' || rest.length > 0) {
    throw new InvalidArgumentError('A link is SERVICE or SERVICE:ALIAS.');
  }
  return { service, alias };
}

/** `KEY=VALUE`; a label may be `KEY` alone. */
export function readLabel(text: string): readonly [string, string] {
  const [key, value] = splitAssignment(text);
  if (key === '') throw new InvalidArgumentError('A label is KEY=VALUE.');
  return [key, value ?? ''];
}

/** `KEY=VALUE`, or `KEY` for the value that it has here. */
export function readVariable(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
): readonly [string, string] {
  const [key, value = environment[key]] = splitAssignment(text);
  if (key === '') throw new InvalidArgumentError('A variable is KEY=VALUE.');
  if (value === undefined) {
    throw new InvalidArgumentError(`${key} is not set here; give it a value: ${key}=VALUE.`);
  }
  return [key, value];
}

/** The variables of a file of lines `KEY=VALUE`; blank lines and lines that start with # are left out. */
export function readVariables(
  content: string,
  environment: Readonly<Record<string, string | undefined>>,
): (readonly [string, string])[] {
  return content
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => readVariable(line, environment));
}

function splitAssignment(text: string): readonly [string, string?] {
  return splitAt(text, '=');
}

function splitAt(text: string, separator: string): readonly [string, string?] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** `tcp`, `none`, `http:/path`, `grpc` or `cmd:COMMAND`, the first and the third and fourth with a port. */
export function readReadiness(text: string): NonNullable<Readiness['check']> {
  const check = text === 'none' ? { $case: 'none' as const, value: {} } : readCheck(text);
  if (check === undefined) {
    throw new InvalidArgumentError(
      'A readiness check is tcp, none, http:PATH[:PORT], grpc[:PORT] or cmd:COMMAND, such as http:/healthz or http:/healthz:8080.',
    );
  }
  return check;
}

type Check = NonNullable<Liveness['check']>;

/** What follows the kind of a check, read; undefined if it is not right. */
const checks: ReadonlyMap<string, (rest: string) => Check | undefined> = new Map([
  ['tcp', (rest: string) => ifPort(rest, (port) => ({ $case: 'tcp', value: { port } }))],
  [
    'grpc',
    (rest: string) => ifPort(rest, (port) => ({ $case: 'grpc', value: { port, service: '' } })),
  ],
  ['cmd', readCommandCheck],
  ['http', readHttpCheck],
]);

/** The same but `none`; undefined if it is no check. */
export function readCheck(text: string): Check | undefined {
  const [kind, rest = ''] = splitAt(text, ':');
  return checks.get(kind)?.(rest);
}

function ifPort(rest: string, check: (port: number) => Check): Check | undefined {
  return /^\d*$/.test(rest) ? check(portOr0(rest)) : undefined;
}

function readCommandCheck(rest: string): Check | undefined {
  if (rest === '') return undefined;
  return { $case: 'command', value: { command: ['/bin/sh', '-c', rest] } };
}

function readHttpCheck(rest: string): Check | undefined {
  const match = /^(?<path>\/(?!\/).*?)(?::(?<port>\d+))?$/.exec(rest);
  if (match?.groups === undefined) return undefined;
  const { path = '', port = '' } = match.groups;
  const details = { method: '', host: '', headers: {}, statuses: [] };
  return { $case: 'http', value: { path, port: portOr0(port), ...details } };
}

function portOr0(text: string): number {
  return text === '' ? 0 : readPort(text);
}

/** For options that may be given more than once: each value is read and added to a list. */
export function collect<T>(
  read: (text: string) => T,
): (text: string, before?: readonly T[]) => T[] {
  return (text, before = []) => [...before, read(text)];
}

/** As `collect`, for words that may also be given in one, with commas between them. */
export function collectWords(text: string, before: readonly string[] = []): string[] {
  return [...before, ...text.split(',').filter((word) => word !== '')];
}

/** `no`, `always`, `on-failure`, or `on-failure:3` for three restarts at most. */
export function readRestart(text: string): { policy: string; limit: number } {
  const match = /^(?:(?<policy>no|always|on-failure)|on-failure:(?<limit>\d{1,9}))$/.exec(text);
  if (match?.groups === undefined) {
    throw new InvalidArgumentError('It is no, on-failure, on-failure:N or always.');
  }
  const { policy = 'on-failure', limit = '0' } = match.groups;
  return { policy, limit: Number(limit) };
}
