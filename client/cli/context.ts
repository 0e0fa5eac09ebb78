import { readFileSync } from 'node:fs';
import type { Address } from '../../shared/rpc/client.ts';
import { messageOf } from '../../shared/errors.ts';
import { CommandFailure, exitStatus } from './exit-status.ts';

/** The variables of the process; the only place of the command line that reads them. */
export const environment: Readonly<Record<string, string | undefined>> = process.env;

/** The flags that every command takes. */
export interface GlobalFlags {
  readonly coordinator?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

/**
 * Whom to talk to, and as whom: flags, else variables. A saved context will be the last source, after
 * both.
 */
export function addressOf(
  flags: GlobalFlags,
  env: Readonly<Record<string, string | undefined>>,
): Address {
  const address = firstOf(flags.coordinator, env['FAIRLEAD_ADDRESS']);
  const token = tokenOf(flags, env);
  const missing = [
    ...(address === ''
      ? ['no coordinator: give --coordinator HOST:PORT or set FAIRLEAD_ADDRESS']
      : []),
    ...(token === ''
      ? [
          'no token: give --token-file FILE or --token TOKEN, or set FAIRLEAD_TOKEN or FAIRLEAD_TOKEN_FILE',
        ]
      : []),
  ];
  if (missing.length > 0) throw new CommandFailure(exitStatus.usage, missing.join('\n'));
  return { address, token };
}

function tokenOf(
  { token, tokenFile }: GlobalFlags,
  env: Readonly<Record<string, string | undefined>>,
): string {
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
