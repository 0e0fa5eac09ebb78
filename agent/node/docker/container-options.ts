import { shortId, type ContainerId, type NodeId } from '../../../shared/ids.ts';
import type { Assignment, ContainerDefinition, PortSpec, RestartPolicy } from '../model.ts';
import { labelsOf } from './container-labels.ts';
import { anonymousVolumesOf, mountOptionsOf, type DockerMountOptions } from './mount-options.ts';
import {
  hostOptionsOf,
  runOptionsOf,
  type DockerHostOptions,
  type DockerRunOptions,
} from './run-options.ts';

/** The part of Docker's create request that Fairlead uses, in Docker's words. */
export interface CreateOptions extends DockerRunOptions {
  readonly Image: string;
  readonly Hostname: string;
  readonly Cmd?: string[];
  readonly Entrypoint?: string[];
  readonly Env: string[];
  readonly Labels: Record<string, string>;
  readonly ExposedPorts: Record<string, Record<string, never>>;
  readonly StopTimeout: number;
  readonly Volumes: Record<string, object>;
  readonly HostConfig: DockerHostOptions &
    DockerMountOptions & {
      readonly PortBindings: Record<string, { HostIp: string; HostPort: string }[]>;
      readonly RestartPolicy: { Name: string; MaximumRetryCount?: number };
    };
}

/** Where ports of this node are bound, and whose containers they are. */
export interface NodePlacement {
  readonly nodeId: NodeId;
  /** Address that ports of linked services are bound to. */
  readonly advertiseAddress: string;
  /** Address that published ports are bound to. */
  readonly publishAddress: string;
}

const restartPolicies: Readonly<Record<RestartPolicy, string>> = {
  never: 'no',
  'on-failure': 'on-failure',
  // Not `always`: a container that was stopped must stay so when the engine restarts.
  always: 'unless-stopped',
};

/**
 * The engine's name of a container. It follows from the id alone, so the engine itself refuses a second
 * engine container for one container.
 */
export function engineNameOf(name: string, containerId: ContainerId): string {
  return `fairlead-${name}-${shortId(containerId)}`;
}

/** Turns a definition into what the engine is asked to create. */
export function createOptionsOf(
  containerId: Assignment['containerId'],
  definition: ContainerDefinition,
  { nodeId, advertiseAddress, publishAddress }: NodePlacement,
): CreateOptions {
  const { command, entrypoint, options } = definition;
  // In the node's network there is nothing to bind.
  const ports = options.network === 'host' ? [] : definition.ports;
  const addressOf = (port: PortSpec) => (port.published ? publishAddress : advertiseAddress);
  return {
    Image: withTag(definition.image),
    Hostname: definition.hostname,
    ...runOptionsOf(options),
    ...(command.length > 0 && { Cmd: [...command] }),
    ...(entrypoint.length > 0 && { Entrypoint: [...entrypoint] }),
    Env: Object.entries(definition.environment).map(([name, value]) => `${name}=${value}`),
    Labels: {
      ...definition.labels,
      ...labelsOf({ ...definition, containerId, nodeId }),
    },
    ExposedPorts: Object.fromEntries(ports.map((port) => [portKey(port), {}])),
    Volumes: anonymousVolumesOf(definition.volumes),
    StopTimeout: graceSeconds(definition.stopGraceMs),
    HostConfig: {
      PortBindings: Object.fromEntries(
        ports.map((port) => [
          portKey(port),
          [{ HostIp: addressOf(port), HostPort: port.hostPort === 0 ? '' : String(port.hostPort) }],
        ]),
      ),
      RestartPolicy: {
        Name: restartPolicies[definition.restart],
        ...(definition.restartLimit > 0 && { MaximumRetryCount: definition.restartLimit }),
      },
      ...hostOptionsOf(options, definition.hosts),
      ...mountOptionsOf(definition.volumes),
    },
  };
}

/** The policy that a name of Docker's stands for. */
export function restartPolicyOf(dockerName: string): RestartPolicy {
  if (dockerName === 'on-failure') return 'on-failure';
  return dockerName === 'always' || dockerName === 'unless-stopped' ? 'always' : 'never';
}

/** Docker counts whole seconds; a container must not get less than it was promised. */
export function graceSeconds(graceMs: number): number {
  return Math.ceil(graceMs / 1000);
}

/** An image reference with its tag: without one Docker would pull every tag of the repository. */
export function withTag(image: string): string {
  const lastPart = image.slice(image.lastIndexOf('/') + 1);
  return lastPart.includes(':') || lastPart.includes('@') ? image : `${image}:latest`;
}

function portKey({
  containerPort,
  protocol,
}: Pick<PortSpec, 'containerPort' | 'protocol'>): string {
  return `${containerPort}/${protocol}`;
}
