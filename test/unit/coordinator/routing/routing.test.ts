import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Container, Service, Token } from '../../../../coordinator/model.ts';
import { ObservedState } from '../../../../coordinator/observed/observed-state.ts';
import type { ProxyRecord } from '../../../../coordinator/routing/proxy-record.ts';
import { Routing } from '../../../../coordinator/routing/routing.ts';
import { Settling } from '../../../../coordinator/routing/settling.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import type { Readiness } from '../../../../shared/health-check.ts';
import type { ProxyId, SessionId } from '../../../../shared/ids.ts';
import {
  aBinding,
  aContainer,
  aDefinition,
  aNode,
  aReport,
  aService,
  aSpec,
  aToken,
  containerId,
  nodeId,
  serviceId,
  tokenId,
} from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { aRoute } from '../../../support/routes.ts';

const lbId = serviceId('lb-id');
const web1 = containerId('web-1-id');

let clock: FakeClock;
let store: Store;
let observed: ObservedState;
let routing: Routing;
let published: string[];
let stop: AbortController;
let running: Promise<void>;

beforeEach(async () => {
  clock = new FakeClock();
  store = new Store(':memory:', { clock });
  const links = [{ service: 'web', alias: 'web' }];
  const spec = aSpec({ apiRole: 'proxy', links, replicas: 0 });
  store.transact((tx) => {
    tx.nodes.put(aNode());
    tx.services.put(aService());
    tx.services.put(aService({ id: lbId, name: 'lb', spec }));
    tx.containers.put(aContainer());
  });
  await start();
});

afterEach(async () => {
  await end();
  store[Symbol.dispose]();
});

/** A coordinator's run, in which web-1 is ready on the one node. */
async function start(): Promise<void> {
  observed = new ObservedState(new Map(), { clock });
  observed.reportNode(nodeId('node-1'), {
    state: 'ready',
    message: '',
    warnings: [],
    lastSeenAtMs: 0,
    orphans: [],
  });
  observed.report(web1, aReport());
  const settling = new Settling({ store, observed, clock });
  routing = new Routing({ store, observed, settling, clock });
  published = [];
  routing.subscribe((ids) => {
    published.push(...ids);
  });
  stop = new AbortController();
  running = routing.run(stop.signal);
  await clock.advance(100);
}

async function end(): Promise<void> {
  stop.abort();
  await running;
}

function put(change: Partial<Container> = {}): void {
  store.transact((tx) => {
    tx.containers.put(aContainer(change));
  });
}

function putLb(change: Partial<Service['spec']>): void {
  store.transact((tx) => {
    const lb = tx.services.get(lbId)!;
    tx.services.put({ ...lb, spec: { ...lb.spec, ...change } });
  });
}

const list = () => routing.list(lbId)!;
const modes = () => [...list().targets()].map(({ container, mode }) => `${container} ${mode}`);
const admission = () => routing.admissionOf(store.containers.get(web1)!);

/** A proxy on a plain host, or in a container whose id it has. */
function dial(id = 'host-proxy', place: 'host' | 'container' = 'host'): ProxyRecord {
  const record = routing.attach({ id: id as ProxyId, name: id, serviceId: lbId }, place);
  open(record, () => undefined);
  return record;
}

function open(record: ProxyRecord, wake: () => void): void {
  record.open({ id: 'session' as SessionId, wake, close: () => undefined }, null);
}

/** The proxy takes what there is. */
function apply(record: ProxyRecord): void {
  record.nextMessage(list(), 0);
  record.applied(list().version, new Map());
  routing.acknowledged(record);
}

function reportDrained(record: ProxyRecord, drained = true): void {
  for (const { id } of list().targets()) {
    const seen = { health: 'up', healthMessage: '', inFlight: drained ? 0 : 1 } as const;
    record.observe(id, { ...seen, requests: 0, drained });
  }
  routing.acknowledged(record);
}

