import type { ContainerOptions, ResourceLimits } from '../../../shared/container-options.ts';
import type { HostEntry } from '../model.ts';

/** The settings of a container that stand beside HostConfig in Docker's create request. */
export interface DockerRunOptions {
  readonly WorkingDir?: string;
  readonly User?: string;
  readonly Domainname?: string;
  readonly StopSignal?: string;
  readonly MacAddress?: string;
  readonly NetworkingConfig?: { EndpointsConfig: { bridge: { MacAddress: string } } };
  readonly Tty: boolean;
  readonly OpenStdin: boolean;
}

/** Those within HostConfig. */
export interface DockerHostOptions {
  readonly Init?: boolean;
  readonly ReadonlyRootfs: boolean;
  readonly Privileged: boolean;
  readonly GroupAdd: string[];
  readonly CapAdd: string[];
  readonly CapDrop: string[];
  readonly SecurityOpt: string[];
  readonly Devices: { PathOnHost: string; PathInContainer: string; CgroupPermissions: string }[];
  readonly Ulimits: { Name: string; Soft: number; Hard: number }[];
  readonly NetworkMode?: string;
  readonly PidMode?: string;
  readonly Dns: string[];
  readonly DnsSearch: string[];
  readonly DnsOptions: string[];
  readonly ExtraHosts: string[];
  readonly LogConfig?: { Type: string; Config: Record<string, string> };
  readonly CgroupParent?: string;
  readonly CpuPeriod?: number;
  readonly CpuQuota?: number;
  readonly CpuShares?: number;
  readonly CpusetCpus?: string;
  readonly Memory?: number;
  readonly MemorySwap?: number;
  readonly ShmSize?: number;
}

/** The kernel's usual period, in microseconds. */
const cpuPeriod = 100_000;

/** What the engine is asked for; what is left out is the image's or the engine's own. */
export function runOptionsOf(options: ContainerOptions): DockerRunOptions {
  const { workingDir, user, domainname, stopSignal, macAddress, tty, stdinOpen } = options;
  return {
    ...(workingDir !== '' && { WorkingDir: workingDir }),
    ...(user !== '' && { User: user }),
    ...(domainname !== '' && { Domainname: domainname }),
    ...(stopSignal !== '' && { StopSignal: stopSignal }),
    // Engines from 25.0 want it with the network, those before know it only beside.
    ...(macAddress !== '' && {
      MacAddress: macAddress,
      NetworkingConfig: { EndpointsConfig: { bridge: { MacAddress: macAddress } } },
    }),
    Tty: tty,
    OpenStdin: stdinOpen,
  };
}

/** The same for HostConfig; `hosts` are the lines that links bring. */
export function hostOptionsOf(
  options: ContainerOptions,
  hosts: readonly HostEntry[],
): DockerHostOptions {
  const { init, network, pid, log, cgroupParent, extraHosts } = options;
  return {
    // Not said unless asked for: an engine may have it as its default.
    ...(init && { Init: true }),
    ReadonlyRootfs: options.readOnly,
    Privileged: options.privileged,
    GroupAdd: [...options.groups],
    CapAdd: [...options.capAdd],
    CapDrop: [...options.capDrop],
    SecurityOpt: [...options.securityOptions],
    Devices: options.devices.map(({ hostPath, containerPath, permissions }) => ({
      PathOnHost: hostPath,
      PathInContainer: containerPath,
      CgroupPermissions: permissions,
    })),
    Ulimits: options.ulimits.map(({ name, soft, hard }) => ({
      Name: name,
      Soft: soft,
      Hard: hard,
    })),
    ...(network === 'host' && { NetworkMode: 'host' }),
    ...(pid === 'host' && { PidMode: 'host' }),
    Dns: [...options.dnsServers],
    DnsSearch: [...options.dnsSearch],
    DnsOptions: [...options.dnsOptions],
    ExtraHosts: [...hosts, ...extraHosts].map(({ name, address }) => `${name}:${address}`),
    ...(log.driver !== '' && { LogConfig: { Type: log.driver, Config: { ...log.options } } }),
    ...(cgroupParent !== '' && { CgroupParent: cgroupParent }),
    ...limitsOf(options.limits),
  };
}

function limitsOf(limits: ResourceLimits): Partial<DockerHostOptions> {
  const { cpuMillis, cpuShares, cpus, memoryBytes, memorySwapBytes, shmBytes } = limits;
  return {
    // As a quota: Docker refuses its own NanoCpus where a node has fewer processors than that.
    ...(cpuMillis > 0 && { CpuPeriod: cpuPeriod, CpuQuota: (cpuMillis * cpuPeriod) / 1000 }),
    ...(cpuShares > 0 && { CpuShares: cpuShares }),
    ...(cpus !== '' && { CpusetCpus: cpus }),
    ...(memoryBytes > 0 && { Memory: memoryBytes }),
    ...(memorySwapBytes !== 0 && { MemorySwap: memorySwapBytes }),
    ...(shmBytes > 0 && { ShmSize: shmBytes }),
  };
}
