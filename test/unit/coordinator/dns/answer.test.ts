import { decode, encode, type DecodedPacket, type Packet, type RecordType } from 'dns-packet';
import { expect, test } from 'vitest';
import { addressesOf, type Place } from '../../../../coordinator/dns/addresses.ts';
import {
  answer,
  answerUnread,
  maxUdpBytes,
  udpLimit,
  type Zone,
} from '../../../../coordinator/dns/answer.ts';
import type { ZoneName } from '../../../../coordinator/dns/names.ts';

const known: Readonly<Record<string, readonly string[]>> = {
  'either web': ['198.51.100.1', '198.51.100.2', '198.51.100.3'],
  'either six': ['2001:db8::1', '198.51.100.9'],
  'either empty': [],
  'service web 1f5a5e7f': ['198.51.100.1'],
  'container web-1 1f5a5e7f': ['198.51.100.2'],
  'node host-1': ['198.51.100.7'],
  'name-server': ['198.51.100.53'],
  apex: [],
  branch: [],
};

function lookup(name: ZoneName): readonly string[] | null {
  const { kind, ...rest } = name;
  return known[[kind, ...Object.values(rest)].join(' ')] ?? null;
}

const zone: Zone = { name: 'fairlead.internal', ttlSeconds: 5, lookup };

/** Over the wire's form both ways, as a client does. */
function ask(name: string, type: string, more: Packet = {}, turn = 0): DecodedPacket {
  const questions = [{ name, type: type as RecordType }];
  const bytes = encode({ type: 'query', id: 7, questions, ...more });
  const moment = { turn, serial: 1_700_000_000 };
  return decode(encode(answerUnread(bytes) ?? answer(decode(bytes), zone, moment)));
}

function dataOf({ answers }: DecodedPacket): unknown[] {
  return (answers ?? []).map((record) => ('data' in record ? record.data : undefined));
}

test.each([
  ['web.fairlead.internal', 'A', ['198.51.100.1', '198.51.100.2', '198.51.100.3']],
  ['WEB.Fairlead.INTERNAL', 'A', ['198.51.100.1', '198.51.100.2', '198.51.100.3']],
  ['six.fairlead.internal', 'AAAA', ['2001:db8::1']],
  ['six.fairlead.internal', 'A', ['198.51.100.9']],
  ['web.1f5a5e7f.svc.fairlead.internal', 'A', ['198.51.100.1']],
  ['web-1.1f5a5e7f.cont.fairlead.internal', 'A', ['198.51.100.2']],
  ['host-1.node.fairlead.internal', 'A', ['198.51.100.7']],
  ['ns.dns.fairlead.internal', 'A', ['198.51.100.53']],
  ['fairlead.internal', 'NS', ['ns.dns.fairlead.internal']],
])('%s %s is %j', (name, type, expected) => {
  const response = ask(name, type);
  expect(dataOf(response)).toEqual(expected);
  expect(response).toMatchObject({ id: 7, type: 'response', rcode: 'NOERROR', flag_aa: true });
  expect(response.flag_ra).toBe(false);
  for (const record of response.answers ?? []) expect(record).toMatchObject({ name, ttl: 5 });
});

test.each([
  ['nothing.fairlead.internal', 'A', 'NXDOMAIN'],
  ['web.00000000.svc.fairlead.internal', 'A', 'NXDOMAIN'],
  ['a.b.c.d.fairlead.internal', 'A', 'NXDOMAIN'],
  // There are names below, so a resolver that asks label by label must not be told that there is nothing.
  ['svc.fairlead.internal', 'A', 'NOERROR'],
  ['1f5a5e7f.svc.fairlead.internal', 'A', 'NOERROR'],
  ['empty.fairlead.internal', 'A', 'NOERROR'],
  ['web.fairlead.internal', 'AAAA', 'NOERROR'],
  ['web.fairlead.internal', 'UNKNOWN_65', 'NOERROR'],
  ['fairlead.internal', 'A', 'NOERROR'],
])('%s %s has no records (%s), which may be kept as long as records', (name, type, rcode) => {
  const response = ask(name, type);
  expect(response).toMatchObject({ rcode, flag_aa: true, answers: [] });
  expect(response.authorities).toMatchObject([
    { type: 'SOA', name: 'fairlead.internal', ttl: 5, data: { minimum: 5, serial: 1_700_000_000 } },
  ]);
});

