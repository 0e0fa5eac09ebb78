import { httpLogLines, tcpLogLines } from './access-log.ts';
import { RouteKind } from '../../shared/gen/fairlead/v1/route.ts';
import type { Backend, Frontend } from './backend-list.ts';
import { clientCertificateRules, handoffName, tlsParameters } from './certificates/tls-bind.ts';
import { ownPrefix, type ConfigSettings } from './config-settings.ts';
import { section } from './config-words.ts';
import { pauseRules, wasHanded, wasHeld } from './pause-rules.ts';
import {
  addressRules,
  changeRules,
  guardRules,
  type ClientAddress,
  type GuardContext,
} from './route-policies.ts';
import { countRule } from './route-counts.ts';
import { backendsMap } from './route-maps.ts';
import { originLine } from './successor.ts';
import { backendRules, matchingRules, passthroughRules, pathRules } from './route-rules.ts';

/** A port that HAProxy listens on, and what it does with what comes in. */
export function frontendSection(
  frontend: Frontend,
  backends: readonly Backend[],
  settings: ConfigSettings,
): string {
  return frontend.protocol === 'tcp'
    ? tcpFrontend(frontend, backends, settings)
    : httpFrontend(frontend, backends, settings);
}

/** HAProxy refuses a whole file in which a frontend sends to a backend that speaks something else. */
function defaultOf(frontend: Frontend, backends: readonly Backend[]): string | undefined {
  const { defaultBackend, protocol } = frontend;
  return backends.find((each) => each.name === defaultBackend && each.protocol === protocol)?.name;
}

function defaultRules(frontend: Frontend, backends: readonly Backend[]): string[] {
  const name = defaultOf(frontend, backends);
  return name === undefined ? [] : [`default_backend ${name}`];
}

/** What clients connect to. */
function bindLines(frontend: Frontend, settings: ConfigSettings): string[] {
  const { port, acceptProxy } = frontend;
  const proxied = acceptProxy === true ? ' accept-proxy' : '';
  const parameters = `${tlsParameters(frontend, settings.tls)}${proxied}`;
  // Apart: one for both would tell containers of IPv4 clients as ::ffff:192.0.2.1.
  return [
    `bind :${port}${parameters}`,
    ...(settings.ipv6 === true ? [`bind :::${port} v6only${parameters}`] : []),
  ];
}

function tcpFrontend(
  frontend: Frontend,
  backends: readonly Backend[],
  settings: ConfigSettings,
): string {
  const { routes } = frontend;
  const [first] = routes;
  const reject = 'tcp-request content reject';
  const count = settings.routesScript === undefined ? [] : [countRule('tcp-request content')];
  const rules =
    first?.route.kind === RouteKind.TLS_PASSTHROUGH
      ? [
          ...passthroughRules(frontend, settings.mapPath),
          ...count,
          ...routes.flatMap((route) => addressRules(route, 'src', reject)),
          'tcp-request content accept if { req.ssl_hello_type 1 }',
          // What says nothing, or no whole hello, has no route whose lists of addresses could be asked.
          reject,
          `use_backend %[var(txn.route),map_str(${settings.mapPath(backendsMap)})] if { var(txn.route) -m found }`,
        ]
      : routes.flatMap((route) => {
          const lines = [...count, ...addressRules(route, 'src', reject)];
          if (lines.length === 0) return [];
          return [`tcp-request content set-var(txn.route) str(${route.id})`, ...lines];
        });
  return section(`frontend ${frontend.name} from ${ownPrefix}tcp`, [
    ...bindLines(frontend, settings),
    ...(settings.accessLog ? tcpLogLines : []),
    ...rules,
    ...defaultRules(frontend, backends),
  ]);
}

/**
 * Headers by which containers may be told of clients, also in the ways in which many of them read the same name: what
 * goes by CGI makes no difference between a dash and an underscore. Some read another path than that of the request, whose
 * route was found, from a header (CVE-2018-14773). `Proxy` is a setting to some (CVE-2016-5385).
 */
const toldByProxies =
  "'^(x[-_]forwarded([-_].*)?|x[-_]real[-_]ip|forwarded|x[-_](original|rewrite)[-_]url|proxy)$'";

/**
 * What is between two parties and nobody else. A container that hands requests on would drop what `Connection` names,
 * and by that what it is told of the client (CVE-2022-31813). A connection that becomes HTTP/2, or a tunnel, carries
 * requests whose routes nobody looks for; WebSockets in HTTP/2 come as GET.
 */
