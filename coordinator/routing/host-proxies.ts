import type { ProxyId, ServiceId } from '../../shared/ids.ts';
import type { HostProxy, Token } from '../model.ts';

// A coordinator that has restarted waits for proxies on plain hosts before it takes anything for drained. Which there
// are is kept with the tokens that they come with.

/** More have no certificate any more, or make an id anew at each start. */
const maxKept = 1_000;
/** Certificates are renewed all the time; what is kept may end a little early. */
const worthWritingMs = 24 * 3_600_000;

/** A token with one of its proxies, and without those whose certificate has expired; null: that is known. */
export function withHost(token: Token, host: HostProxy, nowMs: number): Token | null {
  const known = token.hosts ?? [];
  const before = known.find(({ id, serviceId }) => id === host.id && serviceId === host.serviceId);
  if (before !== undefined && isGoodEnough(before.untilMs, host.untilMs, nowMs)) return null;
  const others = known.filter(({ id, untilMs }) => id !== host.id && untilMs > nowMs);
  return { ...token, hosts: [...others, host].slice(-maxKept) };
}

function isGoodEnough(keptMs: number, untilMs: number, nowMs: number): boolean {
  return (
    keptMs === untilMs || (untilMs - keptMs < worthWritingMs && keptMs - nowMs >= worthWritingMs)
  );
}

/** A token without a proxy that is gone for good; null: it has it not. */
export function withoutHost(token: Token, id: ProxyId): Token | null {
  if (token.hosts?.some((host) => host.id === id) !== true) return null;
  return { ...token, hosts: token.hosts.filter((host) => host.id !== id) };
}

export interface Restart {
  readonly startedAtMs: number;
  readonly nowMs: number;
  /** Whether a proxy has had a session since. */
  readonly isBack: (id: ProxyId) => boolean;
}

/** Whether a proxy on a plain host may serve a load balancer with a token, and was not heard of since a restart. */
export function mayReturn(token: Token, lb: ServiceId, restart: Restart): boolean {
  const { role, containerId, serviceIds, createdAtMs, expiresAtMs, hosts } = token;
  const { startedAtMs, nowMs, isBack } = restart;
  if (role !== 'proxy' || containerId !== null || !serviceIds.includes(lb)) return false;
  if (createdAtMs >= startedAtMs || (expiresAtMs ?? Infinity) <= nowMs) return false;
  if (hosts === undefined) return true;
  return hosts.some(
    ({ id, serviceId, untilMs }) => serviceId === lb && untilMs > nowMs && !isBack(id),
  );
}
