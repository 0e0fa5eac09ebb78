import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** More would not fit the address plan, and no machine here carries a fraction of them. */
export const maxHosts = 100;

/** Marks every process of a lab; containers do not inherit it, their control group tells. */
export const labVariable = 'FAIRLEAD_LAB';
export const hostVariable = 'FAIRLEAD_LAB_HOST';

/** Where labs keep their files and records. */
export function labsDirectory(): string {
  return join(tmpdir(), 'fairlead-labs');
}

/** The file that keeps a network namespace of this name and opens the way into it. */
export function namespacePath(name: string): string {
  return join('/run/netns', name);
}

/** Names, addresses and paths of a lab: all follow from its id and its subnet. */
export interface LabPlan {
  readonly id: string;
  readonly directory: string;
  readonly bridgeNamespace: string;
  /** The end of the gateway's link in the root namespace; at most 15 characters. */
  readonly gatewayLink: string;
  readonly gatewayAddress: string;
  readonly gatewayMac: string;
  readonly cgroup: string;
  readonly hosts: readonly HostPlan[];
}

export interface HostPlan {
  readonly name: string;
  readonly directory: string;
  readonly namespace: string;
  readonly address: string;
  readonly mac: string;
  /** Address and prefix of the engine's own bridge: distinct on each host of a lab. */
  readonly engineBridge: string;
  readonly cgroup: string;
  readonly dockerSocket: string;
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly pidFile: string;
}

/** Lays out a lab. Pure but for where the system keeps temporary files. */
export function planLab(id: string, subnet: number, hostCount: number): LabPlan {
  const directory = join(labsDirectory(), id);
  const cgroup = `/fairlead-lab-${id}`;
  return {
    id,
    directory,
    bridgeNamespace: `fairlead-${id}-bridge`,
    gatewayLink: `fl${id}`,
    gatewayAddress: `198.18.${subnet}.1`,
    gatewayMac: macAddress(subnet, 1),
    cgroup,
    hosts: Array.from({ length: hostCount }, (_, index) => {
      const number = index + 1;
      const name = `host-${number}`;
      const hostDirectory = join(directory, name);
      return {
        name,
        directory: hostDirectory,
        namespace: `fairlead-${id}-${name}`,
        address: `198.18.${subnet}.${10 + number}`,
        mac: macAddress(subnet, 10 + number),
        engineBridge: `198.19.${number}.1/24`,
        cgroup: `${cgroup}/${name}`,
        dockerSocket: join(hostDirectory, 'docker.sock'),
        dataRoot: join(hostDirectory, 'data'),
        execRoot: join(hostDirectory, 'exec'),
        pidFile: join(hostDirectory, 'docker.pid'),
      };
    }),
  };
}

/** Locally administered, and different for any two interfaces of all labs of a machine. */
function macAddress(subnet: number, host: number): string {
  const hex = (value: number) => value.toString(16).padStart(2, '0');
  return `02:fa:18:00:${hex(subnet)}:${hex(host)}`;
}
