import type { Target } from './backend-list.ts';
import type { ServerCounters } from './server-state.ts';

/**
 * Whether what is in flight on a server cannot come back: its node is not heard of, and HAProxy does not reach it
 * either. One of the two alone says nothing of requests: a server may be too busy for its checks, a node may be cut
 * off from the coordinator alone.
 */
export function hasVanished(
  target: Pick<Target, 'silent'> | undefined,
  { health, inFlight }: Pick<ServerCounters, 'health' | 'inFlight'>,
): boolean {
  return target?.silent === true && health === 'down' && inFlight > 0;
}
