import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { isIP } from 'node:net';
import * as z from 'zod/mini';
import en from 'zod/v4/locales/en.js';
import { readConfig } from '../../shared/config.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import { maxNameLength, maxTagLength, namePattern, tagPattern } from '../../shared/ids.ts';
import type { FlagNames } from '../../shared/daemon.ts';

/** Flags of the node agent; each is also the variable `FAIRLEAD_…` of the same name. */
export const nodeAgentFlags = {
  coordinator: 'one',
  token: 'one',
  tokenFile: 'one',
  name: 'one',
  tag: 'many',
  stateDir: 'one',
  upgradeDir: 'one',
  upgradeSettleSeconds: 'one',
  dockerSocket: 'one',
  containerdSocket: 'one',
  advertiseAddress: 'one',
  publicAddress: 'one',
  publishAddress: 'one',
  logLevel: 'one',
} as const satisfies FlagNames;

// The small build of zod: the whole one costs an idle agent 11 MB.
z.config(en());

const address = z.string().check(z.refine((text) => isIP(text) !== 0, 'must be an IP address'));

/** It stands in addresses that users open. */
const hostOrAddress = z
  .string()
  .check(
    z.refine(
      (text) => isIP(text) !== 0 || /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,252})$/.test(text),
      'must be an IP address or a host name',
    ),
  );

const tags = z.pipe(
  z.pipe(
    z._default(z.union([z.string(), z.array(z.string())]), []),
    z.transform((given) => {
      const lists = [given].flat().flatMap((list) => list.split(','));
      return [...new Set(lists.map((tag) => tag.trim()).filter((tag) => tag !== ''))];
    }),
  ),
  z.array(
    z
      .string()
      .check(
        z.maxLength(maxTagLength, `must have at most ${maxTagLength} characters`),
        z.regex(tagPattern, 'must have only letters, digits and _ . = -'),
      ),
  ),
);

const schema = z.object({
  coordinator: z
    .string({ error: 'is required: HOST:PORT of the coordinator' })
    .check(z.regex(/^([^\s:/]+|\[[0-9a-fA-F:.]+\]):\d{1,5}$/, 'must be HOST:PORT')),
  token: z.optional(z.string()),
  tokenFile: z.optional(z.string()),
  name: z.optional(
    z
      .string()
      .check(
        z.maxLength(maxNameLength, `must have at most ${maxNameLength} characters`),
        z.regex(
          namePattern,
          'must have only a-z, 0-9 and -, and begin and end with a letter or digit',
        ),
      ),
  ),
  tag: tags,
  stateDir: z._default(z.string(), '/var/lib/fairlead/agent'),
  upgradeDir: z.optional(z.string()),
  upgradeSettleSeconds: z._default(
    z.pipe(
      z.string().check(z.regex(/^\d{1,4}$/, 'must be a number of seconds, at most 9999')),
      z.transform(Number),
    ),
    10,
  ),
  dockerSocket: z._default(
    z.pipe(
      z.string(),
      z.transform((path) => path.replace(/^unix:\/\//, '')),
    ),
    '/var/run/docker.sock',
  ),
  containerdSocket: z.optional(z.string()),
  advertiseAddress: z.optional(address),
  publicAddress: z.optional(hostOrAddress),
  publishAddress: z._default(address, '0.0.0.0'),
  logLevel: z._default(z.enum(['debug', 'info', 'warn', 'error', 'silent']), 'info'),
});

/** Where a join token comes from; it is only looked for when there is no identity. */
export interface TokenSource {
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
}

export interface NodeAgentConfig {
  /** `HOST:PORT`. */
  readonly coordinator: string;
  readonly joinToken: TokenSource;
  readonly name: string;
  readonly tags: readonly string[];
  readonly stateDir: string;
  /** Shared with the launcher; undefined: the agent cannot upgrade itself. */
  readonly upgradeDir: string | undefined;
  /** How long a session of a new version has to stand before that version stays. */
  readonly upgradeSettleMs: number;
  readonly dockerSocket: string;
  /** Where Docker's containerd may listen; those that cannot be reached are left alone. */
  readonly containerdSockets: readonly string[];
  /** Undefined: the address that this host reaches the coordinator from. */
  readonly advertiseAddress: string | undefined;
  /** Undefined: the advertise address. */
  readonly publicAddress: string | undefined;
  readonly publishAddress: string;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/** Reads the configuration; throws one error that lists all mistakes. */
export function readNodeAgentConfig(
  flags: Readonly<Record<string, unknown>>,
  env: NodeJS.ProcessEnv,
): NodeAgentConfig {
  // A token file may be gone once the node has joined: it is read only if it is needed.
  const { FAIRLEAD_TOKEN_FILE: tokenFile, ...others } = env;
  const { token, tag, name, ...values } = readConfig(schema, {
    flags: { ...flags, tokenFile: flags['tokenFile'] ?? tokenFile },
    env: others,
  });
  return {
    coordinator: values.coordinator,
    joinToken: { token, tokenFile: values.tokenFile },
    name: name ?? nodeNameOf(hostname()),
    tags: tag,
    stateDir: values.stateDir,
    upgradeDir: values.upgradeDir,
    upgradeSettleMs: values.upgradeSettleSeconds * 1_000,
    dockerSocket: values.dockerSocket,
    containerdSockets: socketsOf(values.containerdSocket),
    advertiseAddress: values.advertiseAddress,
    publicAddress: values.publicAddress,
    publishAddress: values.publishAddress,
    logLevel: values.logLevel,
  };
}

/** Reads the join token; undefined if none was given. */
export function readJoinToken({ token, tokenFile }: TokenSource): string | undefined {
  if (token !== undefined) return token.trim();
  if (tokenFile === undefined) return undefined;
  try {
    return readFileSync(tokenFile, 'utf8').trim();
  } catch (error) {
    throw new DomainError(
      'precondition',
      `the join token in ${tokenFile} cannot be read: ${messageOf(error)}`,
      { reason: 'TOKEN_UNREADABLE', cause: error },
    );
  }
}

/** The first part of a host name, made to fit the rule for names. */
export function nodeNameOf(host: string): string {
  const [label = ''] = host.toLowerCase().split('.');
  const name = label
    .replaceAll(/[^a-z0-9-]/g, '-')
    .replace(/^-+/, '')
    .slice(0, maxNameLength)
    .replace(/-+$/, '');
  return name === '' ? 'node' : name;
}

/** Docker's containerd is that of the system, or one that dockerd started itself. */
const usualContainerdSockets = [
  '/run/containerd/containerd.sock',
  '/run/docker/containerd/containerd.sock',
];

function socketsOf(setting: string | undefined): readonly string[] {
  if (setting === undefined) return usualContainerdSockets;
  return setting === 'none' ? [] : [setting.replace(/^unix:\/\//, '')];
}
