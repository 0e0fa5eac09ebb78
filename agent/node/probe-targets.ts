import type { HealthCheck } from '../../shared/health-check.ts';
import type { EngineContainer } from './docker/engine.ts';
import type { PortBinding } from './model.ts';
import type { ProbeTarget } from './probe.ts';

/**
 * What has to answer for a check to pass; a text says why it never can.
 *
 * Checks go to the address that proxies use, not to the loopback address: there, Docker's userland
 * proxy accepts connections that nothing inside the container accepts, while through an address of the
 * host they reach the container itself. So an established connection means that the process listens.
 */
export function probeTargets(
  check: HealthCheck | { readonly kind: 'none' },
  { engineId, ports }: Pick<EngineContainer, 'engineId' | 'ports'>,
  advertiseAddress: string,
): readonly ProbeTarget[] | string {
  if (check.kind === 'none') return [];
  if (check.kind === 'command') return [{ kind: 'command', engineId, command: check.command }];
  const tcpPorts = ports.filter(({ protocol }) => protocol === 'tcp');
  const address = ({ hostAddress, hostPort }: PortBinding) => ({
    host: isAnyAddress(hostAddress) ? advertiseAddress : hostAddress,
    port: hostPort,
  });
  if (check.kind === 'tcp' && check.port === 0) {
    return tcpPorts.map((port) => ({ kind: 'tcp', ...address(port) }));
  }
  const port =
    check.port === 0
      ? tcpPorts[0]
      : tcpPorts.find(({ containerPort }) => containerPort === check.port);
  if (port === undefined) return noSuchPort(check.port);
  switch (check.kind) {
    case 'tcp':
      return [{ kind: 'tcp', ...address(port) }];
    case 'grpc':
      return [{ kind: 'grpc', ...address(port), service: check.service }];
    case 'http': {
      const { path, method, host, headers, statuses } = check;
      const allHeaders = host === '' ? headers : { ...headers, host };
      return [{ kind: 'http', ...address(port), path, method, headers: allHeaders, statuses }];
    }
  }
}

function noSuchPort(port: number): string {
  return port === 0
    ? 'its check needs a TCP port, and it has none'
    : `its check asks port ${port}, which is not one of its TCP ports`;
}

function isAnyAddress(address: string): boolean {
  return address === '' || address === '0.0.0.0' || address === '::';
}
