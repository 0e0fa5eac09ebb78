import { BalanceAlgorithm, type Balancing } from '../../shared/gen/fairlead/v1/route.ts';
import type { Backend, Target } from './backend-list.ts';
import { ownPrefix } from './config-settings.ts';
import { section } from './config-words.ts';
import { pageAnswer } from './route-policies.ts';
import type { MapPath } from './route-rules.ts';
import { parametersOf, socketAddress } from './server-commands.ts';

/** What a backend is rendered with. */
export interface BackendContext {
  /** Where pages are. */
  readonly filePath: MapPath;
  /** True: routes may have timeouts of their own. */
  readonly timeouts: boolean;
}

/** A pool, with the servers that it has from the start. */
export function backendSection(
  backend: Backend,
  targets: readonly Target[],
  { filePath, timeouts }: BackendContext,
): string {
  const { name, protocol, balancing } = backend;
  const servers = targets.map(
    (target) =>
      `server ${target.id} ${socketAddress(target.address, target.port)} ${parametersOf(target, backend)}`,
  );
  if (protocol === 'tcp') {
    return section(`backend ${name} from ${ownPrefix}tcp`, [
      ...algorithmLines(balancing, protocol),
      ...servers,
    ]);
  }
  return section(`backend ${name} from ${ownPrefix}http`, [
    ...algorithmLines(balancing, protocol),
    ...(balancing === undefined ? [] : httpLines(balancing, backend, filePath)),
    'http-request disable-l7-retry unless METH_GET or { method HEAD OPTIONS PUT DELETE }',
    ...(timeouts ? timeoutLines : []),
    ...servers,
  ]);
}

/** Servers come and go at run time, which HAProxy allows with consistent hashes alone. */
function algorithmLines(balancing: Balancing | undefined, protocol: Backend['protocol']): string[] {
  switch (balancing?.algorithm) {
    case BalanceAlgorithm.LEAST_CONNECTIONS:
      return ['balance leastconn'];
    case BalanceAlgorithm.RANDOM:
      return ['balance random'];
    case BalanceAlgorithm.SOURCE:
      return ['balance source', 'hash-type consistent'];
    case BalanceAlgorithm.URI:
      return protocol === 'http' ? ['balance uri', 'hash-type consistent'] : [];
    case BalanceAlgorithm.ROUND_ROBIN:
    case BalanceAlgorithm.UNSPECIFIED:
    case undefined:
    default:
      return [];
  }
}

function httpLines(
  { stickyCookie, compress, unavailable }: Balancing,
  { cookieKey = '' }: Backend,
  filePath: MapPath,
): string[] {
  return [
    ...(stickyCookie === '' || cookieKey === ''
      ? []
      : [
          `cookie ${stickyCookie} insert indirect nocache httponly dynamic`,
          `dynamic-cookie-key ${cookieKey}`,
        ]),
    ...(compress ? ['compression algo gzip', `compression type ${compressed.join(' ')}`] : []),
    ...(unavailable === undefined
      ? []
      : [`http-error status 503 ${pageAnswer(unavailable, filePath, 'no server is available')}`]),
  ];
}

/** Types that get smaller. */
const compressed = [
  ...['text/html', 'text/plain', 'text/css', 'text/csv', 'text/xml', 'text/javascript'],
  ...['application/javascript', 'application/json', 'application/xml', 'image/svg+xml'],
];

const timeoutLines = [
  'http-request set-timeout server var(txn.response_ms) if { var(txn.response_ms) -m found }',
  'http-request set-timeout tunnel var(txn.tunnel_ms) if { var(txn.tunnel_ms) -m found }',
];