describe('the list of a load balancer', () => {
  test('follows what is wanted and what is seen', () => {
    expect(modes()).toEqual(['web-1 ready']);
    observed.report(web1, aReport({ ready: false }));
    expect(modes()).toEqual(['web-1 drain']);
    observed.report(web1, aReport());
    put({ wanted: 'draining' });
    expect(modes()).toEqual(['web-1 drain']);
    observed.report(web1, aReport({ phase: 'stopping', ready: false }));
    expect(modes()).toEqual([]);
  });

  test('keeps what is on a node that is away, also when that is down', () => {
    const node = { message: 'away', warnings: [], lastSeenAtMs: 0, orphans: [] };
    observed.reportNode(nodeId('node-1'), { ...node, state: 'unreachable' });
    expect(modes()).toEqual(['web-1 ready']);
    observed.reportNode(nodeId('node-1'), { ...node, state: 'down' });
    expect(modes()).toEqual(['web-1 ready']);
    observed.reportNode(nodeId('node-1'), { ...node, state: 'ready' });
    expect(modes()).toEqual(['web-1 ready']);
  });

  test('follows the address of a node', () => {
    store.transact((tx) => {
      tx.nodes.put(aNode({ advertiseAddress: '10.0.0.9' }));
    });
    expect([...list().targets()][0]?.address).toBe('10.0.0.9');
  });

  test('is there when the load balancer is, and no longer', () => {
    putLb({ apiRole: 'none' });
    expect(routing.list(lbId)).toBeUndefined();
    putLb({ apiRole: 'proxy' });
    expect(modes()).toEqual(['web-1 ready']);
  });

  test('has its structure from the ports of the load balancer', () => {
    const before = list().plan;
    putLb({ replicas: 5 });
    expect(list().plan).toBe(before);
    putLb({ ports: [] });
    expect(list().plan).not.toBe(before);
  });

  test('has targets that moved to another backend drain in the one before, and go when they have', () => {
    const record = dial();
    apply(record);
    store.transact((tx) => {
      const web = [...store.services.values()].find(({ name }) => name === 'web')!;
      tx.services.put({ ...web, spec: { ...web.spec, routes: [aRoute()] } });
    });
    const where = () => [...list().targets()].map(({ backend, mode }) => `${backend} ${mode}`);
    expect(where()).toEqual(['default drain', 'web.80 ready']);
    expect(admission().admitted).toBe(false);
    apply(record);
    expect(admission()).toEqual({ admitted: true, drained: false });
    reportDrained(record);
    expect(where()).toEqual(['web.80 ready']);
    put({ wanted: 'draining' });
    apply(record);
    reportDrained(record);
    expect(admission()).toEqual({ admitted: false, drained: true });
  });

  test('wakes its proxies when it changes, and them alone', async () => {
    const record = dial();
    let woken = 0;
    open(record, () => {
      woken++;
    });
    apply(record);
    await clock.settle();
    const before = woken;
    putLb({ replicas: 6 });
    observed.report(web1, aReport({ ready: false }));
    await clock.settle();
    expect(woken).toBeGreaterThan(before);
    expect(record.nextMessage(list(), 0)).toMatchObject({ kind: 'delta' });
  });
});

