import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import * as z from 'zod/mini';
import en from 'zod/v4/locales/en.js';
import { readConfig } from '../../shared/config.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import type { FlagNames } from '../../shared/daemon.ts';

/** Flags of the proxy agent; each is also the variable `FAIRLEAD_…` of the same name. */
export const proxyAgentFlags = {
  coordinator: 'one',
  token: 'one',
  tokenFile: 'one',
  service: 'one',
  proxyId: 'one',
  name: 'one',
  stateDir: 'one',
  haproxy: 'one',
  maxConnections: 'one',
  statsPort: 'one',
  statsAuth: 'one',
  metricsPort: 'one',
  metricsAddress: 'one',
  accessLog: 'one',
  onStop: 'one',
  stopGraceMs: 'one',
  logLevel: 'one',
} as const satisfies FlagNames;

/** Settings that the environment of a load balancer service may hold, as `FAIRLEAD_PROXY_…`. */
const serviceSettings = [
  'MAX_CONNECTIONS',
  'STATS_PORT',
  'STATS_AUTH',
  'METRICS_PORT',
  'METRICS_ADDRESS',
  'ACCESS_LOG',
  'ON_STOP',
  'STOP_GRACE_MS',
  'LOG_LEVEL',
];

// The small build of zod: the whole one costs an idle agent 11 MB.
z.config(en());

const wholeNumber = (min: number, max: number) =>
  z.coerce
    .number({ error: 'must be a whole number' })
    .check(
      z.refine(Number.isInteger, 'must be a whole number'),
      z.gte(min, `must be at least ${min}`),
      z.lte(max, `must be at most ${max}`),
    );

const required = (what: string) => z.string({ error: `is required: ${what}` });

const schema = z.object({
  coordinator: required('HOST:PORT of the coordinator').check(
    z.regex(/^([^\s:/]+|\[[0-9a-fA-F:.]+\]):\d{1,5}$/, 'must be HOST:PORT'),
  ),
  token: required('a token of the role proxy, here or in the file that --token-file names'),
  service: required('name or id of the load balancer service whose links to serve'),
  proxyId: z.optional(
    z
      .string()
      .check(z.regex(/^[A-Za-z0-9_.-]{1,128}$/, 'must have only letters, digits and _ . -')),
  ),
  name: z._default(z.string(), hostname()),
  stateDir: z._default(z.string(), '/var/lib/fairlead/proxy'),
  haproxy: z._default(z.string(), 'haproxy'),
  maxConnections: z._default(wholeNumber(1, 1_000_000), 4_096),
  statsPort: z.optional(wholeNumber(0, 65_535)),
  statsAuth: z.optional(
    z
      .string()
      .check(
        z.regex(/^[^\s:']+:[^\s']+$/, "must be USER:PASSWORD, without spaces and '"),
        z.refine(isSecret, 'must have a password that is not its user'),
      ),
  ),
  metricsPort: z._default(wholeNumber(0, 65_535), 0),
  metricsAddress: z._default(
    z.string().check(z.refine((text) => isIP(text) !== 0, 'must be an IP address')),
    '127.0.0.1',
  ),
  accessLog: z._default(z.enum(['on', 'off'], { error: 'must be on or off' }), 'off'),
  onStop: z._default(z.enum(['keep', 'stop'], { error: 'must be keep or stop' }), 'keep'),
  stopGraceMs: z._default(wholeNumber(0, 3_600_000), 9_000),
  logLevel: z._default(z.enum(['debug', 'info', 'warn', 'error', 'silent']), 'info'),
});

