import type { nodeAgentFlags } from '../../agent/node/config.ts';
import type { proxyAgentFlags } from '../../agent/proxy/config.ts';
import type { Run } from '../../shared/process.ts';

/** A flag of a daemon, for help. */
export interface DaemonFlag {
  readonly placeholder: string;
  readonly description: string;
  /** May be given more than once. */
  readonly many?: boolean;
}

/** A daemon that `fairlead NOUN run` runs in this process. */
export interface Daemon {
  readonly description: string;
  /** By the names that its configuration has. */
  readonly flags: Readonly<Record<string, DaemonFlag>>;
  /** Its code is loaded only when it is the one that runs. */
  readonly load: () => Promise<Run>;
}

const logLevel: DaemonFlag = {
  placeholder: 'level',
  description: 'debug, info, warn, error or silent',
};

const coordinator: Daemon = {
  description: 'run the coordinator until SIGTERM',
  flags: {
    stateDir: {
      placeholder: 'dir',
      description: 'database and keys (/var/lib/fairlead/coordinator)',
    },
    listen: { placeholder: 'host:port', description: 'where gRPC is served (127.0.0.1:7600)' },
    httpListen: { placeholder: 'host:port', description: 'where HTTPS is served (127.0.0.1:7601)' },
    advertise: { placeholder: 'host:port', description: 'what agents and containers dial' },
    advertiseHttp: { placeholder: 'url', description: 'base URL that containers are told' },
    dnsListen: {
      placeholder: 'host:port',
      description: 'where DNS answers for the zone, over UDP and TCP (nowhere)',
    },
    dnsTtlSeconds: {
      placeholder: 'seconds',
      description: 'how long DNS answers may be kept (5)',
    },
    zone: { placeholder: 'name', description: 'DNS zone of services (fairlead.internal)' },
    nodeGraceSeconds: {
      placeholder: 'seconds',
      description: 'how long an unreachable node is waited for before it is down (8)',
    },
    certificateLifeSeconds: {
      placeholder: 'seconds',
      description: 'how long certificates are valid (2592000)',
    },
    certificatesFolder: {
      placeholder: 'dir',
      description: 'certificates for load balancers, followed (none)',
    },
    packagesDir: {
      placeholder: 'dir',
      description: 'what hosts install (packages, beside the program)',
    },
    logLevel,
  },
  load: async () => (await import('../../coordinator/entry.ts')).run,
};

const agentFlags: Readonly<Record<keyof typeof nodeAgentFlags, DaemonFlag>> = {
  coordinator: { placeholder: 'host:port', description: 'address of the coordinator' },
  token: { placeholder: 'token', description: 'join token; needed once' },
  tokenFile: { placeholder: 'file', description: 'file with the join token' },
  name: { placeholder: 'name', description: 'name of the node (the host name)' },
  tag: { placeholder: 'tag', description: 'tag to join with, repeatable', many: true },
  stateDir: { placeholder: 'dir', description: 'identity of the node (/var/lib/fairlead/agent)' },
  upgradeDir: { placeholder: 'dir', description: 'where upgrades are; set by the launcher' },
  upgradeSettleSeconds: {
    placeholder: 'seconds',
    description: 'how long a session of a new version has to stand before that version stays (10)',
  },
  dockerSocket: { placeholder: 'path', description: "the engine's socket (/var/run/docker.sock)" },
  containerdSocket: {
    placeholder: 'path',
    description: "socket of Docker's containerd, or none (found by itself, if it can be opened)",
  },
  advertiseAddress: { placeholder: 'ip', description: 'address for proxies and peers' },
  publicAddress: { placeholder: 'address', description: 'address in endpoints' },
  publishAddress: { placeholder: 'ip', description: 'where published ports bind (0.0.0.0)' },
  logLevel,
};

const agent: Daemon = {
  description: 'run the agent of this host until SIGTERM; containers live on',
  flags: agentFlags,
  load: async () => (await import('../../agent/node/main.ts')).run,
};

const proxyFlags: Readonly<Record<keyof typeof proxyAgentFlags, DaemonFlag>> = {
  coordinator: { placeholder: 'host:port', description: 'address of the coordinator' },
  token: { placeholder: 'token', description: 'token of the role proxy' },
  tokenFile: { placeholder: 'file', description: 'file with the token' },
  service: { placeholder: 'service', description: 'load balancer service whose links to serve' },
  proxyId: { placeholder: 'id', description: 'id of this proxy (made once and kept)' },
  name: { placeholder: 'name', description: 'name of this proxy (the host name)' },
  stateDir: { placeholder: 'dir', description: 'last backend list (/var/lib/fairlead/proxy)' },
  haproxy: { placeholder: 'program', description: 'name or path of HAProxy (haproxy)' },
  maxConnections: { placeholder: 'n', description: "HAProxy's limit of connections (4096)" },
  statsPort: { placeholder: 'port', description: 'port of the statistics page (1936)' },
  statsAuth: { placeholder: 'user:password', description: 'turns the page on' },
  metricsPort: { placeholder: 'port', description: 'port of metrics for Prometheus (none)' },
  metricsAddress: { placeholder: 'ip', description: 'address that they are at (127.0.0.1)' },
  accessLog: { placeholder: 'on|off', description: 'a line of JSON for every request (off)' },
  onStop: { placeholder: 'keep|stop', description: 'whether HAProxy serves on (keep)' },
  stopGraceMs: { placeholder: 'ms', description: 'time for requests in flight (9000)' },
  logLevel,
};

const proxy: Daemon = {
  description: 'run the agent of an HAProxy until SIGTERM; HAProxy serves on',
  flags: proxyFlags,
  load: async () => (await import('../../agent/proxy/main.ts')).run,
};

/** What is done to the files of a coordinator. */
export const coordinatorFiles = {
  takeBackup: async () => (await import('../../coordinator/backup/backup.ts')).takeBackup,
  restoreBackup: async () => (await import('../../coordinator/backup/restore.ts')).restoreBackup,
};

/** The daemons by the noun that runs each: the one door from the command line to their code. */
export const daemons = { coordinator, agent, proxy } as const;