describe('what proxies ask containers', () => {
  const readiness = (path: string, changes: Partial<Readiness> = {}): Readiness => ({
    check: {
      ...{ kind: 'http', path, port: 8080, method: 'GET', host: '' },
      headers: {},
      statuses: [],
    },
    ...{ intervalMs: 5_000, timeoutMs: 2_000, failureThreshold: 3, successThreshold: 1 },
    startPeriodMs: 0,
    ...changes,
  });
  const putWeb = (wanted: Readiness) => {
    store.transact((tx) => {
      const web = [...store.services.values()].find(({ name }) => name === 'web')!;
      tx.services.put({ ...web, spec: { ...web.spec, readiness: wanted } });
    });
  };
  const made = (by: Readiness) => ({ definition: aDefinition({ readiness: by }) });
  const asked = () => {
    const check = list().plan.backends[0]?.readiness?.check;
    return check?.kind === 'http' ? check.path : null;
  };

  test('is the HTTP check of their readiness, once all of them have it', () => {
    const web2 = { id: containerId('web-2-id'), name: 'web-2', slot: 2 };
    put(made(readiness('/old')));
    expect(asked()).toBeNull();
    putWeb(readiness('/old'));
    expect(asked()).toBe('/old');
    // A rollout begins: those of before would seem to be ill.
    putWeb(readiness('/new'));
    expect(asked()).toBeNull();
    put({ ...web2, ...made(readiness('/new')) });
    expect(asked()).toBeNull();
    const before = list().version;
    put({ ...made(readiness('/old')), wanted: 'draining' });
    expect(asked()).toBe('/new');
    expect(list().version).toBeGreaterThan(before);
    // One of before comes back, as in a rollout that is taken back, and goes without a word.
    put({ id: containerId('web-3-id'), name: 'web-3', ...made(readiness('/old')) });
    expect(asked()).toBeNull();
    store.transact((tx) => {
      tx.containers.delete(containerId('web-3-id'));
    });
    expect(asked()).toBe('/new');
  });

  test.each([
    ['there is a start period', readiness('/', { startPeriodMs: 1 })],
    ['it is no HTTP check', readiness('/', { check: { kind: 'tcp', port: 0 } })],
  ])('is whether ports accept connections where %s', (_, wanted) => {
    put(made(wanted));
    putWeb(wanted);
    expect(asked()).toBeNull();
  });

  test('is HTTP in a pool of several services where they have the same check, at whichever port', () => {
    const api = { id: serviceId('api-id'), name: 'api' };
    const other = readiness('/health');
    put(made(readiness('/health')));
    putWeb(readiness('/health'));
    putLb({ links: ['web', 'api'].map((service) => ({ service, alias: service })) });
    const putApi = (wanted: Readiness) => {
      store.transact((tx) => {
        tx.services.put(aService({ ...api, spec: aSpec({ readiness: wanted }) }));
      });
    };
    putApi({ ...other, check: { ...other.check, port: 9090 } as Readiness['check'] });
    expect(asked()).toBe('/health');
    putApi(readiness('/other'));
    expect(asked()).toBeNull();
  });

  test('is asked at the port of the node that leads to that of the check', () => {
    put(made(readiness('/')));
    const ports = [aBinding(), aBinding({ containerPort: 8080, hostPort: 50_000 })];
    observed.report(web1, aReport({ ports }));
    expect([...list().targets()].map(({ checkPort }) => checkPort)).toEqual([50_000]);
  });
});

describe('how containers are spoken to', () => {
  const ids = () =>
    [...list().targets()].map(({ id, mode, sendProxy }) => `${id} ${mode} ${sendProxy}`);
  const putWeb = (sendProxy: boolean, revision: number) => {
    store.transact((tx) => {
      const web = [...store.services.values()].find(({ name }) => name === 'web')!;
      const spec = { ...web.spec, balancing: { ...web.spec.balancing, sendProxy } };
      const changed = { ...web, revision, spec };
      tx.services.put(changed);
      tx.recordRevision(changed, { principal: 'joe', method: 'UpdateService' });
    });
  };

  test('follows the service while they run: each is another target then, and the one before drains', () => {
    apply(dial());
    putWeb(true, 1);
    expect(ids()).toEqual([
      'web-1.web-1-id.49153 drain false',
      'web-1.web-1-id.49153.pp ready true',
    ]);
  });

  test('is left to those of an earlier revision as it was with them', () => {
    putWeb(false, 1);
    putWeb(true, 2);
    expect(ids()).toEqual(['web-1.web-1-id.49153 ready false']);
    put({ id: containerId('web-2-id'), name: 'web-2', slot: 2, revision: 2 });
    observed.report(containerId('web-2-id'), aReport());
    expect(ids()).toContain('web-2.web-2-id.49153.pp ready true');
    putWeb(true, 1);
    expect(ids()).toContain('web-1.web-1-id.49153.pp ready true');
  });
});

