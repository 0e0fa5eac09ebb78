import { socketAddress } from './addresses.ts';
import type { Frontend, FrontendRoute, Structure, Target } from './backend-list.ts';
import { backendSection, serverLines } from './backend-section.ts';
import { ownPrefix, type ConfigSettings } from './config-settings.ts';
import { section } from './config-words.ts';
import { frontendSection } from './frontend-section.ts';
import { holdsRequests, resolversName } from './pause-rules.ts';
import { resolverLines } from './pauses.ts';
import { countsAnswer, countsSection } from './route-counts.ts';
import { addedBytes, policySections } from './route-policies.ts';
import { successorSection } from './successor.ts';

/** All that a file is made from. */
export interface ConfigInput extends Structure {
  /** Targets to be in it from the start; those that are not ready are left out. */
  readonly targets: Iterable<Target>;
  /** Goes into the file, so that a running HAProxy says which structure it has. */
  readonly description: string;
}

/**
 * Renders the whole `haproxy.cfg`: also every live server, so that HAProxy comes up right after a crash
 * or a reload with nothing to replay. A long one comes in parts, to be gone through as often as is needed.
 *
 * Targets in drain are left out: a new worker has nothing of theirs in flight and gives them nothing.
 */
export function renderConfig(input: ConfigInput, settings: ConfigSettings): Iterable<string> {
  const targets = new Map<string, Target[]>();
  for (const target of input.targets) {
    if (target.mode !== 'ready') continue;
    const members = targets.get(target.backend);
    if (members === undefined) targets.set(target.backend, [target]);
    else members.push(target);
  }
  return { [Symbol.iterator]: () => partsOf(input, targets, settings) };
}

function* partsOf(
  { frontends, backends, description }: ConfigInput,
  targets: ReadonlyMap<string, readonly Target[]>,
  settings: ConfigSettings,
): Generator<string> {
  const timeouts = frontends.some(({ routes }) => routes.some(hasTimeouts));
  const successorSocket =
    settings.successorScript === undefined ? undefined : settings.successorSocketPath;
  yield [
    globalSection(description, settings, frontends),
    defaultsSections,
    ...(holdsRequests({ frontends })
      ? [section(`resolvers ${resolversName}`, resolverLines(settings.pausePort))]
      : []),
    ...frontends.map((frontend) => frontendSection(frontend, backends, settings)),
    ...sectionsOfRoutes(frontends),
    ...(successorSocket === undefined ? [] : [successorSection(successorSocket, timeouts)]),
  ].join('\n');
  const countsActive = settings.stickyScript !== undefined;
  const context = { filePath: settings.mapPath, timeouts, successorSocket, countsActive };
  for (const backend of backends) {
    yield `\n${backendSection(backend, context)}`;
    yield* serverLines(backend, targets.get(backend.name) ?? []);
  }
  const own = [
    ...(settings.statsPort === 0 || settings.statsAuth === undefined
      ? []
      : [statsSection(settings.statsPort, settings.statsAuth)]),
    ...(settings.metricsPort === 0 ? [] : [metricsSection(settings)]),
    ...(settings.routesScript === undefined ? [] : [countsSection()]),
  ];
  for (const each of own) yield `\n${each}`;
}

/** Routes are at more than one frontend: what they refer to is there once. */
function sectionsOfRoutes(frontends: readonly Frontend[]): string[] {
  const routes = frontends
    .filter(({ protocol }) => protocol === 'http')
    .flatMap((frontend) => frontend.routes);
  const once = new Map(routes.map((route) => [route.id, route]));
  return [...once.values()].flatMap(policySections);
}

function hasTimeouts({ route }: FrontendRoute): boolean {
  return route.responseTimeoutMs > 0 || route.tunnelTimeoutMs > 0;
}

function scriptLines(settings: ConfigSettings): string {
  const { goneScript, routesScript, successorScript, stickyScript } = settings;
  return [goneScript, routesScript, successorScript, stickyScript]
    .flatMap((path) => (path === undefined ? [] : [`  lua-load ${path}\n`]))
    .join('');
}

