import type {
  Backend,
  Container,
  ContainerDefinition,
  Node,
  NodeCluster,
  Observed,
  Port,
  PortBinding,
  Retirement,
  Rollout,
  Service,
  ServiceSpec,
  Target,
  Token,
  UpdatePolicy,
} from '../../coordinator/model.ts';
import type { Certificate } from '../../coordinator/tls-model.ts';
import type { ReportedContainer } from '../../coordinator/observed/observed-state.ts';
import type { ContainerView, ServiceView } from '../../coordinator/orchestrator/views.ts';
import type {
  CertificateId,
  ContainerId,
  NodeClusterId,
  NodeId,
  ServiceId,
  TokenId,
} from '../../shared/ids.ts';
import type { Balancing } from '../../shared/routing.ts';
import { someOptions } from './container-options.ts';

// Records of the coordinator with everything filled in; a test names only what it is about.

export const containerId = (id: string): ContainerId => id as ContainerId;
export const nodeId = (id: string): NodeId => id as NodeId;
export const serviceId = (id: string): ServiceId => id as ServiceId;
export const tokenId = (id: string): TokenId => id as TokenId;

export function aPort(changes: Partial<Port> = {}): Port {
  return { containerPort: 80, protocol: 'tcp', published: true, hostPort: 0, ...changes };
}

export function anUpdatePolicy(changes: Partial<UpdatePolicy> = {}): UpdatePolicy {
  return {
    order: 'default',
    parallelism: 1,
    deadlineMs: 600_000,
    settleMs: 0,
    failureBudget: 0,
    onFailure: 'roll-back',
    revisionsKept: 10,
    canary: 0,
    autoPromote: false,
    ...changes,
  };
}

/** A rollout that goes on. */
export function aRollout(changes: Partial<Rollout> = {}): Rollout {
  return { state: 'going', reason: '', failedSlots: [], sinceMs: 0, canaries: 0, ...changes };
}

/** In turn, and nothing else. */
export function aBalancing(changes: Partial<Balancing> = {}): Balancing {
  return {
    ...{ algorithm: 'round-robin', stickyCookie: '', compress: false, sendProxy: false },
    ...{ backups: [], unavailable: null, pauseMs: 0, http2Ports: [] },
    ...changes,
  };
}

export function aBackend(name: string): Backend {
  return { name, mode: 'http', balancing: aBalancing(), cookieKey: '0', readiness: null };
}

export function aSpec(changes: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    image: 'hello:1',
    replicas: 1,
    command: [],
    entrypoint: [],
    environment: {},
    labels: {},
    ports: [aPort()],
    links: [],
    tags: [],
    avoidTags: [],
    strategy: 'emptiest-node',
    restart: 'always',
    readiness: {
      check: { kind: 'tcp', port: 0 },
      intervalMs: 1_000,
      timeoutMs: 2_000,
      failureThreshold: 3,
      successThreshold: 1,
      startPeriodMs: 0,
    },
    update: anUpdatePolicy(),
    drainTimeoutMs: 30_000,
    stopGraceMs: 10_000,
    apiRole: 'none',
    container: someOptions(),
    volumes: [],
    volumesFrom: [],
    reservation: { cpuMillis: 0, memoryBytes: 0 },
    maxPerNode: 0,
    spreadOver: [],
    platforms: [],
    restartLimit: 0,
    liveness: null,
    sequential: false,
    routes: [],
    tls: { ports: [], policy: 'intermediate', clientCertificates: 'none', clientCaPem: '' },
    balancing: aBalancing(),
    forwarding: { trustedUpstreams: [], proxyProtocolPorts: [] },
    autodestroy: 'never',
    ...changes,
  };
}

export function aService(changes: Partial<Service> = {}): Service {
  const name = changes.name ?? 'web';
  return {
    id: serviceId(`${name}-id`),
    name,
    spec: aSpec(),
    revision: 1,
    version: 1,
    started: true,
    everStarted: true,
    terminating: false,
    alike: [],
    base: null,
    rollout: null,
    failures: [],
    createdAtMs: 0,
    updatedAtMs: 0,
    ...changes,
  };
}

export function aDefinition(changes: Partial<ContainerDefinition> = {}): ContainerDefinition {
  const { image, command, entrypoint, environment, labels, ports, restart, readiness } = aSpec();
  return {
    ...{ image, command, entrypoint, environment, labels, ports, restart, readiness },
    hosts: [],
    hostname: 'web-1',
    stopGraceMs: 10_000,
    restartLimit: 0,
    liveness: null,
    drainTimeoutMs: 30_000,
    options: someOptions(),
    volumes: [],
    tokenId: null,
    ...changes,
  };
}

/** Placed on node-1, wanted to run. */
export function aContainer(changes: Partial<Container> = {}): Container {
  const slot = changes.slot ?? 1;
  return {
    id: containerId(`web-${slot}-id`),
    serviceId: serviceId('web-id'),
    name: `web-${slot}`,
    slot,
    revision: 1,
    attempt: 1,
    nodeId: nodeId('node-1'),
    pinnedTo: null,
    definition: aDefinition(),
    wanted: 'running',
    retirement: null,
    held: false,
    outdated: false,
    arrived: false,
    eviction: null,
    createdAtMs: 0,
    ...changes,
  };
}

