import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TokenId } from '../../shared/ids.ts';
import type { Random } from '../../shared/random.ts';
import type { Store } from '../store/store.ts';
import { writeSecretFile } from './key-files.ts';
import { hashSecret, type TokenIssuer } from './tokens.ts';

function pathIn(stateDir: string): string {
  return join(stateDir, 'admin.token');
}

/**
 * Has the file with the first administrator's token, if it is still there, end with the pin of the authority
 * that signs now: scripts that read it go on knowing the coordinator.
 */
export function repinFirstToken(stateDir: string, pin: string): void {
  const path = pathIn(stateDir);
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const [, token, before] =
    /^(flt_[0-9a-f]{16}_[A-Za-z0-9_-]{43})_([A-Za-z0-9_-]{43})\s*$/.exec(text) ?? [];
  if (token !== undefined && before !== pin) writeSecretFile(path, `${token}_${pin}\n`);
}

/**
 * Makes the first administrator's token of an installation that has none, and leaves it in a file of mode
 * 0600 in the state directory. Returns the file's path if it was made now.
 */
export function createFirstToken(
  store: Store,
  stateDir: string,
  { random, tokens }: { readonly random: Random; readonly tokens: TokenIssuer },
): string | null {
  if ([...store.tokens.values()].some(({ role }) => role === 'admin')) return null;
  const path = pathIn(stateDir);
  const id = random.id().slice(0, 16) as TokenId;
  const secret = random.secret();
  writeSecretFile(path, `${tokens.format(id, secret)}\n`);
  store.transact((tx) => {
    tx.tokens.put({
      id,
      name: 'admin',
      role: 'admin',
      serviceIds: [],
      clusterIds: [],
      tags: [],
      clusterId: null,
      maxUses: 0,
      uses: 0,
      hash: hashSecret(secret),
      containerId: null,
      createdAtMs: tx.nowMs,
      expiresAtMs: null,
    });
  });
  return path;
}
