import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Call, TokenPrincipal } from '../../../../coordinator/api/call.ts';
import { EventApi } from '../../../../coordinator/api/events.ts';
import { Lookup } from '../../../../coordinator/api/lookup.ts';
import { Store } from '../../../../coordinator/store/store.ts';
import {
  ListEventsRequest,
  WatchEventsRequest,
  type ListEventsResponse,
} from '../../../../shared/gen/fairlead/v1/control_service.ts';
import type { NodeClusterId } from '../../../../shared/ids.ts';
import { aCluster, aContainer, aNode, aService, tokenId } from '../../../support/builders.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

let clock: FakeClock;
let store: Store;
let api: EventApi;
let stop: AbortController;

beforeEach(() => {
  clock = new FakeClock();
  store = new Store(':memory:', { clock });
  api = new EventApi({ store, lookup: new Lookup(store), clock });
  stop = new AbortController();
});

afterEach(() => {
  stop.abort();
  store[Symbol.dispose]();
});

function tell(...types: readonly (readonly [type: string, objectId: string] | string)[]): void {
  store.transact((tx) => {
    for (const each of types) {
      const [type, objectId] = typeof each === 'string' ? [each, 'x'] : each;
      tx.event({ type, objectId, objectName: '', actionId: '', message: '' });
    }
  });
}

/** More than are kept, so that the oldest 2,000 are gone. */
function tellTooMany(): void {
  const types = Array.from({ length: 1_000 }, () => 'node.ready');
  for (let i = 0; i < 22; i++) tell(...types);
}

function callOf(limits: Partial<TokenPrincipal> = {}): Call {
  const nobody = { scope: null, clusters: null, containerId: null, certificate: null };
  const somebody = { kind: 'token', id: tokenId('1'), name: 'somebody', role: 'viewer' } as const;
  const principal: TokenPrincipal = { ...somebody, ...nobody, ...limits };
  return { principal, peer: '', signal: stop.signal };
}

const list = (request: Partial<ListEventsRequest> = {}, call = callOf()) =>
  api.listEvents(ListEventsRequest.fromPartial(request), call);
const open = (request: Partial<WatchEventsRequest> = {}, call = callOf()) =>
  api.watchEvents(WatchEventsRequest.fromPartial(request), call);
const typesOf = ({ events }: Pick<ListEventsResponse, 'events'>) => events.map(({ type }) => type);

type Stream = ReturnType<typeof open>;

async function next(stream: Stream) {
  const { value, done } = await stream.next();
  if (done === true) throw new Error('it ended');
  return value;
}

describe('a list of events', () => {
  test('A5: is read page by page, and a watch goes on where it ended', async () => {
    tell('a.a', 'b.b', 'c.c');
    const first = list({ limit: 2 });
    expect(typesOf(first)).toEqual(['a.a', 'b.b']);
    const second = list({ limit: 2, cursor: first.cursor });
    expect(typesOf(second)).toEqual(['c.c']);
    expect(typesOf(list({ cursor: second.cursor }))).toEqual([]);
    const stream = open({ cursor: second.cursor });
    await next(stream);
    tell('d.d');
    expect(typesOf(await next(stream))).toEqual(['d.d']);
  });

  test('has a cursor although nothing matches', () => {
    tell('a.a', 'b.b');
    expect(list({ types: ['c'] })).toEqual({ events: [], cursor: '2' });
  });

  test('says so where what comes after its cursor is not kept', () => {
    tellTooMany();
    expect(() => list({ cursor: '1999' })).toThrow(/not kept any more/);
    expect(list({ cursor: '2000' }).events[0]?.cursor).toBe('2001');
    expect(list().events[0]?.cursor).toBe('2001');
    // After a backup was put back.
    expect(() => list({ cursor: '22001' })).toThrow(/not kept any more/);
  });

  test('names what is wrong with a request', () => {
    const [since, until] = [new Date(2_000), new Date(1_000)];
    expect(() => list({ since, until })).toThrow(/until must be later than since/);
    for (const ms of [9e15, -1e14, NaN]) {
      expect(() => list({ since: new Date(ms) })).toThrow(/since must be a time between/);
      expect(() => list({ until: new Date(ms) })).toThrow(/until must be a time between/);
    }
    expect(() => list({ types: ['Container.Ready'] })).toThrow(/types\[0\] must be a type/);
    expect(() => list({ cursor: 'x' })).toThrow(/cursor must be/);
    expect(() => list({ services: ['nowhere'] })).toThrow(/no service is called/);
  });
});

