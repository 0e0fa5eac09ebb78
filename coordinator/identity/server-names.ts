import { networkInterfaces } from 'node:os';
import { coordinatorName } from '../../shared/rpc/trust.ts';
import type { CoordinatorConfig } from '../config.ts';

type Addresses = Pick<CoordinatorConfig, 'listen' | 'httpListen' | 'advertise' | 'advertiseHttp'>;

/**
 * What the coordinator's certificate is for: the name that agents and clients of ours go by, and whatever
 * ordinary HTTPS tools may dial.
 */
export function serverNames({ listen, httpListen, advertise, advertiseHttp }: Addresses): string[] {
  const hosts = [listen.host, httpListen.host, advertise.host];
  if (advertiseHttp !== undefined) hosts.push(new URL(advertiseHttp).hostname);
  const names = [coordinatorName, 'localhost', '127.0.0.1', '::1', ...hosts.map(unbracketed)];
  if (hosts.some(isAnyAddress)) names.push(...ownAddresses());
  return [...new Set(names)].filter((name) => !isAnyAddress(name));
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses = []) =>
    // A link-local address means something on its own link alone.
    addresses.flatMap(({ address, scopeid }) => (scopeid ? [] : [address])),
  );
}

function isAnyAddress(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function unbracketed(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}
