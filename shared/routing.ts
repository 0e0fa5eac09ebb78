/** What a route carries: requests, connections, or connections in TLS that the containers end. */
export type RouteKind = 'http' | 'tcp' | 'tls-passthrough';

/** A header field that a request must have. */
export interface HeaderMatch {
  readonly name: string;
  readonly kind: 'exact' | 'prefix' | 'contains' | 'present';
  readonly value: string;
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
}

interface Conditions {
  readonly methods: readonly string[];
  readonly headers: readonly unknown[];
}

/** How many conditions besides host and path a request must meet. */
export function conditionsOf({ methods, headers }: Conditions): number {
  return (methods.length > 0 ? 1 : 0) + headers.length;
}
