import { httpLogLines, tcpLogLines } from './access-log.ts';
import type { Frontend } from './backend-list.ts';
import { clientCertificateRules, handoffName, tlsParameters } from './certificates/tls-bind.ts';
import { ownPrefix, type ConfigSettings } from './config-settings.ts';
import { section } from './config-words.ts';
import { matchingRules, routeRules } from './route-rules.ts';

/** A port that HAProxy listens on, and what it does with what comes in. */
export function frontendSection(
  frontend: Frontend,
  backends: ReadonlySet<string>,
  settings: ConfigSettings,
): string {
  return frontend.protocol === 'tcp'
    ? tcpFrontend(frontend, backends, settings)
    : httpFrontend(frontend, backends, settings);
}

/** HAProxy refuses a whole file in which a frontend sends to a backend that speaks something else. */
export function backendKey(name: string, protocol: Frontend['protocol']): string {
  return `${protocol} ${name}`;
}

function defaultRules(frontend: Frontend, backends: ReadonlySet<string>): string[] {
  const { defaultBackend, protocol } = frontend;
  const known = backends.has(backendKey(defaultBackend, protocol));
  return known ? [`default_backend ${defaultBackend}`] : [];
}

/** What clients connect to. */
function bindLines(frontend: Frontend, settings: ConfigSettings): string[] {
  return [`bind :${frontend.port}${tlsParameters(frontend, settings.tls)}`];
}

function tcpFrontend(
  frontend: Frontend,
  backends: ReadonlySet<string>,
  settings: ConfigSettings,
): string {
  return section(`frontend ${frontend.name} from ${ownPrefix}tcp`, [
    ...bindLines(frontend, settings),
    ...(settings.accessLog ? tcpLogLines : []),
    ...defaultRules(frontend, backends),
  ]);
}

/**
 * A worker that was replaced cannot be told of changes any more ("Proxy is disabled"), but still gets requests
 * on connections that clients keep. It hands them to its successor, so that they go by the list of now. When
 * HAProxy ends for good, `stop` puts `next` in maintenance first.
 */
function httpFrontend(
  frontend: Frontend,
  backends: ReadonlySet<string>,
  settings: ConfigSettings,
): string {
  const { name, port, routes, tls } = frontend;
  const handoff = `${ownPrefix}handoff-${port}`;
  const socketPath = settings.handoffSocketPath(port);
  const isHanded = `{ stopping } { srv_is_up(${handoff}/next) }`;
  const head = [
    ...bindLines(frontend, settings),
    `bind unix@${socketPath} mode 600 accept-proxy name ${handoffName}`,
    'monitor-uri /_lb_ping',
    ...(settings.accessLog ? httpLogLines(isHanded) : []),
    `http-request set-header X-Forwarded-Proto ${tls === undefined ? 'http' : 'https'}`,
    ...clientCertificateRules(tls),
  ];
  const rules =
    routes.length === 0
      ? [`use_backend ${handoff} if ${isHanded}`]
      : [
          `http-request set-var(txn.handed) bool(true) if ${isHanded}`,
          ...matchingRules(frontend, settings.mapPath),
          ...routeRules(routes),
          ...refusal(frontend, backends),
          `use_backend ${handoff} if { var(txn.handed) -m found }`,
          'use_backend %[var(txn.backend)] if { var(txn.backend) -m found }',
        ];
  return [
    section(`frontend ${name} from ${ownPrefix}http`, [
      ...head,
      ...rules,
      ...defaultRules(frontend, backends),
    ]),
    section(`backend ${handoff} from ${ownPrefix}http`, [
      `server next unix@${socketPath} send-proxy-v2`,
    ]),
  ].join('\n');
}

/** What no route takes, where nothing else does. */
function refusal(frontend: Frontend, backends: ReadonlySet<string>): string[] {
  if (defaultRules(frontend, backends).length > 0) return [];
  return [
    'http-request return status 404 content-type text/plain string "no route for this host and path\\n" ' +
      'if !{ var(txn.handed) -m found } !{ var(txn.backend) -m found }',
  ];
}
