import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createFirstToken } from '../../../coordinator/identity/first-token.ts';
import { prepareStateDirectory } from '../../../coordinator/identity/key-files.ts';
import { TokenIssuer } from '../../../coordinator/identity/tokens.ts';
import type { Token } from '../../../coordinator/model.ts';
import { Store } from '../../../coordinator/store/store.ts';
import { systemClock } from '../../../shared/clock.ts';
import { systemRandom } from '../../../shared/random.ts';
import { aToken, tokenId } from '../../support/builders.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';

const tokens = new TokenIssuer(Buffer.alloc(32), { pin: 'p'.repeat(43), bundle: '' });

let directory: TemporaryDirectory;
let stateDir: string;
let store: Store;

beforeEach(() => {
  directory = new TemporaryDirectory();
  stateDir = directory.join('state');
  prepareStateDirectory(stateDir);
  store = new Store(':memory:', { clock: systemClock });
});

afterEach(async () => {
  store[Symbol.dispose]();
  await directory[Symbol.asyncDispose]();
});

const create = () =>
  createFirstToken(store, stateDir, { random: systemRandom, tokens, clock: systemClock });

function withAdmin(changes: Partial<Token>): void {
  store.transact((tx) => {
    tx.tokens.put(aToken({ name: 'admin', role: 'admin', expiresAtMs: null, ...changes }));
  });
}

test('an installation without an administrator gets one, once, and an event says so', () => {
  const path = create();
  expect(readFileSync(path ?? '', 'utf8')).toMatch(/^flt_/);
  expect(create()).toBeNull();
  expect([...store.tokens.values()].map(({ name, role }) => [name, role])).toEqual([
    ['admin', 'admin'],
  ]);
  const { events } = store.events.after(0, {}, 10);
  expect(events.map(({ type, objectName }) => [type, objectName])).toEqual([
    ['token.created', 'admin'],
  ]);
});

test.each<[string, Partial<Token>]>([
  ['has expired', { expiresAtMs: 1 }],
  ['is limited to node clusters', { clusterIds: ['c' as never] }],
  ['is limited to services', { serviceIds: ['s' as never] }],
])('one that %s could make no other, and does not count', (_what, changes) => {
  withAdmin({ id: tokenId('00000000000000bb'), ...changes });
  expect(create()).not.toBeNull();
  expect([...store.tokens.values()].map(({ name }) => name)).toEqual(['admin', 'admin-2']);
});

test('one that is good is left as it is', () => {
  withAdmin({ expiresAtMs: Date.now() + 60_000 });
  expect(create()).toBeNull();
});