/** What HAProxy keeps free in a buffer for changes of headers, unless it is told otherwise. */
const usualReserve = 1_024;
/** What of that is for our own: whom a request is from, cookies. */
const ownReserve = 768;

/**
 * HAProxy reads as much of a body as its buffer holds, but for what it keeps free; what would add more to a header is
 * an error, 500. So there is as much more of both as routes add.
 */
function bufferLines(frontends: readonly Frontend[]): string {
  const added = frontends
    .flatMap(({ routes }) => routes)
    .reduce((most, route) => Math.max(most, addedBytes(route)), 0);
  const more = Math.ceil((added + ownReserve - usualReserve) / 1_024) * 1_024;
  if (more <= 0) return '';
  return `  tune.bufsize ${16_384 + more}\n  tune.maxrewrite ${usualReserve + more}\n`;
}

function globalSection(
  description: string,
  settings: ConfigSettings,
  frontends: readonly Frontend[],
): string {
  return `# Written by the Fairlead proxy agent, which overwrites every change.
global
  description ${description}
  maxconn ${settings.maxConnections}
${bufferLines(frontends)}  hard-stop-after 10m
  stats socket ${settings.adminSocketPath} mode 600 level admin expose-fd listeners
  stats timeout 1h
${scriptLines(settings)}  server-state-file ${settings.serverStatePath}
  spread-checks 5
`;
}

/**
 * A request is repeated only if that can do no harm (see the backends). `srvtcpka` has the kernel ask every second
 * whether the host of a server that is waited for is still there, and end the connection after four: the kernel of
 * that host answers, however busy its programs are. A request that is repeated then has `server-fin` for its answer,
 * so that of HTTP is as long as `server`. `idle-close-on-response` lets a client finish its kept connection after a
 * reload; without it a reload breaks some requests. `abortonclose` of frontends has it noticed that a client leaves
 * while its request is held; one that ends its side of the connection with a request that is not is served all the
 * same, as backends have no such option. Since 3.3 they would have, unless they are told.
 */
const defaultsSections = `defaults ${ownPrefix}http
  mode http
  balance roundrobin
  option redispatch 1
  option allbackups
  option srvtcpka
  srvtcpka-idle 1s
  srvtcpka-intvl 1s
  srvtcpka-cnt 3
  option idle-close-on-response
  no option abortonclose
  retries 3
  retry-on conn-failure empty-response
  timeout connect 500ms
  timeout client 50s
  timeout server 50s
  timeout http-request 10s
  timeout http-keep-alive 60s
  timeout queue 10s
  timeout tunnel 1h
  timeout client-fin 5s
  timeout server-fin 50s
  timeout check 2s
  load-server-state-from-file global

defaults ${ownPrefix}front from ${ownPrefix}http
  option abortonclose

defaults ${ownPrefix}tcp
  mode tcp
  balance roundrobin
  option redispatch 1
  option allbackups
  option srvtcpka
  srvtcpka-idle 1s
  srvtcpka-intvl 1s
  srvtcpka-cnt 3
  retries 3
  timeout connect 500ms
  timeout client 1h
  timeout server 1h
  timeout queue 10s
  timeout client-fin 5s
  timeout server-fin 5s
  timeout check 2s
  load-server-state-from-file global
`;

/** Nothing can be changed by the page. */
function statsSection(port: number, auth: string): string {
  return section(`frontend ${ownPrefix}stats from ${ownPrefix}http`, [
    `bind :${port}`,
    'stats enable',
    'stats uri /',
    'stats refresh 10s',
    `stats auth '${auth}'`,
  ]);
}

/** HAProxy's own exporter: nobody stands between a scrape and the counters. */
function metricsSection({ metricsAddress, metricsPort, routesScript }: ConfigSettings): string {
  return section(`frontend ${ownPrefix}metrics from ${ownPrefix}http`, [
    `bind ${socketAddress(metricsAddress, metricsPort)}`,
    'http-request use-service prometheus-exporter if { path /metrics }',
    ...(routesScript === undefined ? [] : [countsAnswer]),
    'http-request return status 404',
  ]);
}
