import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Authenticator } from '../../../../coordinator/api/authentication.ts';
import {
  containerTokenLifeMs,
  ContainerTokens,
} from '../../../../coordinator/api/container-tokens.ts';
import { Dispatcher } from '../../../../coordinator/dispatcher/dispatcher.ts';
import { formatToken, hashSecret } from '../../../../coordinator/identity/tokens.ts';
import { ObservedState } from '../../../../coordinator/observed/observed-state.ts';
import { Routing } from '../../../../coordinator/routing/routing.ts';
import { Settling } from '../../../../coordinator/routing/settling.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import { NodeUpgrades } from '../../../../coordinator/upgrades/node-upgrades.ts';
import type { ProxyId, SessionId, TokenId } from '../../../../shared/ids.ts';
import { aContainer, aNode, aReport, aService, aToken } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { fixedAuthority } from '../../../support/fixed-authority.ts';

const hour = 3_600_000;
const { id: web1 } = aContainer();
const { id: node1 } = aNode();
const log = pino({ level: 'silent' });
const secret = 's'.repeat(43);
const id = '00000000000000ab' as TokenId;
const bearer = `Bearer ${formatToken(id, secret, 'p'.repeat(43))}`;

let clock: FakeClock;
let store: Store;
let observed: ObservedState;
let routing: Routing;
let dispatcher: Dispatcher;
let authenticator: Authenticator;
let stop: AbortController;

beforeEach(() => {
  clock = new FakeClock();
  store = new Store(':memory:', { clock });
  store.transact((tx) => {
    tx.nodes.put(aNode());
    tx.services.put(aService());
    tx.containers.put(aContainer());
    tx.tokens.put(aToken({ id, hash: hashSecret(secret), role: 'viewer', containerId: web1 }));
  });
  startCoordinator();
});

afterEach(() => {
  stop.abort();
  store[Symbol.dispose]();
});

function startCoordinator(): void {
  stop = new AbortController();
  observed = new ObservedState(new Map(), { clock });
  observed.report(web1, aReport());
  const settling = new Settling({ store, observed, clock });
  routing = new Routing({ store, observed, settling, clock });
  const upgrades = new NodeUpgrades();
  const newId = () => 'session';
  dispatcher = new Dispatcher(
    { store, observed, routing, settling, upgrades, clock, newId, log },
    { downGraceMs: 60_000 },
  );
  const containerTokens = new ContainerTokens({
    ...{ store, observed, clock, nodes: dispatcher, proxies: routing },
  });
  authenticator = new Authenticator({
    ...{ store, clock, installationId: 'i', authority: fixedAuthority, containerTokens },
  });
}

function attach() {
  const description = {
    ...{ hostname: 'host-1', operatingSystem: 'Debian', os: 'linux', architecture: 'amd64' },
    ...{
      engineVersion: '20.10',
      engineApiVersion: '1.41',
      cpus: 4,
      memoryBytes: 1,
      agentVersion: '1',
    },
  };
  const inventory = [{ containerId: web1, name: 'web-1', reported: aReport() }];
  return dispatcher.attach(
    node1,
    {
      ...{ verbs: [], bootId: 'boot-1', sequence: 1, description, inventory, clockMs: null },
      ...{ advertiseAddress: '10.0.0.5', publicAddress: '203.0.113.5' },
      engine: { reachable: true, message: '' },
      certificate: { authority: 'p'.repeat(43), untilMs: 1 },
    },
    { wake: () => undefined, close: () => undefined },
  );
}

const isGood = () => authenticator.knows({ authorization: bearer, peer: null });
/** In hours from now, as users are shown it. */
const expiresIn = () => (authenticator.expiresAtMs(store.tokens.get(id)!)! - clock.now()) / hour;

test('the token of a container lives on while its node is there, and for a day more', async () => {
  const link = attach();
  await clock.advance(100 * hour);
  expect(isGood()).toBe(true);
  expect(expiresIn()).toBe(24);
  dispatcher.heard(link);
  dispatcher.detach(link);
  await clock.advance(23 * hour);
  expect(isGood()).toBe(true);
  expect(expiresIn()).toBe(1);
  await clock.advance(hour);
  expect(isGood()).toBe(false);
  // The token was told once, so it is good again when there is word of its container.
  attach();
  expect(isGood()).toBe(true);
});

test('a stream that was opened with it ends with it', async () => {
  await clock.advance(containerTokenLifeMs - 5_000);
  let isOver = false;
  const waiting = authenticator.untilInvalid(id, stop.signal).then(() => (isOver = true));
  await clock.advance(4_000);
  expect(isOver).toBe(false);
  await clock.advance(1_000);
  expect(isOver).toBe(true);
  await waiting;
});

test('a coordinator that was away for long, or whose clock jumps, gives nodes their time', async () => {
  await clock.advance(100 * hour);
  stop.abort();
  startCoordinator();
  expect(isGood()).toBe(true);
  expect(expiresIn()).toBe(24);
  clock.setWallClock(1_000 * hour);
  expect(isGood()).toBe(true);
  await clock.advance(24 * hour);
  expect(isGood()).toBe(false);
});

test('a load balancer that has a session is vouched for by it, whatever became of the agent of its node', async () => {
  const identity = { id: web1 as string as ProxyId, name: 'web-1', serviceId: aService().id };
  const record = routing.attach(identity, 'container');
  const line = { wake: () => undefined, close: () => undefined };
  record.open({ id: 'session' as SessionId, ...line }, null);
  await clock.advance(100 * hour);
  expect(isGood()).toBe(true);
  routing.detached(record);
  await clock.advance(23 * hour);
  expect(isGood()).toBe(true);
  await clock.advance(hour);
  expect(isGood()).toBe(false);
});

test.each(['stopped', 'failed', 'removed'] as const)(
  'one of a container that is %s is over at once',
  (phase) => {
    attach();
    observed.report(web1, aReport({ phase, ready: false }));
    expect(isGood()).toBe(false);
  },
);

test('one of a container that is on record no more is over at once', () => {
  attach();
  store.transact((tx) => {
    tx.containers.delete(web1);
  });
  expect(isGood()).toBe(false);
});

test('that of somebody else ends when it says, by the wall clock', () => {
  attach();
  const expiresAtMs = clock.now() + hour;
  store.transact((tx) => {
    tx.tokens.put({ ...tx.tokens.get(id)!, containerId: null, expiresAtMs });
  });
  expect(authenticator.identify({ authorization: bearer, peer: null })).toMatchObject({ id });
  expect(expiresIn()).toBe(1);
  clock.setWallClock(hour);
  expect(isGood()).toBe(false);
});
