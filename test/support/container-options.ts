import type { ContainerOptions } from '../../shared/container-options.ts';

/** Options of a container that is run as the image and the engine have it. */
export function someOptions(changes: Partial<ContainerOptions> = {}): ContainerOptions {
  return {
    workingDir: '',
    user: '',
    hostname: '',
    domainname: '',
    stopSignal: '',
    init: false,
    readOnly: false,
    tty: false,
    stdinOpen: false,
    privileged: false,
    groups: [],
    capAdd: [],
    capDrop: [],
    securityOptions: [],
    devices: [],
    ulimits: [],
    network: 'bridge',
    pid: 'private',
    dnsServers: [],
    dnsSearch: [],
    dnsOptions: [],
    extraHosts: [],
    log: { driver: '', options: {} },
    limits: someLimits(),
    cgroupParent: '',
    macAddress: '',
    ...changes,
  };
}

/** No limits but those given. */
export function someLimits(
  changes: Partial<ContainerOptions['limits']> = {},
): ContainerOptions['limits'] {
  return {
    cpuMillis: 0,
    cpuShares: 0,
    cpus: '',
    memoryBytes: 0,
    memorySwapBytes: 0,
    shmBytes: 0,
    ...changes,
  };
}