const hopRules: readonly string[] = [
  'http-request deny deny_status 405 if { method CONNECT }',
  'http-request del-header Upgrade if { req.hdr(Upgrade) -m beg -i h2c }',
  'http-request del-header Connection unless { req.fhdr(Upgrade) -m found } { req.hdr(Connection) -m str -i upgrade }',
  'http-request set-header Connection Upgrade if { req.fhdr(Connection) -m found }',
];

/**
 * What containers are told of the client. What the client itself says of that is dropped, unless it is an
 * upstream that is trusted.
 */
function forwardingRules({ trustedUpstreams = [], tls }: Frontend): string[] {
  const scheme = tls === undefined ? 'http' : 'https';
  const drop = `http-request del-header ${toldByProxies} -m reg`;
  if (trustedUpstreams.length === 0) {
    return [
      drop,
      `http-request set-header X-Forwarded-Proto ${scheme}`,
      'http-request set-header X-Forwarded-For %[src]',
    ];
  }
  const lists = [];
  for (let at = 0; at < trustedUpstreams.length; at += 40) {
    lists.push(`acl ${trusted} ${peer} -m ip ${trustedUpstreams.slice(at, at + 40).join(' ')}`);
  }
  const last = 'req.hdr(X-Forwarded-For,-1)';
  return [
    'tcp-request session set-var(sess.peer) src',
    ...lists,
    'http-request set-var(txn.client) src',
    // Of IPv6 there may be brackets around it, and a port behind them, as Azure's say it; behind IPv4 it does no harm.
    `http-request set-var(txn.client) ${last},ltrim([),field(1,]),ipmask(32,128) if ${trusted}`,
    `${drop} unless ${trusted}`,
    `http-request set-header X-Forwarded-Proto ${scheme} unless ${trusted} { req.hdr(X-Forwarded-Proto) -m found }`,
    `http-request set-header X-Forwarded-For %[src] unless ${trusted}`,
  ];
}

/** Name of the list of upstreams that are believed. */
const trusted = `${ownPrefix}trusted`;

/** Who is connected. `src` is the client of its request later on, and where HAProxy keeps that of the next one too. */
const peer = 'var(sess.peer)';

/** Who is connected; undefined: what is said of that by the PROXY protocol is of another connection. */
function peerOf({ acceptProxy, trustedUpstreams = [] }: Frontend): string | undefined {
  if (acceptProxy === true) return undefined;
  return trustedUpstreams.length === 0 ? 'src' : peer;
}

/**
 * From here on the client is who asks: to what spreads requests by it, to containers that are told by the PROXY
 * protocol, and in the log. A request that is handed on comes by here twice, and nothing is said twice.
 */
const upstreamLines: readonly string[] = [
  `http-request add-header X-Forwarded-For %[${peer}] if ${trusted} !${wasHanded}`,
  `http-request set-src var(txn.client) if ${trusted} !${wasHanded}`,
];

/** The defaults would cut a client that waits for a slow answer as one that says nothing. */
function clientTimeout({ routes }: Frontend): string[] {
  const longest = Math.max(0, ...routes.map(({ route }) => route.responseTimeoutMs));
  return longest > defaultTimeoutMs ? [`timeout client ${longest}ms`] : [];
}

const defaultTimeoutMs = 50_000;

/**
 * A stream of gRPC is as silent as both of its sides. While the client may say more, HAProxy from 3.0 on waits for it
 * alone, by a time that is the longest of all routes: such a stream has the time of its own route. Others keep theirs,
 * as how long an answer may take says nothing of a client that sends slowly.
 */
function streamTimeoutRules({ routes }: Frontend, { clientTimeouts }: ConfigSettings): string[] {
  if (clientTimeouts !== true || !routes.some(({ route }) => route.responseTimeoutMs > 0))
    return [];
  const isGrpc = `!${wasHanded} { req.fhdr(content-type) -m beg application/grpc }`;
  return [
    `http-request set-timeout client ${defaultTimeoutMs}ms if ${isGrpc} !{ var(txn.response_ms) -m found }`,
    `http-request set-timeout client var(txn.response_ms) if ${isGrpc} { var(txn.response_ms) -m found }`,
  ];
}

/**
 * A worker that was replaced cannot be told of changes any more ("Proxy is disabled"), but still gets requests
 * on connections that clients keep. It hands them to its successor, so that they go by the list of now. When
 * HAProxy ends for good, `stop` puts `next` in maintenance first.
 */