export interface ProxyAgentConfig {
  /** `HOST:PORT`. */
  readonly coordinator: string;
  /** Bearer token. */
  readonly token: string;
  /** Name or id of the load balancer service. */
  readonly service: string;
  /** Undefined: made up once and kept in the state directory. */
  readonly proxyId: string | undefined;
  readonly name: string;
  readonly stateDir: string;
  /** Name or path of HAProxy's program. */
  readonly haproxy: string;
  readonly maxConnections: number;
  /** Port of HAProxy's statistics page; 0: none, as without a password. */
  readonly statsPort: number;
  /** `USER:PASSWORD` of the page; there is no password that everybody knows, and no page without one. */
  readonly statsAuth: string | undefined;
  /** Port at which HAProxy gives its metrics to Prometheus; 0: none. */
  readonly metricsPort: number;
  /** Whoever reaches this address may read them. */
  readonly metricsAddress: string;
  /** Whether HAProxy writes a line of JSON for every request, to the agent's standard output. */
  readonly accessLog: boolean;
  /** `keep`: HAProxy serves on while no agent runs, and the next one takes it over. */
  readonly onStop: 'keep' | 'stop';
  /** For `stop`: how long requests in flight may take to finish. */
  readonly stopGraceMs: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/**
 * Reads the configuration; throws one error that lists all mistakes.
 *
 * What every container is told of itself (`FAIRLEAD_ADDRESS`, `_AUTH`, `_SERVICE_ID`, `_CONTAINER_ID`, …)
 * is enough to run in the container of a load balancer service.
 */
export function readProxyAgentConfig(
  flags: Readonly<Record<string, unknown>>,
  env: NodeJS.ProcessEnv,
): ProxyAgentConfig {
  const { proxyId, statsAuth, statsPort, accessLog, ...values } = readConfig(schema, {
    flags: { ...flags, token: flags['token'] ?? tokenIn(flags['tokenFile']) },
    env: withDefaults(env),
  });
  if (statsAuth === undefined && (statsPort ?? 0) !== 0) {
    throw new DomainError('invalid', 'the statistics page needs --stats-auth USER:PASSWORD', {
      reason: 'CONFIGURATION_INVALID',
    });
  }
  const page = { statsAuth, statsPort: statsAuth === undefined ? 0 : (statsPort ?? 1_936) };
  return { ...values, ...page, proxyId, accessLog: accessLog === 'on' };
}

/** `stats:stats` was the password of many. */
function isSecret(auth: string): boolean {
  const [user, ...password] = auth.split(':');
  return user !== password.join(':');
}

function withDefaults(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const result: NodeJS.ProcessEnv = { ...env };
  const fallBack = (name: string, ...values: (string | undefined)[]) => {
    if (isEmpty(result[`FAIRLEAD_${name}`]) && result[`FAIRLEAD_${name}_FILE`] === undefined) {
      result[`FAIRLEAD_${name}`] = values.find((value) => !isEmpty(value));
    }
  };
  for (const name of serviceSettings) {
    const value = env[`FAIRLEAD_PROXY_${name}`];
    if (!isEmpty(value)) result[`FAIRLEAD_${name}`] = value;
  }
  fallBack('COORDINATOR', env['FAIRLEAD_ADDRESS']);
  fallBack('TOKEN', bearerIn(env['FAIRLEAD_AUTH']));
  fallBack('SERVICE', env['FAIRLEAD_SERVICE_ID'], env['FAIRLEAD_SERVICE_HOSTNAME']);
  fallBack('PROXY_ID', env['FAIRLEAD_CONTAINER_ID']);
  fallBack('NAME', env['FAIRLEAD_CONTAINER_HOSTNAME']);
  return result;
}

function isEmpty(value: string | undefined): boolean {
  return value === undefined || value === '';
}

/** `FAIRLEAD_AUTH` is the whole value of an Authorization header. */
function bearerIn(header: string | undefined): string | undefined {
  return /^Bearer +(\S+)$/i.exec(header?.trim() ?? '')?.[1];
}

function tokenIn(file: unknown): string | undefined {
  if (typeof file !== 'string' || file === '') return undefined;
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new DomainError('invalid', `the token file cannot be read: ${messageOf(error)}`, {
      reason: 'CONFIGURATION_INVALID',
      cause: error,
    });
  }
}
