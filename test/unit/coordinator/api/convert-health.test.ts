import { expect, test } from 'vitest';
import { specFromProto } from '../../../../coordinator/api/convert-spec.ts';
import type { FieldViolation } from '../../../../shared/errors.ts';
import { RestartPolicy } from '../../../../shared/gen/fairlead/v1/service.ts';
import { aProtoSpec } from './specs.ts';

type Changes = NonNullable<Parameters<typeof aProtoSpec>[0]>;

function read(changes: Changes) {
  const into: FieldViolation[] = [];
  const ports = [{ containerPort: 80 }, { containerPort: 53, protocol: 20 as const }];
  const spec = specFromProto(aProtoSpec({ ports, ...changes }), 'spec', into);
  return { spec, wrong: into.map(({ field, rule }) => `${field} ${rule}`) };
}

const http = (value: object) => ({
  check: { $case: 'http' as const, value: { path: '/', ...value } },
});

test('fills in the defaults of liveness', () => {
  const { spec, wrong } = read({ liveness: http({}) });
  expect(wrong).toEqual([]);
  expect(spec.liveness).toEqual({
    check: {
      ...{ kind: 'http', path: '/', port: 0, method: 'GET', host: '' },
      ...{ headers: {}, statuses: [] },
    },
    ...{ intervalMs: 10_000, timeoutMs: 5_000, failureThreshold: 3, successThreshold: 1 },
    startPeriodMs: 60_000,
  });
});

test('takes every kind of check, of readiness and of liveness apart', () => {
  const { spec, wrong } = read({
    readiness: {
      check: { $case: 'grpc', value: { port: 80, service: 'web' } },
      successThreshold: 2,
    },
    liveness: { check: { $case: 'command', value: { command: ['true'] } }, startPeriodMs: 0 },
  });
  expect(wrong).toEqual([]);
  expect(spec.readiness).toMatchObject({ check: { kind: 'grpc', port: 80 }, successThreshold: 2 });
  expect(spec.liveness).toMatchObject({ check: { kind: 'command' }, startPeriodMs: 0 });
});

test.each<[string, Changes, string]>([
  ['liveness without a check', { liveness: {} }, 'spec.liveness needs a check'],
  [
    'a hasty check',
    { liveness: { ...http({}), intervalMs: 999 } },
    'spec.liveness.interval_ms must be a whole number from 1000',
  ],
  [
    'no passed check',
    { readiness: { successThreshold: 0 } },
    'spec.readiness.success_threshold must be a whole number from 1',
  ],
  [
    'a port that is not there',
    { readiness: { check: { $case: 'tcp', value: { port: 81 } } } },
    'spec.readiness.tcp.port must be the container port of a TCP port',
  ],
  [
    'a port of UDP',
    { liveness: { check: { $case: 'grpc', value: { port: 53, service: '' } } } },
    'spec.liveness.grpc.port must be the container port of a TCP port',
  ],
  [
    'no command',
    { liveness: { check: { $case: 'command', value: { command: [] } } } },
    'spec.liveness.command.command is required',
  ],
  [
    'a method',
    { liveness: http({ method: 'get' }) },
    'spec.liveness.http.method must be one of GET',
  ],
  ['a host', { readiness: http({ host: 'a b' }) }, 'spec.readiness.http.host must be a host name'],
  [
    'a header of its own',
    { readiness: http({ headers: { Host: 'a' } }) },
    'spec.readiness.http.headers["Host"] must not be set',
  ],
  [
    'a header of two lines',
    { readiness: http({ headers: { a: 'b\r\nc: d' } }) },
    'spec.readiness.http.headers["a"] must have at most 1024 printable ASCII characters',
  ],
  [
    'a status',
    { readiness: http({ statuses: [200, 99] }) },
    'spec.readiness.http.statuses[1] must be a whole number from 100 to 599, and is 99',
  ],
  [
    'a limit of restarts with another policy',
    { restart: RestartPolicy.ALWAYS, restartLimit: 3 },
    'spec.restart_limit must only be set with the restart policy ON_FAILURE',
  ],
])('refuses %s', (_, changes, rule) => {
  expect(read(changes).wrong).toEqual([expect.stringContaining(rule)]);
});

test('takes a limit of restarts with on-failure', () => {
  const { spec, wrong } = read({ restart: RestartPolicy.ON_FAILURE, restartLimit: 3 });
  expect(wrong).toEqual([]);
  expect(spec.restartLimit).toBe(3);
});
