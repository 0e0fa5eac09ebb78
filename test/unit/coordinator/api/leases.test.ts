import { afterEach, beforeEach, expect, test } from 'vitest';
import { Leases } from '../../../../coordinator/api/leases.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const leaseMs = 3_000;
const peer = '192.0.2.1:40000';

let clock: FakeClock;
let connection: { bytesRead: number };
let leases: Leases;
let heardAtMs: number[];
let expiredAtMs: number | null;
let outlivedAtMs: number | null;
let stop: AbortController;
let running: Promise<void>;

beforeEach(() => {
  clock = new FakeClock();
  connection = { bytesRead: 100 };
  const connections = { of: (address: string) => (address === peer ? connection : undefined) };
  leases = new Leases({ connections, clock });
  heardAtMs = [];
  expiredAtMs = null;
  outlivedAtMs = null;
  stop = new AbortController();
  running = leases.run(stop.signal);
});

afterEach(async () => {
  stop.abort();
  await running;
});

function hold(address = peer, validToMs = Infinity) {
  return leases.hold(
    { peer: address, leaseMs, validToMs },
    {
      heard: (atMs) => heardAtMs.push(atMs),
      silent: () => {
        expiredAtMs = clock.monotonic();
      },
      outlived: () => {
        outlivedAtMs = clock.monotonic();
      },
    },
  );
}

test('a peer that says nothing is given up just before its lease is over, and once', async () => {
  hold();
  await clock.advance(20_000);
  expect(expiredAtMs).toBe(3_000);
  expect(heardAtMs).toEqual([]);
});

test('whatever comes over its connection is a sign of life', async () => {
  hold();
  for (let second = 0; second < 10; second++) {
    await clock.advance(1_000);
    connection.bytesRead += 39;
  }
  expect(expiredAtMs).toBeNull();
  await clock.advance(20_000);
  expect(expiredAtMs).toBeGreaterThan(10_000 + leaseMs - 500);
  expect(expiredAtMs).toBeLessThanOrEqual(10_000 + leaseMs + 250);
});

test('it was heard of at a moment that is never later than the true one', async () => {
  hold();
  await clock.advance(1_100);
  connection.bytesRead += 39;
  await clock.advance(1_000);
  expect(heardAtMs).toEqual([1_000]);
});

test('a message is a sign of life although nobody knows the connection', async () => {
  const lease = hold('192.0.2.2:40000');
  expect(leases.follow('192.0.2.2:40000')).toBe(false);
  expect(leases.follow(peer)).toBe(true);
  await clock.advance(2_500);
  lease.renew();
  await clock.advance(2_500);
  expect(expiredAtMs).toBeNull();
  await clock.advance(1_000);
  expect(expiredAtMs).not.toBeNull();
});

test('nobody is given up because this process was frozen for longer than their leases', async () => {
  hold();
  await clock.advance(1_000);
  clock.jump(60_000);
  await clock.advance(500);
  expect(expiredAtMs).toBeNull();
  connection.bytesRead += 39;
  await clock.advance(2_000);
  expect(expiredAtMs).toBeNull();
});

test('a session that is over is not looked at any more', async () => {
  hold()[Symbol.dispose]();
  await clock.advance(20_000);
  expect(expiredAtMs).toBeNull();
});

test('a peer whose certificate has expired is told of once, however much it says', async () => {
  hold(peer, clock.now() + 1_500);
  for (let second = 0; second < 5; second++) {
    await clock.advance(1_000);
    connection.bytesRead += 39;
  }
  expect(outlivedAtMs).toBe(1_500);
  expect(expiredAtMs).toBeNull();
});

test('whose certificate has a long life is not given up for it', async () => {
  hold(peer, clock.now() + 100 * 24 * 3_600_000);
  await clock.advance(1_000);
  expect(outlivedAtMs).toBeNull();
});