export function aRetirement(changes: Partial<Retirement> = {}): Retirement {
  return {
    reason: 'scaled-down',
    then: 'removed',
    startedAtMs: 0,
    deadlineAtMs: 30_000,
    ...changes,
  };
}

export function aBinding(changes: Partial<PortBinding> = {}): PortBinding {
  return {
    containerPort: 80,
    protocol: 'tcp',
    hostAddress: '0.0.0.0',
    hostPort: 49_153,
    published: true,
    ...changes,
  };
}

/** Running and ready. */
export function anObservation(changes: Partial<Observed> = {}): Observed {
  return {
    phase: 'running',
    ready: true,
    ports: [aBinding()],
    exitCode: null,
    message: '',
    engineId: 'engine-1',
    restarts: 0,
    awaitsDrain: false,
    startedAtMs: 1_000,
    endedAtMs: null,
    sinceMs: 0,
    ...changes,
  };
}

/** An agent's report of a container that runs and is ready. */
export function aReport(changes: Partial<ReportedContainer> = {}): ReportedContainer {
  return { ...anObservation(), ...changes };
}

export function aNode(changes: Partial<Node> = {}): Node {
  const name = changes.name ?? 'node-1';
  return {
    id: nodeId(name),
    name,
    clusterId: null,
    tags: [],
    availability: 'active',
    drain: null,
    version: 1,
    joinTokenId: tokenId('00000000000000aa'),
    joinKeyHash: '',
    description: null,
    advertiseAddress: '10.0.0.1',
    publicAddress: '203.0.113.1',
    volumes: [],
    certificate: null,
    joinedAtMs: 0,
    ...changes,
  };
}

export function aCertificate(changes: Partial<Certificate> = {}): Certificate {
  return {
    id: 'site-id' as CertificateId,
    name: 'site',
    source: 'caller',
    serviceIds: [],
    chainPem: '',
    sealedKey: '',
    facts: {
      hosts: ['www.example.com'],
      subject: 'CN=www.example.com',
      issuer: 'CN=authority',
      serialNumber: '01',
      fingerprint: 'ab'.repeat(32),
      notBeforeMs: 0,
      notAfterMs: 90 * 86_400_000,
      keyType: 'EC P-256',
      chainLength: 1,
      warnings: [],
    },
    toldDays: null,
    version: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    ...changes,
  };
}

export function aCluster(changes: Partial<NodeCluster> = {}): NodeCluster {
  return {
    id: 'edge-id' as NodeClusterId,
    name: 'edge',
    targetNodes: 2,
    tags: ['web'],
    version: 1,
    createdAtMs: 0,
    ...changes,
  };
}

export function aToken(changes: Partial<Token> = {}): Token {
  return {
    id: tokenId('00000000000000aa'),
    name: 'somebody',
    role: 'viewer',
    serviceIds: [],
    clusterIds: [],
    tags: [],
    clusterId: null,
    maxUses: 0,
    uses: 0,
    hash: '',
    containerId: null,
    createdAtMs: 0,
    expiresAtMs: null,
    ...changes,
  };
}

export function aTarget(container: string, changes: Partial<Target> = {}): Target {
  return {
    id: `${container}.1`,
    backend: 'default',
    containerId: containerId(container),
    container,
    address: '10.0.0.1',
    port: 49_153,
    mode: 'ready',
    drainTimeoutMs: 30_000,
    leaving: false,
    ...{ backup: false, http2: false, checkPort: 0, sendProxy: false },
    ...changes,
  };
}

/** A started service of one container, with everything else at its default. */
export function aServiceView(changes: Partial<ServiceView> = {}): ServiceView {
  return {
    started: true,
    terminating: false,
    revision: 1,
    alike: [],
    base: null,
    rollout: null,
    replicas: 1,
    everyNode: null,
    order: 'start-first',
    parallelism: 1,
    deadlineMs: 600_000,
    settleMs: 0,
    failureBudget: 0,
    onFailure: 'roll-back',
    autoPromote: false,
    sequential: false,
    restart: 'always',
    restartLimit: 0,
    autodestroy: 'never',
    failures: [],
    groups: [],
    ...changes,
  };
}

/** Runs and serves; its id tells its slot and revision. */
export function aContainerView(changes: Partial<ContainerView> = {}): ContainerView {
  const { slot = 1, revision = 1, attempt = 1 } = changes;
  return {
    id: containerId(`web-${slot}.r${revision}.a${attempt}`),
    name: `web-${slot}`,
    slot,
    revision,
    attempt,
    nodeId: nodeId('node-1'),
    pinnedTo: null,
    wanted: 'running',
    retirement: null,
    held: false,
    outdated: false,
    arrived: true,
    phase: 'running',
    ready: true,
    admitted: true,
    drained: false,
    exitCode: null,
    everRan: true,
    restarts: 0,
    lost: false,
    away: false,
    evicted: false,
    forced: false,
    message: '',
    createdAtMs: 0,
    sinceMs: 0,
    ...changes,
  };
}
