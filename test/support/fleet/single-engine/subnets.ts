import { readFileSync } from 'node:fs';
import { systemRandom } from '../../../../shared/random.ts';

/** Labs take theirs from 198.18.0.0/16, the other half of what is reserved for tests like these. */
const base = parseAddress('198.19.0.0');
const prefix = 28;
const size = 2 ** (32 - prefix);
const count = 2 ** (prefix - 16);

/** A network of a few addresses, of which the machine has the first. */
export interface Subnet {
  readonly range: string;
  readonly gateway: string;
}

interface Range {
  readonly first: number;
  readonly last: number;
}

/** Subnets that no route of this machine leads into, in an order of chance. */
export function freeSubnets(): Subnet[] {
  const routes = parseRoutes(readFileSync('/proc/net/route', 'utf8'));
  return shuffled(Array.from({ length: count }, (_, index) => base + index * size))
    .filter((first) => !routes.some((route) => route.first < first + size && route.last >= first))
    .map((first) => ({
      range: `${formatAddress(first)}/${prefix}`,
      gateway: formatAddress(first + 1),
    }));
}

/** Reads /proc/net/route; what leads everywhere is left out. */
function parseRoutes(text: string): Range[] {
  return text
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .map(([, destination = '', , , , , , mask = '']) => ({
      first: parseLittleEndian(destination),
      size: 2 ** 32 - parseLittleEndian(mask),
    }))
    .filter((route) => route.size < 2 ** 32)
    .map((route) => ({ first: route.first, last: route.first + route.size - 1 }));
}

/** The kernel prints addresses as the number that their bytes make on this machine. */
function parseLittleEndian(hex: string): number {
  return Buffer.from(hex, 'hex').readUInt32LE();
}

function parseAddress(address: string): number {
  return address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

function shuffled(values: readonly number[]): number[] {
  return values
    .map((value) => ({ value, order: systemRandom.fraction() }))
    .sort((a, b) => a.order - b.order)
    .map(({ value }) => value);
}
