import { expect, test } from 'vitest';
import { adoptServers } from '../../../../agent/proxy/adopt-servers.ts';
import { pathOf } from '../../../../agent/proxy/backend-list.ts';
import type { KnownServer } from '../../../../agent/proxy/server-state.ts';
import { aList, aServer, aTarget } from './builders.ts';

const web = new Set(['web']);
const known = (...servers: KnownServer[]) =>
  new Map(servers.map((server) => [pathOf(server), server]));

test('does not make ready again what HAProxy was told to drain or take out', () => {
  const list = aList({
    targets: [
      aTarget({ id: 'draining', drainTimeoutMs: 7 }),
      aTarget({ id: 'drained' }),
      aTarget({ id: 'deleted' }),
      aTarget({ id: 'ready', http2: true, checkPort: 8080 }),
    ],
  });
  const servers = known(
    aServer({ id: 'draining', mode: 'drain' }),
    aServer({ id: 'drained', mode: 'maint' }),
    aServer({ id: 'ready' }),
  );
  expect(adoptServers(list, servers, web).targets).toEqual([
    aTarget({ id: 'draining', mode: 'drain', drainTimeoutMs: 7 }),
    aTarget({ id: 'drained', mode: 'drain' }),
    aTarget({ id: 'ready', http2: true, checkPort: 8080 }),
  ]);
});

test('keeps what HAProxy serves and the list does not know yet, but for what waits for its deletion', () => {
  const servers = known(aServer({ id: 'new', port: 81 }), aServer({ id: 'old', mode: 'maint' }));
  expect(adoptServers(aList(), servers, web).targets).toEqual([
    aTarget({ id: 'new', port: 81, drainTimeoutMs: 30_000, container: '' }),
  ]);
});

test('keeps the targets of a backend that HAProxy does not have yet, and all the rest of the list', () => {
  const list = aList({ version: 9, targets: [aTarget({ id: 'api-1', backend: 'api' })] });
  expect(adoptServers(list, known(), web)).toEqual(list);
});
