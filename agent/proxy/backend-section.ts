import { BalanceAlgorithm, type Balancing } from '../../shared/gen/fairlead/v1/route.ts';
import { socketAddress } from './addresses.ts';
import type { Backend, Target } from './backend-list.ts';
import { ownPrefix } from './config-settings.ts';
import { section } from './config-words.ts';
import { checkLines } from './health-checks.ts';
import { pageAnswer } from './route-policies.ts';
import type { MapPath } from './route-rules.ts';
import { parametersOf } from './server-commands.ts';
import { successorLine, successorName } from './successor.ts';
import { backupRules, slotsMap, slotValueRules, stickyOf, type Sticky } from './slots.ts';

/** What a backend is rendered with. */
export interface BackendContext {
  /** Where pages are. */
  readonly filePath: MapPath;
  /** True: routes may have timeouts of their own. */
  readonly timeouts: boolean;
  /** Where requests are repeated after a reload; undefined: at the servers of before. */
  readonly successorSocket?: string | undefined;
  /** HAProxy has `stickyScript`. */
  readonly countsActive: boolean;
}

/** A pool; the servers that it has from the start come after it. */
export function backendSection(backend: Backend, context: BackendContext): string {
  const { timeouts, successorSocket } = context;
  const { name, protocol, balancing } = backend;
  if (protocol === 'tcp') {
    return section(`backend ${name} from ${ownPrefix}tcp`, [
      ...algorithmLines(balancing, protocol),
      ...checkLines(backend.readiness),
    ]);
  }
  return section(`backend ${name} from ${ownPrefix}http`, [
    ...algorithmLines(balancing, protocol),
    ...(balancing === undefined ? [] : httpLines(balancing, backend, context)),
    'http-request disable-l7-retry unless METH_GET !{ req.fhdr(Upgrade) -m found } or { method HEAD OPTIONS PUT DELETE }',
    ...(timeouts ? timeoutLines : []),
    ...checkLines(backend.readiness),
    ...(successorSocket === undefined ? [] : [successorLine(successorSocket)]),
  ]);
}

/** So many servers are one part of the text. */
const serversAtOnce = 256;

/** The servers that a pool has from the start, some at a time. */
export function* serverLines(backend: Backend, targets: readonly Target[]): Generator<string> {
  for (let from = 0; from < targets.length; from += serversAtOnce) {
    const lines = targets
      .slice(from, from + serversAtOnce)
      .map(
        (target) =>
          `  server ${target.id} ${socketAddress(target.address, target.port)} ${parametersOf(target, backend)}\n`,
      );
    yield lines.join('');
  }
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
  { compress, unavailable }: Balancing,
  backend: Backend,
  context: BackendContext,
): string[] {
  const { filePath } = context;
  const sticky = stickyOf(backend);
  return [
    ...(sticky === undefined ? [] : stickyLines(backend, sticky, context)),
    ...(compress ? ['compression algo gzip', `compression type ${compressed.join(' ')}`] : []),
    ...(unavailable === undefined
      ? []
      : [`http-error status 503 ${pageAnswer(unavailable, filePath, 'no server is available')}`]),
  ];
}

/**
 * Keeps clients at a slot by a cookie that stands for it, whichever container has it now. HAProxy's own cookies
 * stand for a server, and those that it makes for servers which come at run time for their address.
 */
function stickyLines(
  { name }: Backend,
  sticky: Sticky,
  { filePath, countsActive }: BackendContext,
): string[] {
  const { cookie } = sticky;
  const slotsPath = filePath(slotsMap);
  const has = '{ var(txn.stick) -m found }';
  const same = '{ var(txn.slot),strcmp(txn.stick) eq 0 }';
  // It has said itself what there is to say.
  const bySuccessor = `{ srv_name ${successorName} }`;
  return [
    `http-request set-var(txn.stick) req.cook(${cookie})`,
    // Containers are not told of it: as the first in a line, and as another.
    `http-request replace-header Cookie '^ *${cookie}=[^;]*(?:; *)?(.*)$' '\\1' if ${has}`,
    `http-request replace-header Cookie '^(.*); *${cookie}=[^;]*(.*)$' '\\1\\2' if ${has}`,
    // There may be a line for each cookie, and all of them would go.
    `http-request del-header Cookie if ${has} { req.fhdr_cnt(Cookie) eq 1 } { req.fhdr(Cookie) -m len 0 }`,
    `http-request set-var(txn.server) str(${name}/),concat(,txn.stick),map_str(${slotsPath}) if ${has}`,
    ...backupRules(name, countsActive),
    'use-server %[var(txn.server)] if { var(txn.server) -m found }',
    ...slotValueRules(sticky),
    `http-response add-header Set-Cookie "${cookie}=%[var(txn.slot)]; path=/; HttpOnly" if !${same} !${bySuccessor}`,
    `http-response add-header Cache-Control private if !${same} !${bySuccessor}`,
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
