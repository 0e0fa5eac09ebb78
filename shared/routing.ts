/** What a route carries: requests, connections, or connections in TLS that the containers end. */
export type RouteKind = 'http' | 'tcp' | 'tls-passthrough';

/** A header field that a request must have. */
export interface HeaderMatch {
  readonly name: string;
  readonly kind: 'exact' | 'prefix' | 'contains' | 'present';
  readonly value: string;
}

/** An answer that sends clients elsewhere. */
export interface Redirect {
  readonly to: string;
  /** False: path and query of the request follow. */
  readonly whole: boolean;
  readonly status: number;
}

/** The header Strict-Transport-Security. */
export interface StrictTransport {
  readonly maxAgeS: number;
  readonly includeSubdomains: boolean;
}

/** A change of a header; `remove` has no value. */
export interface HeaderChange {
  readonly kind: 'set' | 'add' | 'remove';
  readonly name: string;
  readonly value: string;
}

/** Who is let in, by name and the hash of a password. */
export interface BasicAuth {
  readonly realm: string;
  readonly users: readonly { readonly name: string; readonly passwordHash: string }[];
}

/** How often one client may ask. */
export interface RateLimit {
  readonly requests: number;
  readonly periodMs: number;
}

/** What a client is shown. */
export interface Page {
  readonly body: string;
  readonly contentType: string;
  readonly retryAfterS: number;
}

/** A part of the requests of a route. */
export interface Share {
  readonly service: string;
  readonly percent: number;
  /** 0: the first TCP port. */
  readonly targetPort: number;
}

/** How requests are spread over the containers of a service. */
export interface Balancing {
  readonly algorithm: 'round-robin' | 'least-connections' | 'random' | 'source' | 'uri';
  /** Empty: requests of a client go anywhere. */
  readonly stickyCookie: string;
  readonly compress: boolean;
  readonly sendProxy: boolean;
  /** Names of services that take over when no container can be reached. */
  readonly backups: readonly string[];
  readonly unavailable: Page | null;
  /** How long requests are held; 0: they are not. */
  readonly pauseMs: number;
  /** Container ports at which containers speak HTTP/2 without TLS. */
  readonly http2Ports: readonly number[];
}

/** Whom a load balancer believes. */
export interface Forwarding {
  readonly trustedUpstreams: readonly string[];
  /** Container ports at which connections begin with the PROXY protocol. */
  readonly proxyProtocolPorts: readonly number[];
}

/** Which requests a load balancer gives to a service, and how. */
export interface Route {
  /** Once a service. */
  readonly name: string;
  readonly kind: RouteKind;
  /** Container port of the load balancer; 0: every port for HTTP. */
  readonly port: number;
  /** Exact, or `*.` and what a host must end with; empty: any. */
  readonly hosts: readonly string[];
  /** Exact, or with `/*` at the end for all below; empty: any. */
  readonly paths: readonly string[];
  readonly methods: readonly string[];
  readonly headers: readonly HeaderMatch[];
  readonly priority: number;
  /** Container port that requests go to; 0: the first TCP port. */
  readonly targetPort: number;
  /** In place of what matched of the path; empty: it stays. */
  readonly replacePath: string;
  readonly redirect: Redirect | null;
  readonly forceHttps: boolean;
  readonly strictTransport: StrictTransport | null;
  readonly requestHeaders: readonly HeaderChange[];
  readonly responseHeaders: readonly HeaderChange[];
  readonly basicAuth: BasicAuth | null;
  /** Networks that are let in; empty: all. */
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly rateLimit: RateLimit | null;
  /** 0: as HAProxy's section of defaults has it. */
  readonly responseTimeoutMs: number;
  readonly tunnelTimeoutMs: number;
  readonly maintenance: Page | null;
  readonly split: readonly Share[];
  /** How long requests are held; 0: they are not. */
  readonly pauseMs: number;
}

interface Conditions {
  readonly methods: readonly string[];
  readonly headers: readonly unknown[];
}

/** How many conditions besides host and path a request must meet. */
export function conditionsOf({ methods, headers }: Conditions): number {
  return (methods.length > 0 ? 1 : 0) + headers.length;
}