describe('before the fleet has reported', () => {
  test('there is no list, and nothing is admitted or drained', async () => {
    await end();
    const unheard = new ObservedState(new Map(), { clock });
    const settling = new Settling({ store, observed: unheard, clock });
    const early = new Routing({ store, observed: unheard, settling, clock });
    stop = new AbortController();
    running = early.run(stop.signal);
    await clock.advance(9_900);
    expect(early.list(lbId)).toBeUndefined();
    expect(early.admissionOf(store.containers.get(web1)!)).toEqual({
      admitted: false,
      drained: false,
    });
    await clock.advance(200);
    expect(early.list(lbId)).toBeDefined();
  });
});

describe('a container is admitted and drained', () => {
  test('at once where no proxy could have it', () => {
    expect(admission()).toEqual({ admitted: true, drained: true });
  });

  test('when all proxies say so', () => {
    const [first, second] = [dial('first'), dial('second')];
    expect(admission()).toEqual({ admitted: false, drained: false });
    apply(first);
    expect(admission().admitted).toBe(false);
    apply(second);
    expect(admission()).toEqual({ admitted: true, drained: false });
    put({ wanted: 'draining' });
    for (const record of [first, second]) apply(record);
    reportDrained(first);
    expect(admission()).toEqual({ admitted: false, drained: false });
    reportDrained(second);
    expect(admission()).toEqual({ admitted: false, drained: true });
  });

  test('which is published for what the load balancer links to', () => {
    const record = dial();
    published.length = 0;
    apply(record);
    expect(new Set(published)).toEqual(new Set(['web-id', lbId]));
  });

  test('without a proxy that has been away for a minute', async () => {
    const record = dial();
    apply(record);
    put({ wanted: 'draining' });
    record.session = null;
    routing.detached(record);
    await clock.advance(59_900);
    expect(admission().drained).toBe(false);
    await clock.advance(200);
    expect(admission().drained).toBe(true);
  });

  test('without a proxy whose container does not run any more', () => {
    put({ id: containerId('lb-1-id'), serviceId: lbId, name: 'lb-1' });
    observed.report(containerId('lb-1-id'), aReport());
    const record = dial('lb-1-id', 'container');
    apply(record);
    put({ wanted: 'draining' });
    routing.detached(record);
    expect(admission().drained).toBe(false);
    observed.report(containerId('lb-1-id'), aReport({ phase: 'failed', ready: false }));
    expect(admission().drained).toBe(true);
  });

  test('not while a young load balancer has not dialled, for a quarter of a minute', async () => {
    await clock.advance(60_000);
    put({ id: containerId('lb-1-id'), serviceId: lbId, name: 'lb-1' });
    observed.report(containerId('lb-1-id'), aReport());
    expect(admission()).toEqual({ admitted: false, drained: false });
    await clock.advance(15_000);
    expect(admission()).toEqual({ admitted: true, drained: true });
  });

  test('not while its node is away and nobody has told of it', () => {
    const unseen = aContainer({ id: containerId('web-2-id'), slot: 2 });
    store.transact((tx) => {
      tx.containers.put(unseen);
    });
    expect(routing.admissionOf(unseen).drained).toBe(true);
    observed.reportNode(nodeId('node-1'), {
      ...{ state: 'unreachable', message: '' },
      ...{ warnings: [], lastSeenAtMs: 0, orphans: [] },
    });
    expect(routing.admissionOf(unseen).drained).toBe(false);
  });
});

