import type { ContainerOptions, Volume } from '../../shared/container-options.ts';
import type { Liveness, Readiness } from '../../shared/health-check.ts';
import type { ContainerId } from '../../shared/ids.ts';

/** Where the coordinator wants a container. */
export type WantedPhase = 'running' | 'stopped' | 'removed';

/** How far a container got, as this agent sees it. Only grows, but for starting and running. */
export type Phase =
  'pulling' | 'starting' | 'running' | 'stopping' | 'stopped' | 'failed' | 'removed';

/** Result of a readiness check; `unknown` says that what was known before the agent started holds. */
export type ReadinessState = 'unknown' | 'ready' | 'not-ready';

/** What the engine does when a process ends by itself. */
export type RestartPolicy = 'never' | 'on-failure' | 'always';

export type PortProtocol = 'tcp' | 'udp';

/** A port that a container listens on. */
export interface PortSpec {
  readonly containerPort: number;
  readonly protocol: PortProtocol;
  /** Bound to the node's public side; otherwise to its advertise address alone. */
  readonly published: boolean;
  /** Port on the node; 0 lets the engine choose. */
  readonly hostPort: number;
}

/** A port of a container on its node. */
export interface PortBinding {
  readonly containerPort: number;
  readonly protocol: PortProtocol;
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly published: boolean;
}

/** A line of a hosts file. */
export interface HostEntry {
  readonly name: string;
  readonly address: string;
}

/** All that is needed to run a container; the same for its whole life. */
export interface ContainerDefinition {
  readonly name: string;
  readonly service: string;
  readonly serviceId: string;
  readonly slot: number;
  readonly revision: number;
  readonly image: string;
  readonly command: readonly string[];
  readonly entrypoint: readonly string[];
  /** Holds secrets: never logged. */
  readonly environment: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly hostname: string;
  readonly ports: readonly PortSpec[];
  readonly hosts: readonly HostEntry[];
  readonly restart: RestartPolicy;
  /** Restarts of a failing one at most; 0 is no limit. */
  readonly restartLimit: number;
  readonly readiness: Readiness;
  /** Undefined: it is never restarted while its process lives. */
  readonly liveness: Liveness | undefined;
  /** How long it may take to drain before it is restarted. */
  readonly drainTimeoutMs: number;
  readonly stopGraceMs: number;
  readonly options: ContainerOptions;
  readonly volumes: readonly Volume[];
}

/** A container with the state that the coordinator wants it in. */
export interface Assignment {
  readonly containerId: ContainerId;
  readonly wanted: WantedPhase;
  /** Absent from orders that can do without, such as to remove. */
  readonly definition: ContainerDefinition | undefined;
  /** It said that it awaits its drain, and it is drained. */
  readonly drained: boolean;
}

/** Wanted states: complete, or what changed. */
export interface AssignmentSet {
  readonly complete: boolean;
  readonly assignments: readonly Assignment[];
  /** Containers that the coordinator has no more interest in. */
  readonly forgotten: readonly ContainerId[];
}

/** One container as it is now. */
export interface ContainerStatus {
  readonly containerId: ContainerId;
  readonly name: string;
  readonly phase: Phase;
  readonly readiness: ReadinessState;
  /** Only while it runs. */
  readonly ports: readonly PortBinding[];
  /** Only once its process ended. */
  readonly exitCode: number | undefined;
  /** What went wrong, or what is waited for; empty when all is well. */
  readonly message: string;
  /** Empty before the engine created it. */
  readonly engineId: string;
  readonly restarts: number;
  /** It is restarted as soon as it is drained. */
  readonly awaitsDrain: boolean;
  readonly startedAt: Date | undefined;
  readonly endedAt: Date | undefined;
}

/** A container whose process ended with a failure, or that is given up without ever having been ready. */
export interface ContainerFailure {
  readonly containerId: ContainerId;
  /** Undefined: it still ran. */
  readonly exitCode: number | undefined;
  readonly endedAt: Date | undefined;
  /** What it wrote last, as people may see it. */
  readonly lines: readonly string[];
}

/** Whether the engine answers, and in words why not. */
export interface EngineStatus {
  readonly reachable: boolean;
  readonly message: string;
}

/** The host, as its engine and its kernel describe it. */
export interface NodeDescription {
  readonly hostname: string;
  readonly operatingSystem: string;
  readonly os: string;
  readonly architecture: string;
  readonly engineVersion: string;
  readonly engineApiVersion: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly agentVersion: string;
}
