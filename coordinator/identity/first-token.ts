import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import type { TokenId } from '../../shared/ids.ts';
import type { Random } from '../../shared/random.ts';
import type { Token } from '../model.ts';
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

export interface FirstTokenDeps {
  readonly random: Random;
  readonly tokens: TokenIssuer;
  readonly clock: Clock;
}

/**
 * Makes an administrator's token for an installation that has none that is good for everything now, and leaves it in a file of mode
 * 0600 in the state directory. Returns the file's path if it was made now.
 */
export function createFirstToken(
  store: Store,
  stateDir: string,
  { random, tokens, clock }: FirstTokenDeps,
): string | null {
  const nowMs = clock.now();
  if ([...store.tokens.values()].some((token) => isAdministrator(token, nowMs))) return null;
  const path = pathIn(stateDir);
  const id = random.id().slice(0, 16) as TokenId;
  const name = freeName(store);
  const secret = random.secret();
  writeSecretFile(path, `${tokens.format(id, secret)}\n`);
  store.transact((tx) => {
    tx.tokens.put({
      id,
      name,
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
    tx.event({
      ...{ type: 'token.created', objectId: id, objectName: name, actionId: '' },
      message: `there was no administrator: it is in ${path}`,
    });
  });
  return path;
}

/** One that may do everything, now: of others nobody could make such a token again. */
function isAdministrator({ role, serviceIds, clusterIds, expiresAtMs }: Token, nowMs: number) {
  const isLimited = serviceIds.length + clusterIds.length > 0;
  return role === 'admin' && !isLimited && (expiresAtMs === null || expiresAtMs > nowMs);
}

/** One that has expired keeps its name. */
function freeName(store: Store): string {
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? 'admin' : `admin-${number}`;
    if (store.tokenNamed(name) === undefined) return name;
  }
}