describe('after the coordinator has restarted', () => {
  const token = (change: Partial<Token> = {}) => {
    store.transact((tx) => {
      tx.tokens.put(
        aToken({ role: 'proxy', serviceIds: [lbId], createdAtMs: tx.nowMs, ...change }),
      );
    });
  };

  async function restart(): Promise<void> {
    await clock.advance(60_000);
    await end();
    await start();
  }

  test('proxies on plain hosts are waited for, where there can be any', async () => {
    token();
    await restart();
    expect(admission()).toEqual({ admitted: true, drained: false });
    await clock.advance(60_000);
    expect(admission().drained).toBe(true);
  });

  test.each([
    ['no token', undefined],
    ['tokens of containers only', { containerId: containerId('lb-1-id') }],
    ['tokens for other services only', { serviceIds: [serviceId('other')] }],
    ['tokens for other work only', { role: 'viewer' as const }],
    ['tokens that have expired', { expiresAtMs: 1 }],
  ])('nobody is waited for with %s', async (_, change) => {
    if (change !== undefined) token(change);
    await restart();
    expect(admission().drained).toBe(true);
  });

  test('those that are known are waited for by name, and no longer than until all are back', async () => {
    const host = { serviceId: lbId, untilMs: clock.now() + 3_600_000 };
    const [first, second] = ['edge-1', 'edge-2'].map((id) => ({ ...host, id: id as ProxyId }));
    token({ hosts: [first!, second!] });
    await restart();
    apply(dial('edge-1'));
    put({ wanted: 'draining' });
    expect(admission().drained).toBe(false);
    for (const id of ['edge-1', 'edge-2']) {
      const record = dial(id);
      apply(record);
      reportDrained(record);
    }
    expect(admission().drained).toBe(true);
  });

  test.each([
    ['none has come with the token', []],
    ['its certificate has expired', [{ serviceId: lbId, untilMs: 1 }]],
    ['it served another', [{ serviceId: serviceId('other'), untilMs: Infinity }]],
  ])('nobody is waited for where %s', async (_, hosts) => {
    token({ hosts: hosts.map((host) => ({ ...host, id: 'edge-1' as ProxyId })) });
    await restart();
    expect(admission().drained).toBe(true);
  });

  test('nobody is waited for whose token was made since', async () => {
    await restart();
    await clock.advance(1_000);
    token();
    expect(admission().drained).toBe(true);
  });
});

describe('a proxy on a plain host that is away', () => {
  const edge = tokenId('edge');

  /** It has taken what there is, and its agent ends. */
  function leave(validForMs: number, place: 'host' | 'container' = 'host'): ProxyRecord {
    store.transact((tx) => {
      tx.tokens.put(aToken({ id: edge, role: 'proxy', serviceIds: [lbId], createdAtMs: tx.nowMs }));
    });
    const record = dial(place === 'host' ? 'edge-1' : 'lb-1-id', place);
    record.tokenId = edge;
    record.certificate = { authority: 'pin', untilMs: clock.now() + validForMs };
    apply(record);
    routing.detached(record);
    return record;
  }

  const revoke = () => {
    store.transact((tx) => {
      tx.tokens.delete(edge);
    });
  };
  const known = () => [...routing.proxies()].map(({ identity }) => identity.id);

  test('is waited for as long as the grace, and listed after it', async () => {
    leave(3_600_000);
    put({ wanted: 'draining' });
    await clock.advance(59_000);
    expect(admission().drained).toBe(false);
    await clock.advance(1_000);
    expect(admission().drained).toBe(true);
    await clock.advance(600_000);
    expect(known()).toEqual(['edge-1']);
  });

  test('is forgotten when its certificate has expired, not before the grace is over', async () => {
    leave(1_000);
    put({ wanted: 'draining' });
    await clock.advance(59_000);
    expect(admission().drained).toBe(false);
    await clock.advance(120_000);
    expect(known()).toEqual([]);
    expect(admission().drained).toBe(true);
  });

  test('is forgotten at once when its token is revoked', () => {
    leave(3_600_000);
    put({ wanted: 'draining' });
    expect(admission().drained).toBe(false);
    published = [];
    revoke();
    expect(known()).toEqual([]);
    expect(admission().drained).toBe(true);
    expect(published).toContain('web-id');
  });

  test('is forgotten with the end of its session if the token was revoked before', () => {
    const record = leave(3_600_000);
    open(record, () => undefined);
    revoke();
    expect(known()).toEqual(['edge-1']);
    routing.detached(record);
    expect(known()).toEqual([]);
  });

  test('is kept if it has another token since', () => {
    const record = leave(3_600_000);
    record.tokenId = tokenId('another');
    store.transact((tx) => {
      tx.tokens.put(aToken({ id: tokenId('another'), name: 'another', role: 'proxy' }));
    });
    revoke();
    expect(known()).toEqual(['edge-1']);
  });

  test('is forgotten by who says so, and is known again when it dials', () => {
    const record = leave(3_600_000);
    put({ wanted: 'draining' });
    published = [];
    routing.forgetProxy(record);
    expect(known()).toEqual([]);
    expect(admission().drained).toBe(true);
    expect(published).toContain('web-id');
    dial('edge-1');
    routing.forgetProxy(record);
    expect(known()).toEqual(['edge-1']);
  });

  test('is not the one of a container, which goes with that', async () => {
    leave(1_000, 'container');
    revoke();
    await clock.advance(180_000);
    expect(known()).toEqual(['lb-1-id']);
  });
});

