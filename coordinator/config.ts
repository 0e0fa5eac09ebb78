import { z } from 'zod';
import { readConfig, type ConfigSources } from '../shared/config.ts';
import { DomainError } from '../shared/errors.ts';
import type { LogLevel } from '../shared/logger.ts';

const hostPort = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be HOST:PORT')
  .transform((value) => {
    const split = value.lastIndexOf(':');
    const host = value.slice(0, split).replace(/^\[(.*)\]$/, '$1');
    return { host, port: Number(value.slice(split + 1)) };
  })
  .refine(({ port }) => port <= 65_535, 'must have a port of at most 65535');

const schema = z.object({
  stateDir: z.string().default('/var/lib/fairlead/coordinator'),
  listen: hostPort.prefault('127.0.0.1:7600'),
  httpListen: hostPort.prefault('127.0.0.1:7601'),
  advertise: hostPort.optional(),
  advertiseHttp: z
    .string()
    .regex(/^https?:\/\/[^/\s]+$/, 'must be a URL with no path: http://HOST:PORT')
    .optional(),
  zone: z
    .string()
    .regex(/^[a-z0-9-]+(\.[a-z0-9-]+)*$/, 'must be a DNS name in lower case')
    .default('fairlead.internal'),
  nodeGraceSeconds: z.coerce
    .number('must be a number of seconds')
    .int()
    .min(5, 'must be at least 5')
    .max(86_400, 'must be at most 86400')
    .default(60),
  logLevel: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

function isAnyAddress(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface CoordinatorConfig {
  /** Holds the database and the keys; made with mode 0700. */
  readonly stateDir: string;
  /** Where gRPC is served. Loopback unless told otherwise: agents on other hosts need more. */
  readonly listen: HostPort;
  /** Where the same API is served as JSON over HTTP/1.1. */
  readonly httpListen: HostPort;
  /** What containers and agents dial; by default where it listens. Port 0 stands for the bound one. */
  readonly advertise: HostPort;
  /** Base URL that containers are told; by default where HTTP listens. */
  readonly advertiseHttp: string | undefined;
  /** DNS zone in the FQDN variables of containers. */
  readonly zone: string;
  /** How long an unreachable node keeps its place in the backend lists. */
  readonly nodeGraceMs: number;
  readonly logLevel: LogLevel;
}

/** Reads flags and FAIRLEAD_ variables; throws one error that lists all mistakes. */
export function readCoordinatorConfig(sources: ConfigSources): CoordinatorConfig {
  const values = readConfig(schema, sources);
  if (values.advertise === undefined && isAnyAddress(values.listen.host)) {
    const rule = `is required with --listen ${values.listen.host}: containers and agents cannot dial that`;
    throw new DomainError('invalid', `the configuration is wrong:\n  --advertise: ${rule}`, {
      reason: 'CONFIGURATION_INVALID',
      violations: [{ field: '--advertise', rule }],
    });
  }
  const { stateDir, listen, httpListen, advertiseHttp, zone, logLevel } = values;
  return {
    stateDir,
    listen,
    httpListen,
    advertise: values.advertise ?? listen,
    advertiseHttp,
    zone,
    nodeGraceMs: values.nodeGraceSeconds * 1_000,
    logLevel,
  };
}
