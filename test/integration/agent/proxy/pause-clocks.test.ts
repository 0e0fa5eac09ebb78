import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { expect, test } from 'vitest';
import { FrontendMode } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';
import { eventually } from '../../../support/eventually.ts';
import { aSnapshot, FakeProxyCoordinator } from '../../../support/fake-proxy-coordinator.ts';
import { FalseClock } from '../../../support/false-clock.ts';
import {
  freePort,
  HaproxyDirectory,
  proxyConfig,
  SpawnedProxyAgent,
} from '../../../support/haproxy.ts';
import { describeWithClocks } from '../../../support/needs.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const pauseMs = 6_000;
/** HAProxy names the second in which a request came, and asks again after one. */
const exactToMs = 1_000;

/** A HAProxy and its agent on a host whose clock a test sets. */
class Host extends TemporaryDirectory {
  readonly clock = new FalseClock(this.join('clock'), '+0');
  readonly variables = Object.entries(this.clock.env).map(([name, value]) => `${name}=${value}`);
  /** Agents give HAProxy none of their variables. */
  readonly haproxy = this.join('haproxy-by-the-clock');

  constructor() {
    super();
    const words = this.variables.map((each) => `'${each}'`).join(' ');
    // That of the system in any case: others have a C library of their own, that the false clock is not made for.
    const lines = ['#!/bin/sh', `exec env ${words} haproxy "$@"`];
    writeFileSync(this.haproxy, `${lines.join('\n')}\n`, { mode: 0o700 });
  }

  startAgent(coordinator: FakeProxyCoordinator, { path: stateDir }: HaproxyDirectory) {
    const own = { coordinator: coordinator.address, stateDir, haproxy: this.haproxy };
    return new SpawnedProxyAgent(proxyConfig(own), ['env', ...this.variables]);
  }
}

/** How a request was answered, and after how long. */
async function ask(port: number): Promise<{ readonly status: number; readonly tookMs: number }> {
  const startedAt = performance.now();
  const status = await new Promise<number>((resolve, reject) => {
    request({ host: '127.0.0.1', port, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });
  return { status, tookMs: performance.now() - startedAt };
}

/** A list whose requests are all held. */
function paused(port: number) {
  return aSnapshot(port, {
    backends: [{ name: 'web', mode: FrontendMode.HTTP, balancing: { pauseMs } }],
  });
}

async function untilHeld(directory: HaproxyDirectory, count: number): Promise<void> {
  await eventually(async () => {
    const sessions = await directory.ask('show sess');
    const lines = sessions.split('\n').filter((line) => line.includes('fe=http '));
    expect(lines.length).toBe(count);
  });
}

function expectInTime({ status, tookMs }: Awaited<ReturnType<typeof ask>>): void {
  expect(status).toBe(503);
  expect(tookMs).toBeGreaterThan(pauseMs - exactToMs - 10);
  // Without anybody to end it it would be held for a minute.
  expect(tookMs).toBeLessThan(5 * pauseMs);
}

describeWithClocks('requests that are held on a host whose clock is set', () => {
  test.each(['+3h', '-3h'])('by %s are ended after the time that they may be held', async (by) => {
    const port = await freePort();
    await using host = new Host();
    await using directory = new HaproxyDirectory();
    await using coordinator = await FakeProxyCoordinator.start(paused(port));
    await using _agent = host.startAgent(coordinator, directory);
    await coordinator.untilApplied(1);
    const before = ask(port);
    await untilHeld(directory, 1);
    host.clock.set(by);
    const after = ask(port);
    await untilHeld(directory, 2);
    for (const answer of await Promise.all([before, after])) expectInTime(answer);
  });

  test('are not ended early for those that came in a second of the same name, before it was set back', async () => {
    const port = await freePort();
    await using host = new Host();
    await using directory = new HaproxyDirectory();
    await using coordinator = await FakeProxyCoordinator.start(paused(port));
    await using _agent = host.startAgent(coordinator, directory);
    await coordinator.untilApplied(1);
    const second = Math.floor(Date.now() / 1_000);
    const before = ask(port);
    await untilHeld(directory, 1);
    const nowS = () => Date.now() / 1_000;
    await eventually(() => {
      expect(nowS()).toBeGreaterThan(second + 2);
    });
    const backByS = nowS() - (second - 1.5);
    host.clock.set((-backByS).toFixed(3));
    await eventually(async () => {
      expect(await directory.ask(`show map ${directory.path}/maps/pauses.map`)).toMatch(/-1$/m);
    });
    await eventually(
      () => {
        expect(nowS() - backByS).toBeGreaterThan(second);
      },
      { intervalMs: 5 },
    );
    const after = ask(port);
    for (const answer of await Promise.all([before, after])) expectInTime(answer);
  });
});
