import type { ContainerOptions, Volume } from '../shared/container-options.ts';
import type { Liveness, Readiness } from '../shared/health-check.ts';
import type { Balancing, Route } from '../shared/routing.ts';
import type { FrontendTls } from './tls-model.ts';
import type {
  ActionId,
  ContainerId,
  NodeClusterId,
  NodeId,
  ProxyId,
  ServiceId,
  TokenId,
} from '../shared/ids.ts';
import type { Port, Protocol, RestartPolicy, ServiceSpec } from './spec.ts';

// What the core knows, without protobuf, SQL or undefined. `api/convert.ts` is the only translator.

export type {
  Amount,
  ApiRole,
  Autodestroy,
  FailureAction,
  Link,
  Port,
  Protocol,
  Reservation,
  RestartPolicy,
  ServiceSpec,
  Strategy,
  UpdatePolicy,
} from './spec.ts';

export type Role = 'viewer' | 'operator' | 'admin' | 'node' | 'proxy';

/** A revision, and those before it that have the same definition: containers of all of them are as good. */
export interface RevisionSet {
  readonly revision: number;
  readonly alike: readonly number[];
}

/**
 * Where a rollout stands. It goes on by itself in 'going' and 'rolling-back' alone; the others wait for the
 * user, and what runs stays.
 */
export type RolloutState =
  | 'going'
  /** By the user; what has begun goes on. */
  | 'paused'
  /** More failed than its budget allows. */
  | 'failed'
  | 'rolling-back'
  /** All containers are of the revision before again. */
  | 'rolled-back'
  /** Neither forward nor back. */
  | 'rollback-failed';

/** Bringing a revision to all slots, until that is done. */
export interface Rollout {
  readonly state: RolloutState;
  /** Why it does not go on, or what failed last. */
  readonly reason: string;
  /** Slots whose new container was given up. */
  readonly failedSlots: readonly number[];
  /** When it came to this state: deadlines count from then at the earliest. */
  readonly sinceMs: number;
  /** How many containers try the revision until it is promoted; above 0 only while it is going or paused. */
  readonly canaries: number;
}

/** A definition that a service had, as it last was. */
export interface KeptRevision {
  readonly revision: number;
  readonly spec: ServiceSpec;
  readonly createdAtMs: number;
  /** Name of the token that asked for it; empty from a version that did not keep that. */
  readonly principal: string;
  /** The RPC that made it. */
  readonly method: string;
}

/** How often a revision failed on a node since it last served there. */
export interface NodeFailures {
  readonly nodeId: NodeId;
  readonly revision: number;
  readonly count: number;
  readonly lastAtMs: number;
}

