import type { ServiceId } from '../../shared/ids.ts';
import type { Certificate } from '../tls-model.ts';

/** Hosts that a load balancer answers for, exact or `*.` and what they end with; 'any': whatever is asked for. */
export type ServedHosts = 'any' | readonly string[];

/** A load balancer, as far as certificates go. */
export interface CertificateUser {
  readonly id: ServiceId;
  /** Of its ports for TLS. */
  readonly hosts: ServedHosts;
}

/**
 * The certificates that proxies of a load balancer are handed, the one for unknown names first: those limited
 * to it, and those limited to none that are for one of its hosts. The oldest comes first, so that a new one does
 * not take its place. One that has expired is left out where others are for all of its hosts.
 */
export function handout(
  { id, hosts }: CertificateUser,
  certificates: Iterable<Certificate>,
  nowMs: number,
): Certificate[] {
  const own = [...certificates].filter(({ serviceIds, facts }) =>
    serviceIds.length > 0 ? serviceIds.includes(id) : isServed(facts.hosts, hosts),
  );
  const valid = own.filter(({ facts }) => facts.notAfterMs > nowMs);
  const covered = new Set(valid.flatMap(({ facts }) => facts.hosts));
  return own
    .filter((each) => valid.includes(each) || each.facts.hosts.some((host) => !covered.has(host)))
    .sort((a, b) => a.createdAtMs - b.createdAtMs || (a.name < b.name ? -1 : 1));
}

function isServed(hosts: readonly string[], served: ServedHosts): boolean {
  if (served === 'any') return true;
  return hosts.some((host) => served.some((pattern) => overlap(host, pattern)));
}

/**
 * Whether some name is both of a certificate's host and of a pattern of routes. `*.` of a certificate stands for
 * one label, that of a pattern for any number.
 */
function overlap(host: string, pattern: string): boolean {
  const hostSuffix = suffixOf(host);
  const patternSuffix = suffixOf(pattern);
  if (patternSuffix === undefined) {
    return hostSuffix === undefined ? host === pattern : hostSuffix === restOf(pattern);
  }
  return `.${hostSuffix ?? restOf(host)}`.endsWith(`.${patternSuffix}`);
}

/** What follows the `*.`; undefined: it has none. */
function suffixOf(pattern: string): string | undefined {
  return pattern.startsWith('*.') ? pattern.slice(2) : undefined;
}

/** A name without its first label. */
function restOf(name: string): string {
  return name.slice(name.indexOf('.') + 1);
}
