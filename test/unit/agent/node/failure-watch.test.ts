import { afterEach, beforeEach, expect, test } from 'vitest';
import type { EngineContainer } from '../../../../agent/node/docker/engine.ts';
import type { LogLine } from '../../../../agent/node/docker/log-lines.ts';
// Loaded here, so that it is there at once where it is loaded late.
import '../../../../agent/node/failure-lines.ts';
import { FailureWatch } from '../../../../agent/node/failure-watch.ts';
import type { ContainerFailure } from '../../../../agent/node/model.ts';
import type { ContainerId } from '../../../../shared/ids.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const containerId = 'c1' as ContainerId;
let clock: FakeClock;
let told: ContainerFailure[];
let environment: Record<string, string> | undefined;
let log: readonly LogLine[];
let isStuck: boolean;
let watch: FailureWatch;

beforeEach(() => {
  clock = new FakeClock();
  told = [];
  environment = {};
  log = [];
  isStuck = false;
  const logs = async function* (_engineId: string, _query: object, signal: AbortSignal) {
    if (isStuck) await clock.sleep(1_000_000, signal);
    if (!signal.aborted) yield [...log];
  };
  const failed = (failure: ContainerFailure) => told.push(failure);
  watch = new FailureWatch({ logs, clock, failed }, containerId, () => environment);
});

afterEach(async () => {
  await watch.stop();
});

const at = (ms: number) => new Date(clock.now() - clock.monotonic() + ms);
const written = (text: string, ms: number): LogLine => ({
  ...{ stream: 'stderr', data: Buffer.from(text), continued: false },
  time: at(ms).toISOString().replace('Z', '000000Z'),
});

function process(startedMs: number, rest: Partial<EngineContainer>): EngineContainer {
  return {
    ...{ engineId: 'e1', identity: { containerId, name: 'web-1' }, state: 'running', pid: 1 },
    ...{ exitCode: 0, error: '', outOfMemory: false, restartPolicy: 'always', restartLimit: 0 },
    ...{ restarts: 0, startedAt: at(startedMs), endedAt: undefined, ports: [] },
    ...rest,
  } as EngineContainer;
}

const crashed = (startedMs: number, endedMs: number, state: 'ended' | 'restarting' = 'ended') =>
  process(startedMs, { state, exitCode: 3, endedAt: at(endedMs) });

test('a failure is told once, a while after it, with what that process wrote', async () => {
  log = [written('cannot bind', 90), written('next try', 400)];
  watch.follow(crashed(0, 100, 'restarting'), true);
  watch.follow(crashed(0, 100, 'restarting'), true);
  await clock.advance(999);
  expect(told).toEqual([]);
  await clock.advance(1);
  watch.follow(crashed(0, 100, 'restarting'), true);
  await clock.advance(1_000);
  expect(told).toEqual([{ containerId, exitCode: 3, endedAt: at(100), lines: ['cannot bind'] }]);
});

test('what was asked for, and an end that is none, are no failures', async () => {
  watch.follow(crashed(0, 100), false);
  watch.follow(process(0, { state: 'ended', endedAt: at(100) }), true);
  watch.follow(process(0, {}), true);
  await watch.beforeLoss(process(0, {}), { neverReady: false });
  await clock.advance(1_000);
  expect(told).toEqual([]);
});

test('one that fails again and again is told of every ten seconds, and at its last end', async () => {
  for (let second = 0; second < 22; second++) {
    watch.follow(crashed(second * 1_000, second * 1_000 + 500, 'restarting'), true);
    await clock.advance(1_000);
  }
  expect(told).toHaveLength(3);
  watch.follow(crashed(23_000, 23_500), true);
  await clock.advance(1_000);
  expect(told).toHaveLength(4);
});

test('before its log is lost it is read at once', async () => {
  log = [written('last words', 100)];
  watch.follow(crashed(0, 100), true);
  await watch.beforeLoss(crashed(0, 100), { neverReady: false });
  expect(told.map(({ lines }) => lines)).toEqual([['last words']]);
});

test('one that is given up before it was ready is told of, without an exit status', async () => {
  log = [written('waiting for the database', 100)];
  await watch.beforeLoss(process(0, {}), { neverReady: true });
  await watch.beforeLoss(process(0, {}), { neverReady: true });
  expect(told).toEqual([
    {
      ...{ containerId, exitCode: undefined, endedAt: undefined },
      lines: ['waiting for the database'],
    },
  ]);
});

test('an engine that does not answer holds nothing up for long', async () => {
  isStuck = true;
  const done = watch.beforeLoss(process(0, {}), { neverReady: true });
  await clock.advance(10_000);
  await done;
  expect(told.map(({ lines }) => lines)).toEqual([[]]);
});

test('nothing of a log is shown while it is not known what is secret', async () => {
  environment = undefined;
  log = [written('hunter22', 90)];
  watch.follow(crashed(0, 100), true);
  await clock.advance(250);
  expect(told).toMatchObject([{ exitCode: 3, lines: [] }]);
});
