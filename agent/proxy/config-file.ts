import type { Backend, Frontend, Structure, Target } from './backend-list.ts';
import { serverParameters, socketAddress } from './server-commands.ts';

/** Names of proxies in the file that are ours begin so; the coordinator's never do. */
export const ownPrefix = 'fairlead-';

/** What does not depend on the list. */
export interface ConfigSettings {
  /** Connections that HAProxy serves at a time. */
  readonly maxConnections: number;
  readonly adminSocketPath: string;
  /** Where the states of servers go over from a worker to the next. */
  readonly serverStatePath: string;
  /** Path of the socket by which an old worker hands requests of a port to the new one. */
  readonly handoffSocketPath: (port: number) => string;
  /** Port of the statistics page; 0: none. */
  readonly statsPort: number;
  /** `USER:PASSWORD` of the statistics page; without it only this host can open the page. */
  readonly statsAuth: string | undefined;
}

/** All that a file is made from. */
export interface ConfigInput extends Structure {
  /** Targets to be in it from the start; those that are not ready are left out. */
  readonly targets: Iterable<Target>;
  /** Goes into the file, so that a running HAProxy says which structure it has. */
  readonly description: string;
}

/**
 * Renders the whole `haproxy.cfg`: also every live server, so that HAProxy comes up right after a crash
 * or a reload with nothing to replay.
 *
 * Targets in drain are left out: a new worker has nothing of theirs in flight and gives them nothing.
 */
export function renderConfig(input: ConfigInput, settings: ConfigSettings): string {
  const targets = new Map<string, Target[]>();
  for (const target of input.targets) {
    if (target.mode !== 'ready') continue;
    const members = targets.get(target.backend);
    if (members === undefined) targets.set(target.backend, [target]);
    else members.push(target);
  }
  const known = new Set(input.backends.map(keyOf));
  return [
    globalSection(input.description, settings),
    defaultsSections,
    ...input.frontends.map((frontend) => frontendSection(frontend, known, settings)),
    ...input.backends.map((backend) => backendSection(backend, targets.get(backend.name) ?? [])),
    ...(settings.statsPort === 0 ? [] : [statsSection(settings.statsPort, settings.statsAuth)]),
  ].join('\n');
}

function globalSection(description: string, settings: ConfigSettings): string {
  return `# Written by the Fairlead proxy agent, which overwrites every change.
global
  description ${description}
  maxconn ${settings.maxConnections}
  hard-stop-after 10m
  stats socket ${settings.adminSocketPath} mode 600 level admin expose-fd listeners
  stats timeout 1h
  server-state-file ${settings.serverStatePath}
  spread-checks 5
`;
}

/**
 * A request is repeated only if that can do no harm (see the backends). `idle-close-on-response` lets a
 * client finish its kept connection after a reload; without it a reload breaks some requests.
 */
const defaultsSections = `defaults ${ownPrefix}http
  mode http
  balance roundrobin
  option redispatch 1
  option idle-close-on-response
  retries 3
  retry-on conn-failure empty-response
  timeout connect 1s
  timeout client 50s
  timeout server 50s
  timeout http-request 10s
  timeout http-keep-alive 60s
  timeout queue 10s
  timeout tunnel 1h
  timeout client-fin 5s
  timeout server-fin 5s
  timeout check 2s
  load-server-state-from-file global

defaults ${ownPrefix}tcp
  mode tcp
  balance roundrobin
  option redispatch 1
  retries 3
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  timeout queue 10s
  timeout client-fin 5s
  timeout server-fin 5s
  timeout check 2s
  load-server-state-from-file global
`;

function frontendSection(
  { name, port, protocol, defaultBackend }: Frontend,
  backends: ReadonlySet<string>,
  settings: ConfigSettings,
): string {
  const known = backends.has(keyOf({ name: defaultBackend, protocol }));
  const route = known ? [`  default_backend ${defaultBackend}`] : [];
  if (protocol === 'tcp') {
    return lines(`frontend ${name} from ${ownPrefix}tcp`, [`  bind :${port}`, ...route]);
  }
  const handoff = `${ownPrefix}handoff-${port}`;
  const socketPath = settings.handoffSocketPath(port);
  // A worker that was replaced cannot be told of changes any more ("Proxy is disabled"), but still
  // gets requests on connections that clients keep. It hands them to its successor, so that they go by
  // the list of now. When HAProxy ends for good, `stop` puts `next` in maintenance first.
  return (
    lines(`frontend ${name} from ${ownPrefix}http`, [
      `  bind :${port}`,
      `  bind unix@${socketPath} mode 600 accept-proxy`,
      '  monitor-uri /_lb_ping',
      '  http-request set-header X-Forwarded-Proto http',
      `  use_backend ${handoff} if { stopping } { srv_is_up(${handoff}/next) }`,
      ...route,
    ]) +
    '\n' +
    lines(`backend ${handoff} from ${ownPrefix}http`, [
      `  server next unix@${socketPath} send-proxy-v2`,
    ])
  );
}

/** HAProxy refuses a whole file in which a frontend sends to a backend that speaks something else. */
function keyOf({ name, protocol }: Backend): string {
  return `${protocol} ${name}`;
}

function backendSection({ name, protocol }: Backend, targets: readonly Target[]): string {
  const servers = targets.map(
    ({ id, address, port }) => `  server ${id} ${socketAddress(address, port)} ${serverParameters}`,
  );
  if (protocol === 'tcp') return lines(`backend ${name} from ${ownPrefix}tcp`, servers);
  return lines(`backend ${name} from ${ownPrefix}http`, [
    '  option forwardfor',
    '  http-request disable-l7-retry unless METH_GET or { method HEAD OPTIONS PUT DELETE }',
    ...servers,
  ]);
}

/** Nothing can be changed by the page. It has no password that everybody knows, so it is local at first. */
function statsSection(port: number, auth: string | undefined): string {
  return lines(`frontend ${ownPrefix}stats from ${ownPrefix}http`, [
    `  bind ${auth === undefined ? '127.0.0.1' : ''}:${port}`,
    '  stats enable',
    '  stats uri /',
    '  stats refresh 10s',
    ...(auth === undefined ? [] : [`  stats auth '${auth}'`]),
  ]);
}

function lines(head: string, body: readonly string[]): string {
  return [head, ...body, ''].join('\n');
}