test.each([
  ['example.com', { rcode: 'REFUSED' }],
  ['notfairlead.internal', { rcode: 'REFUSED' }],
  ['internal', { rcode: 'REFUSED' }],
])('%s is none of ours', (name, expected) => {
  expect(ask(name, 'A')).toMatchObject({ ...expected, flag_aa: false, answers: [] });
});

test('what is no plain question is refused by its own status', () => {
  const question = { name: 'web.fairlead.internal', type: 'A' as const };
  expect(ask('web.fairlead.internal', 'A', { questions: [] })).toMatchObject({ rcode: 'FORMERR' });
  const twice = { questions: [question, question] };
  expect(ask('', 'A', twice)).toMatchObject({ rcode: 'FORMERR' });
  const update = { rcode: 'NOTIMP', opcode: 'UPDATE' };
  expect(ask('web.fairlead.internal', 'A', { flags: 5 << 11 })).toMatchObject(update);
  const more = [{ type: 'A' as const, name: 'web.fairlead.internal', data: '192.0.2.1' }];
  for (const sections of [{ answers: more }, { authorities: more }]) {
    expect(ask('web.fairlead.internal', 'A', sections)).toMatchObject({ rcode: 'FORMERR' });
  }
  const chaos = { questions: [{ ...question, class: 'CH' as const }] };
  expect(ask('', 'A', chaos)).toMatchObject({ rcode: 'REFUSED' });
});

const edns = (udpPayloadSize: number, ednsVersion = 0): Packet => ({
  additionals: [
    {
      ...{ type: 'OPT', name: '.', udpPayloadSize, ednsVersion, extendedRcode: 0 },
      ...{ flags: 0, flag_do: false, options: [] },
    },
  ],
});

test('a client of EDNS gets EDNS, and a later version of it what is known here', () => {
  expect(ask('web.fairlead.internal', 'A', edns(4_096)).additionals).toMatchObject([
    { type: 'OPT', udpPayloadSize: maxUdpBytes, extendedRcode: 0 },
  ]);
  const later = ask('web.fairlead.internal', 'A', edns(4_096, 1));
  expect(later).toMatchObject({ answers: [], additionals: [{ type: 'OPT', extendedRcode: 1 }] });
  expect(ask('web.fairlead.internal', 'A').additionals).toEqual([]);
  const [options] = edns(4_096).additionals!;
  expect(ask('web.fairlead.internal', 'A', { additionals: [options!, options!] })).toMatchObject({
    rcode: 'FORMERR',
  });
  const secure = { ...options, flags: 0x8000, flag_do: true } as typeof options;
  expect(ask('web.fairlead.internal', 'A', { additionals: [secure!] })).toMatchObject({
    rcode: 'NOERROR',
    additionals: [{ type: 'OPT', flag_do: true }],
  });
});

test.each([
  [undefined, 512],
  [100, 512],
  [1_000, 1_000],
  [65_535, maxUdpBytes],
])('a client that takes %s bytes over UDP gets at most %s', (size, limit) => {
  const more = size === undefined ? {} : edns(size);
  expect(udpLimit(decode(encode({ type: 'query', ...more })))).toBe(limit);
});

test('each answer begins with the next address', () => {
  const firsts = [0, 1, 2, 3].map((turn) => dataOf(ask('web.fairlead.internal', 'A', {}, turn))[0]);
  expect(firsts).toEqual(['198.51.100.1', '198.51.100.2', '198.51.100.3', '198.51.100.1']);
});

const place = (address: string, isReady: boolean, isReachable = true): Place => ({
  address,
  isReady,
  isReachable,
});

test.each([
  ['each address once', [place('b', true), place('a', true), place('a', true)], ['a', 'b']],
  ['the ready alone', [place('a', false), place('b', true)], ['b']],
  ['not a node that is silent', [place('a', true, false), place('b', true)], ['b']],
  ['but that one if no other is left', [place('a', true, false), place('b', false)], ['a']],
  ['nothing if nothing is ready', [place('a', false), place('b', false)], []],
])('a name has %s', (_, places, expected) => {
  expect(addressesOf(places)).toEqual(expected);
});
