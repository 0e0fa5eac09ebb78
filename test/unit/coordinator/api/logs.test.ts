import { expect, test } from 'vitest';
import type { Call, TokenPrincipal } from '../../../../coordinator/api/call.ts';
import { LogApi, type LogApiDeps } from '../../../../coordinator/api/logs.ts';
import { Lookup } from '../../../../coordinator/api/lookup.ts';
import { ObservedState } from '../../../../coordinator/observed/observed-state.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import { ServiceLogsRequest } from '../../../../shared/gen/fairlead/v1/control_service.ts';
import { aContainer, aService, tokenId } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

test('a service that grows beyond what is read together says so to who follows it', async () => {
  const clock = new FakeClock();
  using store = new Store(':memory:', { clock });
  const put = (from: number, to: number) => {
    store.transact((tx) => {
      for (let slot = from; slot <= to; slot++)
        tx.containers.put(aContainer({ slot, nodeId: null }));
    });
  };
  store.transact((tx) => {
    tx.services.put(aService());
  });
  put(1, 255);
  const observed = new ObservedState(new Map(), { clock });
  // No container has a node, so that nobody is asked for anything.
  const nobody = { dispatcher: {}, streams: { of: () => ({}) } } as unknown as Pick<
    LogApiDeps,
    'dispatcher' | 'streams'
  >;
  const logs = new LogApi({ store, observed, clock, lookup: new Lookup(store), ...nobody });
  const anybody = { scope: null, clusters: null, containerId: null, certificate: null };
  const token = { kind: 'token', id: tokenId('1'), name: 'somebody', role: 'viewer' } as const;
  const principal: TokenPrincipal = { ...token, ...anybody };
  const stop = new AbortController();
  const call: Call = { principal, peer: '', signal: stop.signal };
  const messages = logs.serviceLogs(
    ServiceLogsRequest.fromPartial({ service: 'web', follow: true }),
    call,
  );
  expect((await messages.next()).value).toMatchObject({ sources: { length: 255 } });
  const rest = (async () => {
    for await (const { entries } of messages) expect(entries).toEqual([]);
  })();
  put(256, 256);
  await clock.settle();
  put(257, 257);
  await expect(rest).rejects.toMatchObject({
    ...{ kind: 'exhausted', reason: 'TOO_MANY_STREAMS' },
    message: expect.stringContaining('web has 257 containers') as string,
  });
});
