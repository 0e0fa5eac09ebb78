import { pino } from 'pino';
import { expect, test } from 'vitest';
import { BackendList } from '../../../../agent/proxy/backend-list.ts';
import type { Configuration, ConfigStore } from '../../../../agent/proxy/config-store.ts';
import type { HaproxyProcess } from '../../../../agent/proxy/haproxy-process.ts';
import type { LiveHaproxy } from '../../../../agent/proxy/live-haproxy.ts';
import { Outbox } from '../../../../agent/proxy/outbox.ts';
import { Restructurer } from '../../../../agent/proxy/restructurer.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const configuration: Configuration = {
  ...{ frontends: [], backends: [], revision: 'a', problem: undefined },
  pages: { statsPort: 0, metricsPort: 0 },
};

test('who waits for a reload that HAProxy refuses asks for none again until it is tried anew', async () => {
  const clock = new FakeClock();
  let checks = 0;
  const configStore = {
    configure: () => Promise.resolve(configuration),
    check: () => {
      checks++;
      return Promise.resolve('no');
    },
  };
  const restructurer = new Restructurer({
    ...{ clock, log: pino({ level: 'silent' }), outbox: new Outbox(clock) },
    configStore: configStore as unknown as ConfigStore,
    haproxy: {} as unknown as HaproxyProcess,
    onPauses: () => undefined,
  });
  const round = async () => {
    restructurer.wantReload('there are new servers');
    if (!restructurer.due()) return false;
    const { signal } = new AbortController();
    const live = {} as unknown as LiveHaproxy;
    await restructurer.restructure(live, new BackendList(), () => undefined, signal);
    return true;
  };
  expect(await round()).toBe(true);
  // As often as the driver looks: it would do nothing else.
  expect([await round(), await round()]).toEqual([false, false]);
  expect(restructurer.dueAt).toBeUndefined();
  expect(checks).toBe(1);
  await clock.advance(30_000);
  restructurer.noteTime();
  expect(await round()).toBe(true);
  expect(checks).toBe(2);
});
