import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Address } from '../../shared/rpc/client.ts';
import { messageOf } from '../../shared/errors.ts';
import { ContextFile } from './context-file.ts';
import { CommandFailure, exitStatus } from './exit-status.ts';

/** The flags that every command takes. */
export interface GlobalFlags {
  readonly coordinator?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Whom to talk to, and as whom: flags, else variables, else the context that was logged in to. The token of
 * a context goes to its own coordinator only.
 */
export function addressOf(flags: GlobalFlags, env: Environment): Address {
  const given = { address: givenAddress(flags, env), token: tokenOf(flags, env) };
  if (given.address !== '' && given.token !== '') return given;
  const { address, token } = fromContext(given, env);
  const missing = [
    ...(address === ''
      ? ['no coordinator: log in, give --coordinator HOST:PORT, or set FAIRLEAD_ADDRESS']
      : []),
    ...(token === ''
      ? ['no token: log in, give --token-file FILE, or set FAIRLEAD_TOKEN or FAIRLEAD_TOKEN_FILE']
      : []),
  ];
  if (missing.length > 0) throw new CommandFailure(exitStatus.usage, missing.join('\n'));
  return { address, token };
}

/** The coordinator that is named by a flag or a variable; empty: none is. */
export function givenAddress({ coordinator }: GlobalFlags, env: Environment): string {
  return firstOf(coordinator, env['FAIRLEAD_ADDRESS']);
}

/** The token in the file that a flag names; undefined: none is named. */
export function givenTokenFile({ tokenFile }: GlobalFlags): string | undefined {
  return tokenFile === undefined ? undefined : readTokenFile(tokenFile);
}

/** Where contexts are kept. */
export function contextFile(env: Environment): ContextFile {
  const home =
    firstOf(env['XDG_CONFIG_HOME']) || join(firstOf(env['HOME']) || homedir(), '.config');
  return new ContextFile(join(home, 'fairlead', 'contexts.json'));
}

/** Fills in what was not given. */
function fromContext(given: Address, env: Environment): Address {
  const { current, contexts } = contextFile(env).load();
  const context = Object.hasOwn(contexts, current) ? contexts[current] : undefined;
  if (given.address === '') {
    return {
      address: context?.address ?? '',
      token: given.token === '' ? (context?.token ?? '') : given.token,
    };
  }
  const same = [context, ...Object.values(contexts)].find((c) => c?.address === given.address);
  return { address: given.address, token: same?.token ?? '' };
}

function tokenOf({ token, tokenFile }: GlobalFlags, env: Environment): string {
  if (token !== undefined) return token.trim();
  if (tokenFile !== undefined) return readTokenFile(tokenFile);
  const fromVariable = firstOf(env['FAIRLEAD_TOKEN']);
  if (fromVariable !== '') return fromVariable;
  const file = firstOf(env['FAIRLEAD_TOKEN_FILE']);
  if (file !== '') return readTokenFile(file);
  // What the containers of a service with an API role have.
  return /^Bearer +(\S+)$/i.exec(firstOf(env['FAIRLEAD_AUTH']))?.[1] ?? '';
}

function readTokenFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new CommandFailure(
      exitStatus.usage,
      `the token file cannot be read: ${messageOf(error)}`,
    );
  }
}

function firstOf(...values: readonly (string | undefined)[]): string {
  return values.find((value) => value !== undefined && value.trim() !== '')?.trim() ?? '';
}

/** Whether a terminal may be written to in colour. */
export function wantsColours(env: Readonly<Record<string, string | undefined>>): boolean {
  return (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
}
