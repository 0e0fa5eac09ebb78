import { fileURLToPath } from 'node:url';
import * as z from 'zod/mini';
import en from 'zod/v4/locales/en.js';
import { readConfig, type ConfigSources } from '../shared/config.ts';
import { DomainError } from '../shared/errors.ts';
import type { LogLevel } from '../shared/logger.ts';
import { defaultStateDirectory } from './state-directory.ts';

z.config(en());

const maxCertificateLifeSeconds = 365 * 86_400;

const hostPort = z
  .pipe(
    z.string().check(z.regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be HOST:PORT')),
    z.transform((value) => {
      const split = value.lastIndexOf(':');
      const host = value.slice(0, split).replace(/^\[(.*)\]$/, '$1');
      return { host, port: Number(value.slice(split + 1)) };
    }),
  )
  .check(z.refine(({ port }) => port <= 65_535, 'must have a port of at most 65535'));

/** A whole number of seconds. */
function seconds({ min, max, preset }: { min: number; max: number; preset: number }) {
  return z._default(
    z.coerce
      .number({ error: 'must be a number of seconds' })
      .check(
        z.refine(Number.isInteger, 'must be a whole number'),
        z.gte(min, `must be at least ${min}`),
        z.lte(max, `must be at most ${max}`),
      ),
    preset,
  );
}

const schema = z.object({
  stateDir: z._default(z.string(), defaultStateDirectory),
  listen: z.prefault(hostPort, '127.0.0.1:7600'),
  httpListen: z.prefault(hostPort, '127.0.0.1:7601'),
  advertise: z.optional(hostPort),
  advertiseHttp: z.optional(
    z
      .string()
      .check(z.regex(/^https:\/\/[^/\s]+$/, 'must be a URL with no path: https://HOST:PORT')),
  ),
  zone: z._default(
    z.string().check(z.regex(/^[a-z0-9-]+(\.[a-z0-9-]+)*$/, 'must be a DNS name in lower case')),
    'fairlead.internal',
  ),
  dnsListen: z.optional(hostPort),
  dnsTtlSeconds: seconds({ min: 1, max: 3_600, preset: 5 }),
  nodeGraceSeconds: seconds({ min: 5, max: 86_400, preset: 8 }),
  certificateLifeSeconds: seconds({ min: 4, max: maxCertificateLifeSeconds, preset: 2_592_000 }),
  certificatesFolder: z.optional(z.string()),
  packagesDir: z.optional(z.string()),
  logLevel: z._default(z.enum(['debug', 'info', 'warn', 'error', 'silent']), 'info'),
});

/** Beside the built coordinator. */
const builtPackages = fileURLToPath(new URL('../packages', import.meta.url));

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
  /** DNS zone in the FQDN variables of containers, and that `dns` answers for. */
  readonly zone: string;
  /** Where DNS is answered, over UDP and TCP; undefined: nowhere. */
  readonly dns: { readonly listen: HostPort; readonly ttlSeconds: number } | undefined;
  /** After so long without a word a node is down, and its containers are replaced elsewhere. */
  readonly nodeGraceMs: number;
  /** How long certificates of agents and its own are valid; they are renewed at half of it. */
  readonly certificateLifeMs: number;
  /** Whose certificates load balancers show; followed. Undefined: none. */
  readonly certificatesFolder: string | undefined;
  /** What `npm run package` made, to be served to hosts. */
  readonly packages: {
    readonly directory: string;
    /** It was named, so it must be there. */
    readonly required: boolean;
  };
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
  const { stateDir, listen, httpListen, advertiseHttp, zone, packagesDir, logLevel } = values;
  const { certificatesFolder } = values;
  return {
    stateDir,
    listen,
    httpListen,
    advertise: values.advertise ?? listen,
    advertiseHttp,
    zone,
    dns: values.dnsListen && { listen: values.dnsListen, ttlSeconds: values.dnsTtlSeconds },
    nodeGraceMs: values.nodeGraceSeconds * 1_000,
    certificateLifeMs: values.certificateLifeSeconds * 1_000,
    certificatesFolder,
    packages: {
      directory: packagesDir ?? builtPackages,
      required: packagesDir !== undefined,
    },
    logLevel,
  };
}
