// How a container is asked whether it is well: the same for who decides it and for who asks.

/** Port 0 stands for every TCP port of the definition. */
export interface TcpCheck {
  readonly kind: 'tcp';
  readonly port: number;
}

/** Port 0 stands for the first TCP port of the definition. */
export interface HttpCheck {
  readonly kind: 'http';
  readonly path: string;
  readonly port: number;
  readonly method: string;
  /** Empty: what is asked. */
  readonly host: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Empty: 200 to 399. */
  readonly statuses: readonly number[];
}

/** A command that runs in the container. */
export interface CommandCheck {
  readonly kind: 'command';
  readonly command: readonly string[];
}

/** Port 0 stands for the first TCP port of the definition. */
export interface GrpcCheck {
  readonly kind: 'grpc';
  readonly port: number;
  readonly service: string;
}

export type HealthCheck = TcpCheck | HttpCheck | CommandCheck | GrpcCheck;

interface CheckTimes {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Checks in a row that turn it to the worse, and to the better. */
  readonly failureThreshold: number;
  readonly successThreshold: number;
  /** From the start of the process. */
  readonly startPeriodMs: number;
}

/** When a running container may take traffic. */
export interface Readiness extends CheckTimes {
  readonly check: HealthCheck | { readonly kind: 'none' };
}

/** When a running container is restarted. */
export interface Liveness extends CheckTimes {
  readonly check: HealthCheck;
}
