import {
  AUTHORITATIVE_ANSWER,
  DNSSEC_OK,
  RECURSION_DESIRED,
  type Answer,
  type DecodedPacket,
  type Packet,
  type Question,
} from 'dns-packet';
import { rotate } from './addresses.ts';
import { nameServer, readName, type ZoneName } from './names.ts';

/** What there is of a name; null: nothing is called so. */
export type Lookup = (name: ZoneName) => readonly string[] | null;

export interface Zone {
  /** In lower case, without a dot at the end. */
  readonly name: string;
  /** How long answers may be kept, also that there is nothing. */
  readonly ttlSeconds: number;
  readonly lookup: Lookup;
}

/** What differs from answer to answer. */
export interface Moment {
  /** Grows with the answers, so that each begins with another address. */
  readonly turn: number;
  /** Grows with time: the serial number of the zone, which has no secondaries. */
  readonly serial: number;
}

const rcodes = { NOERROR: 0, FORMERR: 1, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
type Rcode = keyof typeof rcodes;

/** Answers are never larger than what passes everywhere unfragmented (DNS flag day 2020). */
export const maxUdpBytes = 1_232;
const plainUdpBytes = 512;

/** For secondaries, which there are none of: how often they would look (RFC 1912, section 2.2). */
const refreshSeconds = 3_600;
const expireSeconds = 1_209_600;

/** Nobody asks with more. What is longer, or has more records, could take a core for a while to be read. */
const maxQueryBytes = 4_096;
const maxAdditionals = 4;

/** The answer to what need not be read, by its header alone, which is there; undefined: it is to be read. */
export function answerUnread(bytes: Buffer): Packet | undefined {
  const opcode = (bytes.readUInt16BE(2) >> 11) & 0xf;
  if (opcode !== 0) return withoutQuestion(bytes, rcodes.NOTIMP | (opcode << 11));
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) =>
    bytes.readUInt16BE(at),
  ) as [number, number, number, number];
  const isOne = questions === 1 && answers === 0 && authorities === 0;
  if (isOne && additionals <= maxAdditionals && bytes.length <= maxQueryBytes) return undefined;
  return malformed(bytes);
}

/** Answers one query. Never asks anybody else: what is not in the zone is refused. */
export function answer(query: DecodedPacket, zone: Zone, moment: Moment): Packet {
  const question = questionOf(query);
  if (typeof question === 'string') return reply(query, question);
  const name = readName(question.name.toLowerCase(), zone.name);
  if (name === null) return reply(query, 'REFUSED');
  const addresses = zone.lookup(name);
  const soa = soaOf(zone, moment);
  if (addresses === null) return reply(query, 'NXDOMAIN', { authorities: [soa] });
  const answers = recordsOf(question, name, { zone, addresses, soa, turn: moment.turn });
  return reply(query, 'NOERROR', answers.length > 0 ? { answers } : { authorities: [soa] });
}

/** The question, or why there is no answering it. */
function questionOf(query: DecodedPacket): Question | Rcode {
  const [question] = query.questions ?? [];
  const options = query.additionals?.filter(({ type }) => type === 'OPT') ?? [];
  if (question === undefined || options.length > 1) return 'FORMERR';
  if ((optionsOf(query)?.ednsVersion ?? 0) > 0) return 'BADVERS';
  return (question.class ?? 'IN') === 'IN' ? question : 'REFUSED';
}

/** What a query that cannot be read gets. */
export function malformed(bytes: Buffer): Packet {
  return withoutQuestion(bytes, rcodes.FORMERR);
}

function withoutQuestion(bytes: Buffer, flags: number): Packet {
  return { type: 'response', id: bytes.readUInt16BE(0), flags };
}

/** How large an answer over UDP may be. */
export function udpLimit(query: DecodedPacket): number {
  const wanted = optionsOf(query)?.udpPayloadSize ?? plainUdpBytes;
  return Math.min(maxUdpBytes, Math.max(plainUdpBytes, wanted));
}

interface Found {
  readonly zone: Zone;
  readonly addresses: readonly string[];
  readonly soa: Answer;
  readonly turn: number;
}

function recordsOf({ name, type }: Question, what: ZoneName, found: Found): Answer[] {
  const { zone, addresses, soa, turn } = found;
  const ttl = zone.ttlSeconds;
  if (what.kind === 'apex') {
    if (type === 'SOA') return [{ ...soa, name }];
    if (type === 'NS') return [{ type: 'NS', name, ttl, data: `${nameServer}.${zone.name}` }];
  }
  if (type !== 'A' && type !== 'AAAA') return [];
  const isSixth = (address: string) => address.includes(':');
  const own = addresses.filter((address) => isSixth(address) === (type === 'AAAA'));
  return rotate(own, turn).map((data) => ({ type, name, ttl, data }));
}

function soaOf({ name, ttlSeconds }: Zone, { serial }: Moment): Answer {
  const data = {
    mname: `${nameServer}.${name}`,
    rname: `hostmaster.${name}`,
    serial,
    refresh: refreshSeconds,
    retry: refreshSeconds,
    expire: expireSeconds,
    minimum: ttlSeconds,
  };
  return { type: 'SOA', name, ttl: ttlSeconds, data };
}

function reply(query: DecodedPacket, rcode: Rcode, sections: Partial<Packet> = {}): Packet {
  const number = rcodes[rcode];
  const options = optionsOf(query);
  const isOurs = rcode === 'NOERROR' || rcode === 'NXDOMAIN';
  const recursion = query.flag_rd ? RECURSION_DESIRED : 0;
  return {
    type: 'response',
    id: query.id ?? 0,
    flags: (number & 0xf) | (isOurs ? AUTHORITATIVE_ANSWER : 0) | recursion,
    questions: query.questions ?? [],
    ...sections,
    additionals: options === undefined ? [] : [ednsReply(number, options.flag_do)],
  };
}

/** The upper bits of a status have no place in the header (RFC 6891, section 6.1.3). */
function ednsReply(rcode: number, isSecurityAware: boolean): Answer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: maxUdpBytes,
    extendedRcode: rcode >> 4,
    ednsVersion: 0,
    // Copied, though nothing here is signed (RFC 3225, section 3).
    flags: isSecurityAware ? DNSSEC_OK : 0,
    flag_do: isSecurityAware,
    options: [],
  };
}

function optionsOf(query: DecodedPacket) {
  return query.additionals?.find((record) => record.type === 'OPT');
}
