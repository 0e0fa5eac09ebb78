import {
  GrpcCheck,
  HttpCheck,
  type Liveness as ProtoLiveness,
  type Readiness as ProtoReadiness,
} from '../../shared/gen/fairlead/v1/service.ts';
import type { HealthCheck, Liveness, Readiness } from '../../shared/health-check.ts';

const readinessTimes = {
  ...{ intervalMs: 1_000, timeoutMs: 2_000, failureThreshold: 3 },
  ...{ successThreshold: 1, startPeriodMs: 0 },
};
const livenessTimes = {
  ...{ intervalMs: 10_000, timeoutMs: 5_000, failureThreshold: 3 },
  ...{ successThreshold: 1, startPeriodMs: 60_000 },
};

/** The coordinator fills in all defaults; these are the protocol's, for what is left out all the same. */
export function readinessOf(proto: ProtoReadiness | undefined): Readiness {
  const check = proto?.check;
  return {
    check: check?.$case === 'none' ? { kind: 'none' } : checkOf(check),
    ...timesOf(proto ?? {}, readinessTimes),
  };
}

/** When a container is restarted; undefined: never. */
export function livenessOf(proto: ProtoLiveness | undefined): Liveness | undefined {
  // A check that this agent does not know cannot be made: better none than another.
  if (proto?.check === undefined) return undefined;
  return { check: checkOf(proto.check), ...timesOf(proto, livenessTimes) };
}

type Times = Omit<Liveness, 'check'>;

function timesOf(proto: { [Name in keyof Times]?: number | undefined }, defaults: Times): Times {
  return {
    intervalMs: proto.intervalMs ?? defaults.intervalMs,
    timeoutMs: proto.timeoutMs ?? defaults.timeoutMs,
    failureThreshold: proto.failureThreshold ?? defaults.failureThreshold,
    successThreshold: proto.successThreshold ?? defaults.successThreshold,
    startPeriodMs: proto.startPeriodMs ?? defaults.startPeriodMs,
  };
}

function checkOf(
  check: ProtoLiveness['check'] | Exclude<ProtoReadiness['check'], { $case: 'none' }>,
): HealthCheck {
  switch (check?.$case) {
    case 'http':
      return { kind: 'http', ...HttpCheck.create(check.value) };
    case 'command':
      return { kind: 'command', command: check.value.command };
    case 'grpc':
      return { kind: 'grpc', ...GrpcCheck.create(check.value) };
    case 'tcp':
      return { kind: 'tcp', port: check.value.port };
    case undefined:
      return { kind: 'tcp', port: 0 };
  }
}
