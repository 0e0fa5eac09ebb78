import { programs } from '../../support/fleet/programs.ts';
import type { LabProcess, SpawnOptions } from '../../support/lab/lab-process.ts';

export interface ProxyAgentOptions {
  /** `HOST:PORT`. */
  readonly coordinator: string;
  /** A token of the role PROXY. */
  readonly token: string;
  /** Name of the load balancer service. */
  readonly service: string;
  readonly stateDir: string;
}

interface Host {
  spawn(command: string, args: readonly string[], options: SpawnOptions): Promise<LabProcess>;
}

/** Starts the proxy agent on a host, with an HAProxy of its own: no container around them. */
export async function startProxyAgent(
  host: Host,
  { coordinator, token, service, stateDir }: ProxyAgentOptions,
): Promise<LabProcess> {
  return await host.spawn(
    process.execPath,
    [
      programs.proxy,
      ...['--coordinator', coordinator, '--service', service, '--name', 'bench-proxy'],
      ...['--state-dir', stateDir, '--stats-port', '0'],
    ],
    { name: 'proxy-agent', env: { FAIRLEAD_TOKEN: token } },
  );
}
