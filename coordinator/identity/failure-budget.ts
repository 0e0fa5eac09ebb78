/** Wrong tokens that an address may send at once before it is told to wait. */
const burst = 20;
/** Time after which it may send one more. */
const refillMs = 1_000;
/** Addresses that are remembered; those that failed longest ago are forgotten first. */
const maxAddresses = 4_096;

interface Spent {
  /** Failures that have not been forgiven yet. */
  readonly failures: number;
  readonly atMs: number;
}

/**
 * Counts failures by address, each forgiven after a second, in bounded memory.
 *
 * Pure of time: every call says when it is. Of an IPv6 address the first 64 bits count, which is what one
 * customer of a provider has.
 */
export class FailureBudget {
  readonly #spent = new Map<string, Spent>();

  /** Notes a failure; how long the address is to wait, 0 if it has something left. */
  fail(address: string, nowMs: number): number {
    const key = networkOf(address);
    const before = this.#spent.get(key) ?? { failures: 0, atMs: nowMs };
    const forgiven = Math.floor((nowMs - before.atMs) / refillMs);
    const left = Math.max(0, before.failures - forgiven);
    const atMs = left === 0 ? nowMs : before.atMs + forgiven * refillMs;
    const isOver = left >= burst;
    this.#spent.delete(key);
    this.#spent.set(key, { failures: isOver ? left : left + 1, atMs });
    const [oldest] = this.#spent.keys();
    if (this.#spent.size > maxAddresses && oldest !== undefined) this.#spent.delete(oldest);
    return isOver ? atMs + refillMs - nowMs : 0;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#spent.size;
  }
}

/** What counts as one peer: an IPv4 address, or the first half of an IPv6 address. */
function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = '', tail] = address.replace(/%.*/, '').split('::', 2);
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - rest.length) }, () => '0');
  return [...groups, ...zeros, ...rest].slice(0, 4).join(':');
}
