import type { Readiness } from '../../shared/gen/fairlead/v1/service.ts';
import type { Target } from './backend-list.ts';
import { formatWord, word } from './config-words.ts';

/** After a failed check, and while a server is down, it is asked at least so often. */
const soonMs = 1_000;

/** Lines by which HAProxy asks the servers of a backend as their nodes do; none where it asks no HTTP. */
export function checkLines(readiness: Readiness | undefined): string[] {
  if (readiness?.check?.$case !== 'http') return [];
  const { path, method, host, headers, statuses } = readiness.check.value;
  const fields = [['Host', host === '' ? '127.0.0.1' : host], ...Object.entries(headers)];
  return [
    'option httpchk',
    [
      `http-check send meth ${word(method === '' ? 'GET' : method)} uri ${word(path)} ver HTTP/1.1`,
      ...fields.map(([name = '', value = '']) => `hdr ${word(name)} ${headerValue(value)}`),
    ].join(' '),
    `http-check expect status ${statuses.length === 0 ? '200-399' : statuses.join(',')}`,
    `timeout check ${readiness.timeoutMs ?? 2_000}ms`,
    // Servers are given it themselves: it has the file change when it does.
    `default-server ${times(readiness)}`,
  ];
}

/** HAProxy takes an empty word for none at all, and white space is white space. */
function headerValue(value: string): string {
  return value === '' ? "' '" : formatWord(value.replaceAll('\t', ' '));
}

/** What a server is given that HAProxy asks by HTTP; in HTTP/1 and without the PROXY protocol, as its node does. */
export function checkParameters(
  { port, checkPort = 0, http2 = false }: Target,
  readiness: Readiness,
): string {
  const protocol = http2 ? ' check-proto h1' : '';
  return `check port ${checkPort === 0 ? port : checkPort}${protocol} ${times(readiness)}`;
}

function times(readiness: Readiness): string {
  const { intervalMs = 5_000, failureThreshold = 3, successThreshold = 1 } = readiness;
  const soon = Math.min(intervalMs, soonMs);
  return (
    `inter ${intervalMs}ms fastinter ${soon}ms downinter ${soon}ms ` +
    `rise ${successThreshold} fall ${failureThreshold}`
  );
}
