/** What the line has to know, all of it from the coordinator itself. */
export interface JoinLineOptions {
  /** Base URL of what the coordinator serves. */
  readonly httpUrl: string;
  /** `HOST:PORT` that the agent dials. */
  readonly agentAddress: string;
  /** SHA-256 of the install script, in hexadecimal. */
  readonly scriptSha256: string;
  readonly token: string;
  /** Further options of the install script, each a plain word. */
  readonly options: readonly string[];
}

/**
 * The one line that installs the agent on a host and joins it. It believes nothing that the network says: the
 * script has to have the hash that is in the line, and brings the hashes of all that it downloads. The token
 * is in a variable, because arguments show in the list of processes.
 */
export function joinLine({
  httpUrl,
  agentAddress,
  scriptSha256,
  token,
  options,
}: JoinLineOptions): string {
  const script = [
    'set -e',
    'f=$(mktemp)',
    'trap "rm -f $f" EXIT',
    `u=${httpUrl}/install.sh`,
    '{ command -v curl >/dev/null && curl -fsSko "$f" "$u"; } || wget -q --no-check-certificate -O "$f" "$u"',
    `echo "${scriptSha256}  $f" | sha256sum -c - >/dev/null`,
    `sh "$f" --from ${httpUrl} --coordinator ${agentAddress}${options.map((option) => ` ${option}`).join('')}`,
  ].join('; ');
  return `FAIRLEAD_TOKEN=${token} sh -c '${script}'`;
}
