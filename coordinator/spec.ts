import type { ContainerOptions, Volume } from '../shared/container-options.ts';
import type { Liveness, Readiness } from '../shared/health-check.ts';
import type { Balancing, Forwarding, Route } from '../shared/routing.ts';
import type { TlsSettings } from './tls-model.ts';

// What a user asks of a service, without protobuf or undefined. `model.ts` hands it on.

export type Protocol = 'tcp' | 'udp';
export type Strategy = 'emptiest-node' | 'high-availability' | 'every-node';
export type RestartPolicy = 'never' | 'on-failure' | 'always';
export type ApiRole = 'none' | 'proxy' | 'viewer' | 'operator';

/** A port that the containers of a service listen on; `hostPort` 0 is dynamic. */
export interface Port {
  readonly containerPort: number;
  readonly protocol: Protocol;
  readonly published: boolean;
  readonly hostPort: number;
}

export interface Link {
  /** Name of the service that is used. */
  readonly service: string;
  readonly alias: string;
}

/** A number of containers, or a share of those wanted. */
export type Amount = number | `${number}%`;

/** What becomes of a rollout of which more containers failed than its budget allows. */
export type FailureAction = 'roll-back' | 'pause' | 'continue';

export interface UpdatePolicy {
  /** 'default': start-first, but stop-first where a port of the node is fixed. */
  readonly order: 'default' | 'start-first' | 'stop-first';
  readonly parallelism: Amount;
  readonly deadlineMs: number;
  /** How long a new container must serve before the one that it replaces goes, and the next step begins. */
  readonly settleMs: number;
  /** Slots that may fail before the rollout counts as failed. */
  readonly failureBudget: Amount;
  readonly onFailure: FailureAction;
  readonly revisionsKept: number;
  /** Containers of a new revision that are tried before it goes anywhere else; 0: none. */
  readonly canary: number;
  /** Whether canaries that have settled need nobody to promote them. */
  readonly autoPromote: boolean;
}

/** What the user asked, with the defaults filled in. */
export interface ServiceSpec {
  readonly image: string;
  /** Meaningless with the strategy every-node. */
  readonly replicas: number;
  readonly command: readonly string[];
  readonly entrypoint: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly Port[];
  readonly links: readonly Link[];
  /** A node must have all of them. */
  readonly tags: readonly string[];
  /** A node must have none of them. */
  readonly avoidTags: readonly string[];
  readonly strategy: Strategy;
  readonly restart: RestartPolicy;
  readonly readiness: Readiness;
  readonly update: UpdatePolicy;
  readonly drainTimeoutMs: number;
  readonly stopGraceMs: number;
  readonly apiRole: ApiRole;
  readonly container: ContainerOptions;
  readonly volumes: readonly Volume[];
  /** Names of services whose volumes are mounted too. */
  readonly volumesFrom: readonly string[];
  readonly reservation: Reservation;
  /** Containers of it that stay on one node; 0: any number. */
  readonly maxPerNode: number;
  /** Keys of tags over whose values its containers are spread first, most important first. */
  readonly spreadOver: readonly string[];
  /** OS/ARCHITECTURE of nodes that can have it; empty: any. */
  readonly platforms: readonly string[];
  /** Restarts of a failing container at most, with on-failure; 0: any number. */
  readonly restartLimit: number;
  /** Null: it is never restarted while its process lives. */
  readonly liveness: Liveness | null;
  /** Containers are started one after the other. */
  readonly sequential: boolean;
  /** Which requests come to it at every load balancer that links to it. */
  readonly routes: readonly Route[];
  readonly balancing: Balancing;
  readonly forwarding: Forwarding;
  /** How a load balancer speaks TLS with its clients. */
  readonly tls: TlsSettings;
  readonly autodestroy: Autodestroy;
}

/** When a service removes itself, its containers having ended. */
export type Autodestroy = 'never' | 'on-success' | 'always';

/** What a container needs free on its node. */
export interface Reservation {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
}
