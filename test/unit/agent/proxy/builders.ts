import type { ListSnapshot, Target } from '../../../../agent/proxy/backend-list.ts';
import type { KnownServer } from '../../../../agent/proxy/server-state.ts';

/** A ready target of the backend `web`. */
export function aTarget(options: Partial<Target> & Pick<Target, 'id'>): Target {
  return {
    backend: 'web',
    address: '10.0.0.1',
    port: 80,
    mode: 'ready',
    drainTimeoutMs: 10_000,
    container: options.id,
    containerId: '',
    backup: false,
    ...options,
  };
}

/** A server that fits `aTarget`. */
export function aServer(options: Partial<KnownServer> & Pick<KnownServer, 'id'>): KnownServer {
  return {
    backend: 'web',
    address: '10.0.0.1',
    port: 80,
    mode: 'ready',
    altered: false,
    numbers: undefined,
    ...options,
  };
}

/** A list with one frontend for the backend `web`. */
export function aList(options: Partial<ListSnapshot> = {}): ListSnapshot {
  return {
    epoch: 'epoch-1',
    version: 1,
    frontends: [{ name: 'http', port: 80, protocol: 'http', defaultBackend: 'web', routes: [] }],
    backends: [{ name: 'web', protocol: 'http' }],
    targets: [],
    rejected: [],
    ...options,
  };
}
