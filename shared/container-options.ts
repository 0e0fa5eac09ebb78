// How the engine runs a container: the same for who decides it and for who carries it out, so it is
// said once. proto/fairlead/v1/container_options.proto has the meaning of every field.

export type NetworkMode = 'bridge' | 'host';
export type PidMode = 'private' | 'host';

/** A device of the host. */
export interface Device {
  readonly hostPath: string;
  readonly containerPath: string;
  /** Some of r, w and m. */
  readonly permissions: string;
}

/** A limit of a process; -1 is none. */
export interface Ulimit {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

/** A line of a hosts file. */
export interface ExtraHost {
  readonly name: string;
  readonly address: string;
}

/** Where output goes; without a driver, where the engine sends it. */
export interface LogConfig {
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
}

/** What a container may use of its node; 0 and empty set no limit. */
export interface ResourceLimits {
  readonly cpuMillis: number;
  readonly cpuShares: number;
  /** Numbers of processors, like `0-2,4`. */
  readonly cpus: string;
  readonly memoryBytes: number;
  /** Memory and swap together; -1 for any amount of swap. */
  readonly memorySwapBytes: number;
  readonly shmBytes: number;
}

/** Everything about a container but its image, arguments, environment and ports; empty is the default. */
export interface ContainerOptions {
  readonly workingDir: string;
  readonly user: string;
  /** As the user wrote it, with templates. */
  readonly hostname: string;
  readonly domainname: string;
  readonly stopSignal: string;
  readonly init: boolean;
  readonly readOnly: boolean;
  readonly tty: boolean;
  readonly stdinOpen: boolean;
  readonly privileged: boolean;
  readonly groups: readonly string[];
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly securityOptions: readonly string[];
  readonly devices: readonly Device[];
  readonly ulimits: readonly Ulimit[];
  readonly network: NetworkMode;
  readonly pid: PidMode;
  readonly dnsServers: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly extraHosts: readonly ExtraHost[];
  readonly log: LogConfig;
  readonly limits: ResourceLimits;
  readonly cgroupParent: string;
  /** Lower case, with colons. */
  readonly macAddress: string;
}

/** What a container has at a path. */
export type VolumeSource =
  | { readonly kind: 'named'; readonly name: string; readonly external: boolean }
  | { readonly kind: 'bind'; readonly path: string }
  | { readonly kind: 'tmpfs'; readonly sizeBytes: number; readonly mode: number }
  /** Made with the container, and removed with it. */
  | { readonly kind: 'anonymous' };

/** Something of its node that a container has at a path. */
export interface Volume {
  readonly containerPath: string;
  readonly source: VolumeSource;
  readonly readOnly: boolean;
}