function httpFrontend(
  frontend: Frontend,
  backends: readonly Backend[],
  settings: ConfigSettings,
): string {
  const { name, port, routes, tls } = frontend;
  const handoff = `${ownPrefix}handoff-${port}`;
  const socketPath = settings.handoffSocketPath(port);
  const isHanded = `{ stopping } { srv_is_up(${handoff}/next) }`;
  const client: ClientAddress =
    (frontend.trustedUpstreams ?? []).length === 0 ? 'src' : 'var(txn.client)';
  const head = [
    ...bindLines(frontend, settings),
    `bind unix@${socketPath} mode 600 accept-proxy name ${handoffName}`,
    ...clientTimeout(frontend),
    'monitor-uri /_lb_ping',
    ...settingLines(settings, isHanded),
    ...hopRules,
    ...forwardingRules(frontend),
    ...clientCertificateRules(
      tls,
      (frontend.trustedUpstreams ?? []).length > 0 ? trusted : undefined,
    ),
  ];
  const isRouted = routes.length > 0;
  const { mapPath } = settings;
  const rules = [
    `http-request set-var(txn.handed) bool(true) if ${isHanded}`,
    ...(isRouted ? findingRules(frontend, backends, settings) : []),
    ...routes.flatMap((route) =>
      guardRules(route, client, { filePath: mapPath, https: httpsOf(frontend) }),
    ),
    ...pauseRules({
      ...{ isRouted, defaultBackend: defaultOf(frontend, backends), backends, mapPath },
      noticesGone: settings.goneScript !== undefined,
      peer: peerOf(frontend),
    }),
    // What was held may be for another worker by now, or lead elsewhere.
    `http-request set-var(txn.handed) bool(true) if ${wasHeld} ${isHanded}`,
    ...(client === 'src' ? [] : upstreamLines),
    ...(isRouted ? [`http-request unset-var(txn.route) if ${wasHanded}`] : []),
    ...(isRouted ? backendRules(backends, mapPath, wasHeld) : []),
    ...routes.flatMap(changeRules),
    ...streamTimeoutRules(frontend, settings),
    ...routes.flatMap(pathRules),
    ...(isRouted ? refusal(frontend, backends) : []),
    `use_backend ${handoff} if ${wasHanded}`,
    ...(isRouted ? ['use_backend %[var(txn.backend)] if { var(txn.backend) -m found }'] : []),
  ];
  return [
    section(`frontend ${name} from ${ownPrefix}front`, [
      ...head,
      ...rules,
      ...defaultRules(frontend, backends),
    ]),
    section(`backend ${handoff} from ${ownPrefix}http`, [
      `server next unix@${socketPath} send-proxy-v2`,
    ]),
  ].join('\n');
}

/** What all frontends have by settings of the agent. */
function settingLines({ successorScript, accessLog }: ConfigSettings, isHanded: string): string[] {
  return [
    ...(successorScript === undefined ? [] : [originLine]),
    ...(accessLog ? httpLogLines(isHanded) : []),
  ];
}

/**
 * Where clients find https, if not at its usual port. Those that name another port than they would reach this one at
 * come by a mapping that is not known here, or by an upstream that has ports of its own.
 */
function httpsOf({ https, trustedUpstreams = [] }: Frontend): GuardContext['https'] {
  if (https === undefined) return undefined;
  const { clientsPort, httpsPort } = https;
  const named = `:${clientsPort}$`;
  const pattern = clientsPort === 80 ? `${named} ^[^:]+$ ]$` : named;
  const direct = trustedUpstreams.length === 0 ? '' : ` !${trusted}`;
  return { port: httpsPort, condition: `{ req.fhdr(host) -m reg ${pattern} }${direct}` };
}

/** Finds the route of a request, and counts it there: once, and what is refused too. */
function findingRules(
  frontend: Frontend,
  backends: readonly Backend[],
  { mapPath, routesScript }: ConfigSettings,
): string[] {
  const rules = matchingRules(frontend, backends, mapPath);
  if (routesScript === undefined) return rules;
  return [...rules, countRule('http-request', ` !${wasHanded}`)];
}

/** What no route takes, where nothing else does. */
function refusal(frontend: Frontend, backends: readonly Backend[]): string[] {
  if (defaultRules(frontend, backends).length > 0) return [];
  return [
    'http-request return status 404 content-type text/plain string "no route for this host and path\\n" ' +
      `if !${wasHanded} !{ var(txn.backend) -m found }`,
  ];
}