describe('a link that is removed', () => {
  test('leaves what is in flight to finish, and then the list', () => {
    const record = dial();
    apply(record);
    putLb({ links: [] });
    expect(modes()).toEqual(['web-1 drain']);
    expect(admission().drained).toBe(false);
    apply(record);
    reportDrained(record, false);
    expect(modes()).toEqual(['web-1 drain']);
    reportDrained(record);
    expect(modes()).toEqual([]);
    expect(admission().drained).toBe(true);
  });

  test('is not forgotten when the container is taken away meanwhile', () => {
    const record = dial();
    apply(record);
    putLb({ links: [] });
    put({ wanted: 'draining' });
    apply(record);
    reportDrained(record, false);
    expect(admission()).toEqual({ admitted: false, drained: false });
    expect(routing.drainingAt(store.containers.get(web1)!)).toEqual({
      inFlight: 1,
      waitingFor: ['host-proxy'],
    });
  });

  test('and added again serves on', () => {
    const record = dial();
    apply(record);
    putLb({ links: [] });
    putLb({ links: [{ service: 'web', alias: 'again' }] });
    expect(modes()).toEqual(['web-1 ready']);
    apply(record);
    reportDrained(record);
    expect(modes()).toEqual(['web-1 ready']);
  });
});

test('a draining container says what is in flight, and at which proxies', () => {
  const [first, second] = [dial('first'), dial('second')];
  put({ wanted: 'draining' });
  for (const record of [first, second]) apply(record);
  reportDrained(first, false);
  reportDrained(second);
  expect(routing.drainingAt(store.containers.get(web1)!)).toEqual({
    inFlight: 1,
    waitingFor: ['first'],
  });
});

describe('the record of a proxy', () => {
  const ids = () => [...routing.proxies()].map(({ identity }) => identity.id);

  test('is the same over its sessions', () => {
    const record = dial();
    routing.detached(record);
    expect(dial()).toBe(record);
  });

  test('goes with its container', () => {
    put({ id: containerId('lb-1-id'), serviceId: lbId, name: 'lb-1' });
    const record = dial('lb-1-id', 'container');
    dial('host-proxy');
    routing.detached(record);
    expect(ids()).toEqual(['lb-1-id', 'host-proxy']);
    store.transact((tx) => {
      tx.containers.delete(containerId('lb-1-id'));
    });
    expect(ids()).toEqual(['host-proxy']);
  });
});
