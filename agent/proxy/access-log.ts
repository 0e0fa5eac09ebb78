/** Variables of a request that hold words of its client, made safe to stand in JSON. */
const words = { host: 'txn.log_host', path: 'txn.log_path' } as const;

const common = {
  ...{ time: '%Ts.%ms', client: '"%ci"', frontend: '"%f"', backend: '"%b"', server: '"%s"' },
  ...{ bytesIn: '%U', bytesOut: '%B', queueMs: '%Tw', connectMs: '%Tc' },
} as const;

const http = {
  ...common,
  ...{ route: '"%[var(txn.route)]"', method: '"%HM"' },
  ...{ host: `"%[var(${words.host})]"`, path: `"%[var(${words.path})]"`, status: '%ST' },
  ...{ requestMs: '%TR', responseMs: '%Tr', totalMs: '%Ta' },
  ...{ retries: '"%rc"', end: '"%tsc"', tls: '"%sslv"' },
} as const;

const tcp = { ...common, totalMs: '%Tt', retries: '"%rc"', end: '"%ts"' } as const;

/** What a pipe takes whole or not at all: no line is cut short by a reader that is slow, nor by another line. */
const maxLineBytes = 4_096;
/**
 * Of words of a client, so that a line is never longer: each byte of a path may take two in JSON, and each of a host
 * three. HAProxy bounds the method to 1,023 itself.
 */
const maxPathBytes = 800;
const maxHostBytes = 255;

/**
 * HAProxy writes the lines itself, and drops those that nobody takes: no request waits for its log, and the
 * agent is not needed for it.
 */
const target = `log stdout len ${maxLineBytes} format raw local0 info`;

/** Has a TCP frontend write one JSON document a connection to HAProxy's standard output. */
export const tcpLogLines: readonly string[] = [target, `log-format ${formatOf(tcp)}`];

/**
 * Has an HTTP frontend write one JSON document a request. What an old worker hands to its successor, by the
 * condition `isHanded`, is logged by that one alone.
 */
export function httpLogLines(isHanded: string): string[] {
  return [
    target,
    `log-format ${formatOf(http)}`,
    // Taken before any rule changes them, or ends the request.
    `http-request set-var(${words.host}) req.hdr(host),bytes(0,${maxHostBytes}),json(utf8s)`,
    `http-request set-var(${words.path}) path,bytes(0,${maxPathBytes}),json(utf8s)`,
    `http-request set-log-level silent if ${isHanded}`,
  ];
}

function formatOf(fields: Readonly<Record<string, string>>): string {
  const members = Object.entries(fields).map(([name, value]) => `"${name}":${value}`);
  return `'{${members.join(',')}}'`;
}
