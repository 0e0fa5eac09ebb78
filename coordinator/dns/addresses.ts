/** Where one container can be reached, and whether it should be. */
export interface Place {
  /** IPv4 or IPv6; a host that was given by name has none here. */
  readonly address: string;
  readonly isReady: boolean;
  /** Its node was heard of lately. */
  readonly isReachable: boolean;
}

/**
 * The addresses of places that take requests, each once.
 *
 * A node that falls silent is left out as long as others serve: clients would wait for a host that may be
 * dead. If none is left those stay, because silence alone says nothing.
 */
export function addressesOf(places: readonly Place[]): string[] {
  const ready = places.filter(({ isReady }) => isReady);
  const reachable = ready.filter(({ isReachable }) => isReachable);
  const chosen = reachable.length > 0 ? reachable : ready;
  return [...new Set(chosen.map(({ address }) => address))].sort();
}

/** The same list, begun elsewhere each time, so that clients which take the first share the load. */
export function rotate<T>(list: readonly T[], turn: number): T[] {
  const start = list.length === 0 ? 0 : turn % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}
