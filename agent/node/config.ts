import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { isIP } from 'node:net';
import * as z from 'zod';
import { readConfig } from '../../shared/config.ts';
import { DomainError, messageOf } from '../../shared/errors.ts';
import { maxNameLength, maxTagLength, namePattern, tagPattern } from '../../shared/ids.ts';
import type { FlagNames } from '../../shared/process.ts';

/** Flags of the node agent; each is also the variable `FAIRLEAD_…` of the same name. */
export const nodeAgentFlags = {
  coordinator: 'one',
  token: 'one',
  tokenFile: 'one',
  name: 'one',
  tag: 'many',
  stateDir: 'one',
  dockerSocket: 'one',
  advertiseAddress: 'one',
  publicAddress: 'one',
  publishAddress: 'one',
  logLevel: 'one',
} as const satisfies FlagNames;

const address = z.string().refine((text) => isIP(text) !== 0, 'must be an IP address');

const schema = z.object({
  coordinator: z
    .string({ error: 'is required: HOST:PORT of the coordinator' })
    .regex(/^([^\s:/]+|\[[0-9a-fA-F:.]+\]):\d{1,5}$/, 'must be HOST:PORT'),
  token: z.string().optional(),
  tokenFile: z.string().optional(),
  name: z
    .string()
    .max(maxNameLength, `must have at most ${maxNameLength} characters`)
    .regex(namePattern, 'must have only a-z, 0-9 and -, and begin and end with a letter or digit')
    .optional(),
  tag: z
    .union([z.string(), z.array(z.string())])
    .default([])
    .transform((tags) => [tags].flat().flatMap((list) => list.split(',')))
    .transform((tags) => [...new Set(tags.map((tag) => tag.trim()).filter((tag) => tag !== ''))])
    .pipe(
      z.array(
        z
          .string()
          .max(maxTagLength, `must have at most ${maxTagLength} characters`)
          .regex(tagPattern, 'must have only letters, digits and _ . = -'),
      ),
    ),
  stateDir: z.string().default('/var/lib/fairlead/agent'),
  dockerSocket: z
    .string()
    .transform((path) => path.replace(/^unix:\/\//, ''))
    .default('/var/run/docker.sock'),
  advertiseAddress: address.optional(),
  publicAddress: z.string().optional(),
  publishAddress: address.default('0.0.0.0'),
  logLevel: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
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
  readonly dockerSocket: string;
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
    dockerSocket: values.dockerSocket,
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