describe('a watch of events', () => {
  test('begins now, or with what its time says', async () => {
    tell('a.a');
    await clock.advance(1_000);
    const since = new Date(clock.now());
    tell('b.b');
    const [fromNow, fromThen] = [open(), open({ since })];
    expect(typesOf(await next(fromNow))).toEqual([]);
    await next(fromThen);
    expect(typesOf(await next(fromThen))).toEqual(['b.b']);
    tell('c.c');
    expect(typesOf(await next(fromNow))).toEqual(['c.c']);
    expect(typesOf(await next(fromThen))).toEqual(['c.c']);
  });

  test('ends at the time that it was asked for', async () => {
    const stream = open({ until: new Date(clock.now() + 5_000) });
    await next(stream);
    tell('a.a');
    expect(typesOf(await next(stream))).toEqual(['a.a']);
    const last = stream.next();
    await clock.advance(5_000);
    expect((await last).done).toBe(true);
  });

  test('says how far it is although nothing matches, so that its cursor does not grow old', async () => {
    const stream = open({ types: ['service'] });
    await next(stream);
    const message = stream.next();
    tell(...Array.from({ length: 1_000 }, () => 'node.ready'));
    expect((await message).value).toEqual({ cursor: '1000', events: [] });
  });

  test('breaks off where its reader was too slow, rather than leave something out', async () => {
    const stream = open();
    await next(stream);
    tellTooMany();
    await expect(stream.next()).rejects.toThrow(/not kept any more/);
  });
});

describe('who is limited', () => {
  const web = aService();
  const other = aService({ name: 'other' });
  const edge = aCluster().id;

  beforeEach(() => {
    store.transact((tx) => {
      tx.clusters.put(aCluster());
      tx.nodes.put(aNode({ clusterId: edge }));
      tx.services.put(web);
      tx.services.put(other);
      tx.containers.put(aContainer());
    });
    tell(
      ...[['service.created', web.id] as const, ['service.created', other.id] as const],
      ...[['container.ready', aContainer().id] as const, ['node.joined', aNode().id] as const],
      'token.created',
    );
  });

  test('sees what belongs to the services and node clusters that they reach', () => {
    const ofWeb = callOf({ scope: new Set([web.id]) });
    const ofEdge = callOf({ scope: new Set(), clusters: new Set([edge]) });
    const ofFar = callOf({ scope: new Set(), clusters: new Set(['far' as NodeClusterId]) });
    expect(typesOf(list({}, ofWeb))).toEqual(['service.created', 'container.ready']);
    expect(typesOf(list({}, ofEdge))).toEqual(['node.joined']);
    expect(typesOf(list({}, ofFar))).toEqual([]);
    expect(typesOf(list({ services: ['web'] }))).toEqual(['service.created', 'container.ready']);
    expect(typesOf(list({ objectId: aNode().id }, ofWeb))).toEqual([]);
  });

  test('is refused what they name and do not reach', () => {
    const ofWeb = callOf({ scope: new Set([web.id]) });
    expect(() => list({ services: ['other'] }, ofWeb)).toThrow(/does not reach the service other/);
    for (const objectId of [other.id, other.name]) {
      expect(() => list({ objectId }, ofWeb)).toThrow(/does not reach the service other/);
    }
  });

  test('is told no more of what goes out of reach while they watch', async () => {
    const principal = { ...callOf().principal, scope: new Set([web.id, other.id]) };
    const stream = open({}, { ...callOf(), principal });
    await next(stream);
    tell(['service.updated', other.id]);
    expect(typesOf(await next(stream))).toEqual(['service.updated']);
    principal.scope.delete(other.id);
    tell(['service.updated', other.id], ['service.scaled', web.id]);
    expect(typesOf(await next(stream))).toEqual(['service.scaled']);
  });
});