export interface Service {
  readonly id: ServiceId;
  readonly name: string;
  readonly spec: ServiceSpec;
  /** Numbered definition that new containers are made from. */
  readonly revision: number;
  /** Earlier revisions whose containers need not be replaced: their definition is the same. */
  readonly alike: readonly number[];
  /** What was rolled out to the end last: what a failed rollout goes back to. Null: nothing yet. */
  readonly base: RevisionSet | null;
  /** Changes on every write of this record. */
  readonly version: number;
  /** Its containers should run. */
  readonly started: boolean;
  /** It was started at least once: 'stopped' rather than 'not running'. */
  readonly everStarted: boolean;
  readonly terminating: boolean;
  /** Null: the current revision is everywhere. */
  readonly rollout: Rollout | null;
  /** Where its containers failed lately; what is long ago may still be among it. */
  readonly failures: readonly NodeFailures[];
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** Where the coordinator wants a container; only grows. */
export type Wanted = 'running' | 'draining' | 'stopped' | 'removed';

export type RetireReason =
  | 'scaled-down'
  | 'replaced'
  | 'duplicate'
  | 'stopped'
  | 'terminated'
  | 'failed'
  | 'superseded'
  | 'rolled-back'
  | 'lost'
  | 'moved'
  | 'not-eligible';

/** Taking a container out of the load balancers, and what becomes of it then. */
export interface Retirement {
  readonly reason: RetireReason;
  readonly then: 'stopped' | 'removed';
  readonly startedAtMs: number;
  /** When it is stopped although something is still in flight. */
  readonly deadlineAtMs: number;
}

/** A line of a container's hosts file. */
export interface HostEntry {
  readonly name: string;
  readonly address: string;
}

/** All that an agent needs to run a container; frozen when the container is placed. */
export interface ContainerDefinition {
  readonly image: string;
  readonly command: readonly string[];
  readonly entrypoint: readonly string[];
  /** Of links and of the user: who the container is, and FAIRLEAD_AUTH, is derived anew each time. */
  readonly environment: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** With its templates filled in; empty: the container's name. */
  readonly hostname: string;
  /** As the node has them: those of a container in the node's network are fixed. */
  readonly ports: readonly Port[];
  readonly hosts: readonly HostEntry[];
  readonly restart: RestartPolicy;
  readonly restartLimit: number;
  readonly readiness: Readiness;
  readonly liveness: Liveness | null;
  readonly drainTimeoutMs: number;
  readonly stopGraceMs: number;
  readonly options: ContainerOptions;
  /** With their names filled in, and those of other services among them. */
  readonly volumes: readonly Volume[];
  /** The token that FAIRLEAD_AUTH holds; null without an API role. */
  readonly tokenId: TokenId | null;
}

/** Our record of one attempt to fill one slot: the desired part. */
export interface Container {
  readonly id: ContainerId;
  readonly serviceId: ServiceId;
  /** SERVICE-SLOT. */
  readonly name: string;
  readonly slot: number;
  readonly revision: number;
  /** From 1; one more than that of the failed container whose place it takes. */
  readonly attempt: number;
  /** Null until it is placed. */
  readonly nodeId: NodeId | null;
  /** The only node that it may be placed on, for every-node services. */
  readonly pinnedTo: NodeId | null;
  readonly definition: ContainerDefinition | null;
  readonly wanted: Wanted;
  readonly retirement: Retirement | null;
  /** The user stopped it: its slot stays empty until it is started. */
  readonly held: boolean;
  /** To be replaced although its revision is current. */
  readonly outdated: boolean;
  /** It was ready, and admitted by every proxy, at some time. */
  readonly arrived: boolean;
  /** It is to go to another node; null: it may stay. */
  readonly eviction: Eviction | null;
  readonly createdAtMs: number;
}

/** Why a container is to leave its node. */
export interface Eviction {
  /** The node that is emptied, or the action that moves it. */
  readonly by: NodeId | ActionId;
  /** It goes although nothing has taken its place. */
  readonly forced: boolean;
}

export type ObservedPhase =
  'pulling' | 'starting' | 'running' | 'stopping' | 'stopped' | 'failed' | 'removed';

export interface PortBinding {
  readonly containerPort: number;
  readonly protocol: Protocol;
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly published: boolean;
}

/** One container as its agent last saw it. */
export interface Observed {
  readonly phase: ObservedPhase;
  readonly ready: boolean;
  readonly ports: readonly PortBinding[];
  readonly exitCode: number | null;
  readonly message: string;
  readonly engineId: string;
  readonly restarts: number;
  /** Its agent restarts it as soon as it is drained. */
  readonly awaitsDrain: boolean;
  readonly startedAtMs: number | null;
  readonly endedAtMs: number | null;
  /**
   * When the coordinator heard of this phase and readiness, by its own clock: agents' clocks are never
   * compared.
   */
  readonly sinceMs: number;
}

/** A container whose process ended with a failure, or that was given up without ever having been ready. */
export interface ContainerFailure {
  /** Null: it still ran. */
  readonly exitCode: number | null;
  readonly endedAtMs: number | null;
  /** What it wrote last, with no value of its environment. */
  readonly lines: readonly string[];
}

export type Availability = 'active' | 'paused' | 'draining';

export interface NodeDescription {
  readonly hostname: string;
  readonly operatingSystem: string;
  /** Docker's word for its kind: linux. Empty from an agent that does not tell. */
  readonly os: string;
  readonly architecture: string;
  readonly engineVersion: string;
  readonly engineApiVersion: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly agentVersion: string;
}

/** What is known of the certificate that an agent showed last. */
export interface ShownCertificate {
  /** The pin of the authority that signed it. */
  readonly authority: string;
  readonly untilMs: number;
  /** SHA-256 of it, as `XX:XX:…`; left out where it was not looked at. */
  readonly fingerprint?: string;
}

/** How a node is emptied. */
export interface DrainPolicy {
  /** Containers that move at the same time; 0: as many as their services let. */
  readonly parallelism: number;
  /** Null: whenever it is. */
  readonly deadlineAtMs: number | null;
  /** At the deadline, or now if there is none, what is left goes without a successor. */
  readonly force: boolean;
  readonly sinceMs: number;
}

/** A host with an agent: the desired part, and what its last hello said. */
export interface Node {
  readonly id: NodeId;
  readonly name: string;
  /** Null: it is in none. */
  readonly clusterId: NodeClusterId | null;
  /** Its own; scheduler/node-tags.ts has all that it has. */
  readonly tags: readonly string[];
  readonly availability: Availability;
  /** How it is emptied; null unless its availability is 'draining'. */
  readonly drain: DrainPolicy | null;
  readonly version: number;
  /** The token that it joined with, and the SHA-256 of the key: the same two again are the same node. */
  readonly joinTokenId: TokenId;
  readonly joinKeyHash: string;
  /** Null until its agent has connected once. */
  readonly description: NodeDescription | null;
  readonly advertiseAddress: string;
  readonly publicAddress: string;
  /** Named volumes of its engine, sorted, as its agent last told. */
  readonly volumes: readonly string[];
  /** The one that its session was opened with, or that it was given to join; null: not known. */
  readonly certificate: ShownCertificate | null;
  readonly joinedAtMs: number;
}

/** Hosts that belong together. */
export interface NodeCluster {
  readonly id: NodeClusterId;
  readonly name: string;
  /** Hosts that it is to have; 0: it waits for none. */
  readonly targetNodes: number;
  /** Tags of every member, present and future. */
  readonly tags: readonly string[];
  readonly version: number;
  readonly createdAtMs: number;
}

export type NodeState = 'unknown' | 'joining' | 'ready' | 'engine-away' | 'unreachable' | 'down';

/** What the coordinator hears of a node. */
export interface NodeObservation {
  readonly state: NodeState;
  /** Why it is not ready, in words. */
  readonly message: string;
  /** What is odd about it although it works, in words. */
  readonly warnings: readonly string[];
  readonly lastSeenAtMs: number | null;
  readonly orphans: readonly Orphan[];
}

/** An engine container that carries a node's labels although nobody here knows it. */
export interface Orphan {
  readonly containerId: ContainerId;
  /** From its label: SERVICE-SLOT. */
  readonly name: string;
  readonly phase: ObservedPhase;
  readonly engineId: string;
}

/** A proxy on a plain host that had a session, and may come back. */
export interface HostProxy {
  readonly id: ProxyId;
  readonly serviceId: ServiceId;
  /** The end of the certificate that it showed. */
  readonly untilMs: number;
}

export interface Token {
  readonly id: TokenId;
  readonly name: string;
  readonly role: Role;
  /** Empty: all services; none if it is limited to clusters. */
  readonly serviceIds: readonly ServiceId[];
  /** Node clusters that it is limited to; empty: all. */
  readonly clusterIds: readonly NodeClusterId[];
  /** For the role node: tags that it may give; empty: any. */
  readonly tags: readonly string[];
  /** For the role node: the cluster that a host joins with it; null: none. */
  readonly clusterId: NodeClusterId | null;
  /** For the role node: how many hosts may join with it; 0: any number. */
  readonly maxUses: number;
  /** How many hosts have joined with it. */
  readonly uses: number;
  /** SHA-256 of the secret, hexadecimal. */
  readonly hash: string;
  /** The container that it was made for; it is revoked with it. */
  readonly containerId: ContainerId | null;
  /** For the role proxy: who on plain hosts had a session with it; left out: nobody knows. */
  readonly hosts?: readonly HostProxy[];
  readonly createdAtMs: number;
  readonly expiresAtMs: number | null;
}

export type ActionState = 'in-progress' | 'succeeded' | 'failed' | 'superseded' | 'cancelled';

/** What was wanted of a service before an action. */
export type ServiceBefore = Pick<
  Service,
  'spec' | 'started' | 'revision' | 'alike' | 'base' | 'rollout'
>;
export type TargetKind =
  | 'service'
  | 'container'
  | 'node'
  | 'node-cluster'
  | 'token'
  | 'proxy'
  | 'certificate'
  | 'authority'
  | 'fleet';

/** Where a node stands in a roll: waiting → told → upgraded or failed; same and left need nothing, or can't. */
export type RollMemberState = 'waiting' | 'told' | 'upgraded' | 'same' | 'failed' | 'left';

export interface RollMember {
  readonly nodeId: NodeId;
  readonly name: string;
  readonly state: RollMemberState;
  /** 0 until it is told. */
  readonly toldAtMs: number;
  /** What happened, in words. */
  readonly message: string;
}

/** An upgrade of the agents of nodes, under way or over. */
export interface Roll {
  readonly version: string;
  /** How many at a time once the first has come back. */
  readonly parallelism: number;
  /** In the order in which they are upgraded. */
  readonly members: readonly RollMember[];
}

/** waiting → moving → moved; stuck is tried again, removed has no successor, kept stays for good. */
export type MoveState = 'waiting' | 'moving' | 'moved' | 'stuck' | 'removed' | 'kept';

/** One container that is moved to another node. */
export interface Move {
  readonly containerId: ContainerId;
  readonly container: string;
  readonly slot: number;
  readonly serviceId: ServiceId;
  readonly service: string;
  readonly from: string;
  /** Node of its successor; empty while it has none. */
  readonly to: string;
  readonly state: MoveState;
  /** What it waits for, or why it does not move. */
  readonly message: string;
  /** Why each node refuses it, where all do. */
  readonly reasons: readonly PlacementReason[];
  /** Not tried again before. */
  readonly retryAtMs: number;
}

/** What an action moves, and how far it is. */
export interface Moves {
  readonly kind: 'drain' | 'rebalance';
  /** How many at the same time; 0: as many as their services let. */
  readonly parallelism: number;
  readonly members: readonly Move[];
}

export interface TimelineEntry {
  readonly timeMs: number;
  readonly container: string;
  readonly message: string;
  /** What a container that failed wrote last. */
  readonly lines?: readonly string[];
}

export interface Action {
  readonly id: ActionId;
  readonly method: string;
  readonly targetKind: TargetKind;
  readonly targetId: string;
  readonly targetName: string;
  /** The service whose convergence ends it; null for actions that are done at once. */
  readonly serviceId: ServiceId | null;
  /** What was wanted of its service before, until it ends; null if there was none. */
  readonly before: ServiceBefore | null;
  /** What it has to roll over the fleet; null for every other action. */
  readonly roll: Roll | null;
  /** The containers that it moves from node to node; null for every other action. */
  readonly moves: Moves | null;
  readonly state: ActionState;
  readonly message: string;
  readonly principal: string;
  readonly peer: string;
  readonly requestId: string;
  readonly timeline: readonly TimelineEntry[];
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
}

export interface Event {
  readonly cursor: number;
  readonly timeMs: number;
  readonly type: string;
  readonly objectId: string;
  readonly objectName: string;
  readonly actionId: string;
  readonly message: string;
}

/** Why a node was not chosen. */
export type PlacementFilter =
  | 'TAG_MISSING'
  | 'TAG_AVOIDED'
  | 'PLATFORM_MISMATCH'
  | 'VOLUME_ELSEWHERE'
  | 'VOLUME_MISSING'
  | 'NOT_READY'
  | 'NOT_ACTIVE'
  | 'PORT_TAKEN'
  | 'MAX_PER_NODE'
  | 'NOT_ENOUGH_CPU'
  | 'NOT_ENOUGH_MEMORY'
  | 'FAILING_HERE'
  | 'ORPHAN_RUNS'
  | 'PINNED_ELSEWHERE';

export interface PlacementReason {
  readonly nodeId: NodeId;
  readonly node: string;
  readonly filter: PlacementFilter;
  readonly reason: string;
}

/** What a proxy listens on, what it sends there, and where. */
export interface Frontend {
  readonly name: string;
  readonly port: number;
  readonly mode: 'http' | 'tcp';
  readonly defaultBackend: string;
  /** Null: it speaks without TLS. */
  readonly tls: FrontendTls | null;
  /** The first that matches counts. */
  readonly routes: readonly PlacedRoute[];
  /** Connections begin with the PROXY protocol. */
  readonly acceptProxy: boolean;
  /** Networks whose X-Forwarded-… headers are kept. */
  readonly trustedUpstreams: readonly string[];
  /** Where clients reach https, and where they reach this one, if the former is not the usual port; else 0. */
  readonly httpsPort: number;
  readonly clientsPort: number;
}

/** A route of a service at one load balancer. */
export interface PlacedRoute {
  /** SERVICE.ROUTE. */
  readonly id: string;
  readonly route: Route;
  /** Name of the backend that its requests go to, but for those of `split`. */
  readonly backend: string;
  readonly split: readonly { readonly backend: string; readonly percent: number }[];
}

export interface Backend {
  readonly name: string;
  readonly mode: 'http' | 'tcp';
  readonly balancing: Balancing;
  /** What sticky cookies are made with: clients must not guess it. */
  readonly cookieKey: string;
  /** The HTTP check that all of its containers are ready by; null: proxies ask whether ports accept connections. */
  readonly readiness: Readiness | null;
}

export interface Target {
  readonly id: string;
  readonly backend: string;
  readonly containerId: ContainerId;
  readonly container: string;
  readonly address: string;
  readonly port: number;
  readonly mode: 'ready' | 'drain';
  readonly drainTimeoutMs: number;
  /** Its container is sent requests elsewhere, or is not linked any more; it goes when it has drained. */
  readonly leaving: boolean;
  /** It takes requests only while no other of its backend can be reached. */
  readonly backup: boolean;
  /** It speaks HTTP/2 without TLS. */
  readonly http2: boolean;
  /** Where its container is asked whether it is ready; 0: it is not asked by HTTP. */
  readonly checkPort: number;
  /** Connections to it begin with the PROXY protocol. */
  readonly sendProxy: boolean;
}
