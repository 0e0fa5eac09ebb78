import type { TlsPaths } from './certificates/tls-bind.ts';

/** Names of proxies in the file that are ours begin so. */
export const ownPrefix = 'fairlead-';

/**
 * Whether a name in the file is one of ours. Services may be called so too; but their backends have the port after a
 * dot, and no underscore, which those of ours have whose names end with that of a route.
 */
export function isOwnName(name: string): boolean {
  return name.startsWith(ownPrefix) && (!name.includes('.') || name.includes('_'));
}

/** What does not depend on the list. */
export interface ConfigSettings {
  /** Connections that HAProxy serves at a time. */
  readonly maxConnections: number;
  readonly adminSocketPath: string;
  /** Where the states of servers go over from a worker to the next. */
  readonly serverStatePath: string;
  /** Path of the socket by which an old worker hands requests of a port to the new one. */
  readonly handoffSocketPath: (port: number) => string;
  /** True: ports are opened for IPv6 too. */
  readonly ipv6?: boolean;
  /** Where a map of routes is, and a page. */
  readonly mapPath: (name: string) => string;
  /** Port of the statistics page; 0: none. */
  readonly statsPort: number;
  /** `USER:PASSWORD` of the statistics page; without it there is none. */
  readonly statsAuth: string | undefined;
  /** Port at which HAProxy gives its metrics to Prometheus; 0: none. */
  readonly metricsPort: number;
  /** The one address at which they are given. */
  readonly metricsAddress: string;
  /** Whether every request makes a line on HAProxy's standard output. */
  readonly accessLog: boolean;
  /** Port of the loopback address where the agent says when requests that are held may go on. */
  readonly pausePort: number;
  /** True: each request may have its own time for which its client may be silent. */
  readonly clientTimeouts?: boolean;
  /** Script by which HAProxy tells whether the client of a request that was held is gone; undefined: it cannot. */
  readonly goneScript?: string | undefined;
  /** Script by which HAProxy gives metrics of routes; undefined: it does not, and counts none. */
  readonly routesScript?: string | undefined;
  /** Script by which a worker that was replaced repeats requests at its successor; undefined: it repeats them itself. */
  readonly successorScript?: string | undefined;
  /** Path of the socket where it does. */
  readonly successorSocketPath?: string;
  /** Script by which HAProxy tells whether a pool has anything but backups; undefined: it cannot. */
  readonly stickyScript?: string | undefined;
  readonly tls: TlsPaths;
}
