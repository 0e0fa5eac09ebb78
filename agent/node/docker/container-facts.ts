import type { ContainerId } from '../../../shared/ids.ts';
import type { PortBinding, PortSpec } from '../model.ts';
import { containerLabel, identityOf } from './container-labels.ts';
import { restartPolicyOf } from './container-options.ts';
import type {
  ContainerEvent,
  ContainerNews,
  EngineContainer,
  EngineContainerState,
} from './engine.ts';

/** The part of Docker's description of a container that Fairlead reads, in Docker's words. */
export interface DockerContainer {
  readonly Id: string;
  readonly RestartCount?: number;
  readonly Config: { readonly Labels: Readonly<Record<string, string>> | null };
  readonly HostConfig: {
    readonly RestartPolicy?:
      { readonly Name: string; readonly MaximumRetryCount?: number | undefined } | undefined;
    readonly NetworkMode?: string | undefined;
  };
  readonly State: {
    readonly Status: string;
    readonly Pid?: number;
    readonly ExitCode: number;
    readonly Error?: string;
    readonly OOMKilled: boolean;
    readonly StartedAt: string;
    readonly FinishedAt: string;
  };
  readonly NetworkSettings: {
    readonly Ports?: Readonly<Record<string, readonly DockerBinding[] | null>> | null;
  };
}

interface DockerBinding {
  readonly HostIp: string;
  readonly HostPort: string;
}

/** Reads Docker's description; undefined for a container that is not Fairlead's. */
export function engineContainerOf(docker: DockerContainer): EngineContainer | undefined {
  const identity = identityOf(docker.Config.Labels ?? {});
  if (identity === undefined) return undefined;
  const { State: state } = docker;
  return {
    engineId: docker.Id,
    identity,
    state: stateOf(state.Status),
    pid: state.Pid ?? 0,
    exitCode: state.ExitCode,
    error: state.Error ?? '',
    outOfMemory: state.OOMKilled,
    restartPolicy: restartPolicyOf(docker.HostConfig.RestartPolicy?.Name ?? ''),
    restartLimit: docker.HostConfig.RestartPolicy?.MaximumRetryCount ?? 0,
    restarts: docker.RestartCount ?? 0,
    startedAt: timeOf(state.StartedAt),
    endedAt: timeOf(state.FinishedAt),
    ports:
      docker.HostConfig.NetworkMode === 'host'
        ? portsOfHost(docker.State.Status, identity.ports)
        : bindingsOf(docker.NetworkSettings.Ports ?? {}, identity.ports),
  };
}

function stateOf(status: string): EngineContainerState {
  switch (status) {
    case 'created':
    case 'running':
    case 'paused':
    case 'restarting':
    case 'removing':
      return status;
    default:
      // `exited`, and `dead`: one that Docker could not remove whole.
      return 'ended';
  }
}

/** Docker writes the year 1 for never. */
function timeOf(text: string): Date | undefined {
  const time = new Date(text);
  return time.getUTCFullYear() > 1970 ? time : undefined;
}

/** In the node's network nothing is bound for a container: what it listens on is the node's. */
function portsOfHost(status: string, specs: readonly PortSpec[]): PortBinding[] {
  if (status !== 'running') return [];
  return specs.map(({ containerPort, protocol, published }) => {
    return { containerPort, protocol, published, hostAddress: '0.0.0.0', hostPort: containerPort };
  });
}

function bindingsOf(
  ports: Readonly<Record<string, readonly DockerBinding[] | null>>,
  specs: readonly PortSpec[],
): PortBinding[] {
  return specs.flatMap(({ containerPort, protocol, published }) => {
    const bindings = ports[`${containerPort}/${protocol}`] ?? [];
    // Docker may list an IPv6 twin of a binding to all addresses; nobody asked for it.
    const binding = bindings.find(({ HostIp }) => !HostIp.includes(':')) ?? bindings[0];
    if (binding === undefined) return [];
    const hostPort = Number(binding.HostPort);
    return [{ containerPort, protocol, published, hostAddress: binding.HostIp, hostPort }];
  });
}

/** What of Docker's events is asked for. */
export const watchedEvents = ['start', 'kill', 'die', 'pause', 'unpause', 'destroy'];

/** The part of an event of Docker's that Fairlead reads, in Docker's words. */
export interface DockerEvent {
  readonly Action?: string;
  readonly Actor?: { readonly ID?: string; readonly Attributes?: Readonly<Record<string, string>> };
  readonly timeNano?: number;
}

/** Reads an event; undefined for one that does not concern a container of Fairlead. */
export function containerEventOf(docker: DockerEvent): ContainerEvent | undefined {
  const { ID: engineId, Attributes: attributes = {} } = docker.Actor ?? {};
  const containerId = attributes[containerLabel];
  if (!engineId || !containerId) return undefined;
  return {
    engineId,
    containerId: containerId as ContainerId,
    atMs: (docker.timeNano ?? 0) / 1e6,
    ...newsOf(docker.Action, attributes),
  };
}

function newsOf(
  action: string | undefined,
  attributes: Readonly<Record<string, string>>,
): ContainerNews {
  switch (action) {
    case 'die':
      return { kind: 'ended', exitCode: Number(attributes['exitCode'] ?? 0) };
    case 'start':
      return { kind: 'started' };
    case 'kill':
      return { kind: 'signalled', signalNumber: Number(attributes['signal'] ?? 0) };
    case 'destroy':
      return { kind: 'removed' };
    case undefined:
    default:
      return { kind: 'changed' };
  }
}
